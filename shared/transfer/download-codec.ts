/** Encodes DownloadResponses straight into a buffer that already holds their data; the bytes are those of the generated encoder. */
import { DownloadResponse } from '../generated/tributary/v1/models.js';
import { frameAround } from './grpc-frame.js';

/** Room a message needs before its data: the frame's prefix, and the offset with its tag. */
export const DOWNLOAD_HEADER_BYTES = 64;

/** Tag of `data`: field 2, length-delimited. */
const DATA_TAG = 0x12;

/** @param buffer holds `dataLength` bytes of data behind DOWNLOAD_HEADER_BYTES free ones @returns the frame, a part of `buffer` */
export function frameDownload(offset: number, buffer: Uint8Array, dataLength: number): Uint8Array {
  const head = DownloadResponse.encode({ offset: BigInt(offset), data: new Uint8Array(0) }).finish();
  return frameAround(head, DATA_TAG, buffer, DOWNLOAD_HEADER_BYTES, dataLength);
}
