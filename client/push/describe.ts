/** Turns a folder into an artifact: which files, which chunks, which digests, and where each chunk's bytes lie on this disk. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import type { ContributionKind } from '../../shared/merge/types.js';
import { type Artifact, chunkRangesOf, type DescribedFile, decodeManifest, encodeManifest } from '../../shared/transfer/artifact.js';
import type { DigestCache } from './digest-cache.js';

export interface DescribedArtifact {
  readonly artifact: Artifact;
  readonly manifest: Uint8Array;
  /** Where a chunk can be read, by digest. */
  readonly sources: ReadonlyMap<string, Segment>;
}

export interface DescribeOptions {
  readonly kind: ContributionKind;
  readonly threads: number;
  readonly cache: DigestCache | undefined;
  readonly signal: AbortSignal;
  /** Bytes hashed so far, of how many. Not called when every digest is known. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

interface FileToDescribe {
  readonly diskPath: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly header?: Uint8Array;
}

/** @throws whatever openCheckpoint throws for a checkpoint that is not sound */
export async function describeFolder(folder: string, options: DescribeOptions): Promise<DescribedArtifact> {
  const files = await filesOf(folder);
  const startedMs = Date.now();
  const layouts = files.map((file) => chunkRangesOf(file.path, file.sizeBytes, file.header));
  const known = await Promise.all(files.map(async (file, index) => await options.cache?.get(file.diskPath, layouts[index]?.length ?? 0)));
  const jobs: Segment[][] = [];
  const totals = { doneBytes: 0, totalBytes: 0 };
  files.forEach((file, index) => {
    if (known[index] !== undefined) return;
    for (const range of layouts[index] ?? []) {
      jobs.push([{ path: file.diskPath, ...range }]);
      totals.totalBytes += range.length;
    }
  });
  const hashed =
    jobs.length === 0
      ? []
      : await hashSegments(jobs, {
          threads: options.threads,
          signal: options.signal,
          onProgress: (doneBytes) => options.onProgress(doneBytes, totals.totalBytes),
        });
  let next = 0;
  const described: DescribedFile[] = [];
  const sources = new Map<string, Segment>();
  for (const [index, file] of files.entries()) {
    const layout = layouts[index] ?? [];
    let digests = known[index];
    if (digests === undefined) {
      digests = hashed.slice(next, next + layout.length);
      next += layout.length;
      await options.cache?.put(file.diskPath, digests, startedMs);
    }
    described.push({ path: file.path, sizeBytes: file.sizeBytes, digests, ...(file.header === undefined ? {} : { header: file.header }) });
    layout.forEach((range, position) => {
      sources.set(Buffer.from((digests as Uint8Array[])[position] as Uint8Array).toString('hex'), { path: file.diskPath, ...range });
    });
  }
  const manifest = encodeManifest(options.kind, described);
  return { artifact: decodeManifest(manifest, folder), manifest, sources };
}

async function filesOf(folder: string): Promise<FileToDescribe[]> {
  const checkpoint = await openCheckpoint(folder);
  const files: FileToDescribe[] = checkpoint.shards.map((shard) => ({
    diskPath: shard.path,
    path: shard.fileName,
    sizeBytes: shard.sizeBytes,
    header: shard.headerBytes,
  }));
  for (const sidecar of checkpoint.sidecars) files.push({ diskPath: sidecar.path, path: sidecar.name, sizeBytes: sidecar.sizeBytes });
  const index = 'model.safetensors.index.json';
  if (checkpoint.shards.length > 1) {
    const diskPath = join(checkpoint.path, index);
    files.push({ diskPath, path: index, sizeBytes: (await stat(diskPath)).size });
  }
  return files;
}
