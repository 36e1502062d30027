/** gRPC's frame: a flag (compressed or not) and the length before each message. */

export const FRAME_PREFIX_BYTES = 5;

/** A message on its own in a frame of its own. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + message.length);
  setFramePrefix(frame, 0, message.length);
  frame.set(message, FRAME_PREFIX_BYTES);
  return frame;
}

export function setFramePrefix(buffer: Uint8Array, at: number, messageBytes: number): void {
  buffer[at] = 0;
  new DataView(buffer.buffer, buffer.byteOffset).setUint32(at + 1, messageBytes);
}

/** Puts a frame's prefix, the fields `head`, and tag and length of a last field in front of that field's data; returns the frame. */
export function frameAround(head: Uint8Array, tag: number, buffer: Uint8Array, dataStart: number, dataLength: number): Uint8Array {
  const length = varint(dataLength);
  const start = dataStart - length.length - 1 - head.length;
  buffer.set(head, start);
  buffer[start + head.length] = tag;
  buffer.set(length, start + head.length + 1);
  const end = dataStart + dataLength;
  setFramePrefix(buffer, start - FRAME_PREFIX_BYTES, end - start);
  return buffer.subarray(start - FRAME_PREFIX_BYTES, end);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}
