/**
 * Encodes WriteRequests straight into a buffer that already holds their data, so that a piece of a chunk is read from disk to where it is
 * sent from. The bytes are those of the generated encoder (a test compares them); `data` is the last field and needs no copy.
 */
import { WriteRequest } from '../generated/tributary/v1/transfers.js';
import { FRAME_PREFIX_BYTES, frameAround } from './grpc-frame.js';

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
  const frame = frameAround(head, WRITE_DATA_TAG, buffer, dataStart, dataLength);
  return { encoded: frame.subarray(FRAME_PREFIX_BYTES), frame };
}
