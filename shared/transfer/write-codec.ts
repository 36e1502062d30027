/**
 * Encodes WriteRequests straight into a buffer that already holds their data, so that a piece of a chunk is read from disk to where it is
 * sent from. The bytes are those of the generated encoder (a test compares them); `data` is the last field and needs no copy.
 */
import { WriteRequest } from '../generated/tributary/v1/transfers.js';

/** gRPC puts a flag and the length before each message. */
export const FRAME_PREFIX_BYTES = 5;

/** Room a message needs before its data: the frame's prefix, every other field with its tag and length. */
export const WRITE_HEADER_BYTES = 160;

/** Tag of `data`: field 5, length-delimited. */
export const WRITE_DATA_TAG = 0x2a;

/** A request whose encoding is complete. */
export interface EncodedWrite {
  readonly encoded: Uint8Array;
  /** The same bytes with their gRPC prefix, when they already lie behind one. */
  readonly frame?: Uint8Array;
}

/**
 * Puts the fields of a message, and its gRPC prefix, in front of its data.
 * @param buffer holds `dataLength` bytes of data at `dataStart`; the WRITE_HEADER_BYTES before it are free
 * @returns the whole message, a part of `buffer`
 */
export function encodeAround(fields: Omit<WriteRequest, 'data'>, buffer: Uint8Array, dataStart: number, dataLength: number): EncodedWrite {
  const head = WriteRequest.encode({ ...fields, data: new Uint8Array(0) }).finish();
  const length = varint(dataLength);
  const start = dataStart - length.length - 1 - head.length;
  buffer.set(head, start);
  buffer[start + head.length] = WRITE_DATA_TAG;
  buffer.set(length, start + head.length + 1);
  const end = dataStart + dataLength;
  setFramePrefix(buffer, start - FRAME_PREFIX_BYTES, end - start);
  return { encoded: buffer.subarray(start, end), frame: buffer.subarray(start - FRAME_PREFIX_BYTES, end) };
}

/** A message on its own in a frame of its own. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + message.length);
  setFramePrefix(frame, 0, message.length);
  frame.set(message, FRAME_PREFIX_BYTES);
  return frame;
}

function setFramePrefix(buffer: Uint8Array, at: number, messageBytes: number): void {
  buffer[at] = 0;
  new DataView(buffer.buffer, buffer.byteOffset).setUint32(at + 1, messageBytes);
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
