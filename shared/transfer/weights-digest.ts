/** The digest of a checkpoint's weights, wherever they lie: the same for a folder on disk, a push and a published model. */
import { createHash } from 'node:crypto';
import { TributaryError } from '../errors/tributary-error.js';
import type { Segment, TensorInfo, TensorMap } from '../formats/tensor.js';
import { hashSegments } from '../merge/hash-segments.js';
import type { WorkerPool } from '../workers/pool.js';
import { cutRange } from './chunk-layout.js';

/** Code-unit order: the same everywhere, whatever the locale. */
export function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Hex SHA-256 over the sorted tensors: name, dtype, shape, digests of their chunks. Independent of file layout. */
export function digestOfWeights(tensors: readonly TensorDigests[]): string {
  const hash = createHash('sha256');
  for (const { info, chunkDigests } of [...tensors].sort((a, b) => compareStrings(a.info.name, b.info.name))) {
    hash.update(`${JSON.stringify([info.name, info.dtype, info.shape])}\n`);
    for (const digest of chunkDigests) hash.update(digest);
  }
  return hash.digest('hex');
}

/** The part of `segments` from `start` on, `length` bytes. */
function slice(segments: readonly Segment[], start: number, length: number): Segment[] {
  const parts: Segment[] = [];
  let at = 0;
  for (const { path, offset, length: size } of segments) {
    const from = Math.max(start, at);
    const to = Math.min(start + length, at + size);
    if (from < to) parts.push({ path, offset: offset + from - at, length: to - from });
    at += size;
  }
  return parts;
}

export interface TensorDigests {
  readonly info: TensorInfo;
  readonly chunkDigests: readonly Uint8Array[];
}

/** Reads and hashes all weights; of an adapter those that its own file holds. @throws SAFETENSORS_TRUNCATED, IO_ERROR, INTERRUPTED */
export async function digestTensors(tensors: TensorMap, pool: WorkerPool, signal?: AbortSignal): Promise<TensorDigests[]> {
  const computed = [...tensors.values()].find(({ product, sum }) => product !== undefined || sum !== undefined);
  if (computed !== undefined) throw new TributaryError('INTERNAL', { what: 'a tensor without bytes has no digest', where: computed.name });
  const cut = [...tensors.values()].map((tensor) => ({
    info: tensor,
    chunks: cutRange(0, tensor.sizeBytes).map(({ offset, length }) => slice(tensor.segments, offset, length)),
  }));
  const digests = await hashSegments(
    cut.flatMap(({ chunks }) => chunks),
    { pool, signal },
  );
  let at = 0;
  return cut.map(({ info, chunks }) => {
    const own = digests.slice(at, at + chunks.length);
    at += chunks.length;
    return { info, chunkDigests: own };
  });
}

/** @throws as digestTensors */
export async function weightsDigestOf(tensors: TensorMap, pool: WorkerPool, signal?: AbortSignal): Promise<string> {
  return digestOfWeights(await digestTensors(tensors, pool, signal));
}
