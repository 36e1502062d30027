/**
 * How files are cut into chunks. Both ends compute this from the safetensors header, so sizes and borders never travel.
 * Invariant: in a weight file a chunk never crosses a tensor, and each tensor is cut from its own first byte; equal tensors
 * therefore have equal chunks wherever they lie.
 */

/** Largest chunk of manifest format 1, in bytes. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** Bytes of one SHA-256 digest. */
export const DIGEST_BYTES = 32;

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Cuts `[offset, offset + length)` into chunks. A range without bytes has no chunk. */
export function cutRange(offset: number, length: number): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (let start = 0; start < length; start += CHUNK_BYTES) {
    ranges.push({ offset: offset + start, length: Math.min(CHUNK_BYTES, length - start) });
  }
  return ranges;
}
