/** Turns a folder into an artifact: which files, which chunks, which digests, and where each chunk's bytes lie on this disk. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterFolderAt, openAdapter } from '../../shared/formats/adapter.js';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from '../../shared/formats/adapter-files.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { type Artifact, chunkRangesOf, type DescribedFile, decodeManifest, encodeManifest } from '../../shared/transfer/artifact.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import type { DigestCache } from './digest-cache.js';

export interface DescribedArtifact {
  readonly artifact: Artifact;
  readonly manifest: Uint8Array;
  /** Where a chunk can be read, by digest. */
  readonly sources: ReadonlyMap<string, Segment>;
}

export interface DescribeOptions {
  /** Of what is not an adapter: an adapter's folder says by itself what it is. */
  readonly kind: ArtifactForm;
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
  /** The whole file, to go into the manifest. */
  readonly content?: Uint8Array;
}

/** @throws whatever openCheckpoint and openAdapter throw for what is not sound */
export async function describeFolder(folder: string, options: DescribeOptions): Promise<DescribedArtifact> {
  const { kind, files } = await filesOf(folder, options.kind);
  const startedMs = Date.now();
  const layouts = files.map((file) => (file.content === undefined ? chunkRangesOf(file.path, file.sizeBytes, file.header) : []));
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
    const { path, sizeBytes, header, content } = file;
    described.push({ path, sizeBytes, digests, ...(header && { header }), ...(content && { content }) });
    layout.forEach((range, position) => {
      sources.set(Buffer.from((digests as Uint8Array[])[position] as Uint8Array).toString('hex'), { path: file.diskPath, ...range });
    });
  }
  const manifest = encodeManifest(kind, described);
  return { artifact: decodeManifest(manifest, folder), manifest, sources };
}

/** Only what an adapter changes travels: its own two files. */
async function adapterFilesOf(folder: string): Promise<FileToDescribe[]> {
  const { file, configPath, configBytes } = await openAdapter(folder);
  return [
    { diskPath: file.path, path: ADAPTER_WEIGHTS_FILE, sizeBytes: file.sizeBytes, header: file.headerBytes },
    { diskPath: configPath, path: ADAPTER_CONFIG_FILE, sizeBytes: configBytes.length, content: configBytes },
  ];
}

async function filesOf(folder: string, kind: ArtifactForm): Promise<{ kind: ArtifactForm; files: FileToDescribe[] }> {
  const adapter = kind === 'full' || kind === 'lora' ? await adapterFolderAt(folder) : undefined;
  if (adapter !== undefined) return { kind: 'lora', files: await adapterFilesOf(adapter) };
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
  return { kind, files };
}
