/**
 * A contribution of low rank as an artifact: one weight file that is nowhere written as such. Its tensors lie where they were made or found, in
 * scratch files and in the checkpoint itself; the same tensors always give the same manifest.
 */
import { encodeSafetensorsHeader, tensorSizeBytes } from '../../shared/formats/safetensors-header.js';
import type { Segment, TensorInfo } from '../../shared/formats/tensor.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { type ArtifactTensor, type DescribedFile, decodeManifest, encodeManifest } from '../../shared/transfer/artifact.js';
import { cutRange } from '../../shared/transfer/chunk-layout.js';
import { fromHex, toHex } from '../../shared/util/hex.js';
import type { DescribedArtifact } from './describe.js';

const FILE_NAME = 'model.safetensors';

/** Bytes of its own, from `offset` of a file on; or a tensor of the checkpoint as it is, whose chunks are known. */
export type PlacedTensor =
  | { readonly info: TensorInfo; readonly path: string; readonly offset: number }
  | { readonly info: TensorInfo; readonly like: ArtifactTensor };

export interface LowRankOptions {
  /** Of the checkpoint that `like` tensors belong to. */
  readonly sources: ReadonlyMap<string, Segment>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly threads: number;
  readonly signal: AbortSignal;
}

/** @param tensors in the order of the file. @throws IO_ERROR, INTERRUPTED */
export async function describeLowRank(tensors: readonly PlacedTensor[], options: LowRankOptions): Promise<DescribedArtifact> {
  const header = encodeSafetensorsHeader(
    tensors.map(({ info }) => info),
    options.metadata,
  );
  const made = tensors.map((tensor): Segment[] =>
    'like' in tensor ? [] : cutRange(tensor.offset, tensorSizeBytes(tensor.info)).map((range) => ({ path: tensor.path, ...range })),
  );
  const hashed = await hashSegments(
    made.flat().map((segment) => [segment]),
    { threads: options.threads, signal: options.signal },
  );
  const sources = new Map<string, Segment>();
  const digests: Uint8Array[] = [];
  let next = 0;
  for (const [index, tensor] of tensors.entries()) {
    if ('like' in tensor) {
      for (const { digest } of tensor.like.chunks) {
        digests.push(fromHex(digest));
        sources.set(digest, options.sources.get(digest) as Segment);
      }
      continue;
    }
    for (const segment of made[index] ?? []) {
      const digest = hashed[next++] as Uint8Array;
      digests.push(digest);
      sources.set(toHex(digest), segment);
    }
  }
  const sizeBytes = header.length + tensors.reduce((sum, { info }) => sum + tensorSizeBytes(info), 0);
  const file: DescribedFile = { path: FILE_NAME, sizeBytes, header, digests };
  const manifest = encodeManifest('low_rank', [file]);
  return { artifact: decodeManifest(manifest, FILE_NAME), manifest, sources };
}
