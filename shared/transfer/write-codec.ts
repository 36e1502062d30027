/**
 * Encodes WriteRequests straight into a buffer that already holds their data, so that a piece of a chunk is read from disk to where it is
 * sent from. The bytes are those of the generated encoder (a test compares them); `data` is the last field and needs no copy.
 */
import { TransferServiceDefinition, WriteRequest } from '../generated/tributary/v1/transfers.js';

/** Room a message needs before its data: every other field with its tag and length. */
export const WRITE_HEADER_BYTES = 160;

const DATA_TAG = 0x2a;

/** A request whose encoding is complete. */
export interface EncodedWrite {
  readonly encoded: Uint8Array;
}

/**
 * Puts the fields of a message in front of its data.
 * @param buffer holds `dataLength` bytes of data at `dataStart`; the WRITE_HEADER_BYTES before it are free
 * @returns the whole message, a part of `buffer`
 */
export function encodeAround(fields: Omit<WriteRequest, 'data'>, buffer: Uint8Array, dataStart: number, dataLength: number): EncodedWrite {
  const head = WriteRequest.encode({ ...fields, data: new Uint8Array(0) }).finish();
  const length = varint(dataLength);
  const start = dataStart - length.length - 1 - head.length;
  buffer.set(head, start);
  buffer[start + head.length] = DATA_TAG;
  buffer.set(length, start + head.length + 1);
  return { encoded: buffer.subarray(start, dataStart + dataLength) };
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

const encodedWriteType = {
  encode: (message: EncodedWrite) => ({ finish: () => message.encoded }),
  decode: (): EncodedWrite => {
    throw new Error('only clients use this definition');
  },
  fromPartial: (message: EncodedWrite): EncodedWrite => message,
};

/** The TransferService as a client sees it that encodes Write itself. */
export const EncodedTransferDefinition = {
  ...TransferServiceDefinition,
  methods: {
    ...TransferServiceDefinition.methods,
    write: { ...TransferServiceDefinition.methods.write, requestType: encodedWriteType },
  },
} as const;
