/** Messages that are sent again and again unchanged are encoded once: the bytes live as long as the message does. */

interface Writer {
  finish(): Uint8Array;
}

interface Encodable<Message> {
  encode(message: Message): Writer;
}

/** @param type its messages must not be changed once they are sent */
export function encodeOnce<Message extends object, Type extends Encodable<Message>>(type: Type): Type {
  const encoded = new WeakMap<Message, Uint8Array>();
  return {
    ...type,
    encode: (message: Message): Writer => {
      let bytes = encoded.get(message);
      if (bytes === undefined) encoded.set(message, (bytes = type.encode(message).finish()));
      const known = bytes;
      return { finish: () => known };
    },
  };
}
