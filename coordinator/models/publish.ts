/**
 * Makes a merged folder a model: its chunks are hashed where they lie and registered, so the weights are stored once. The state of a server
 * optimiser stays in the folder and is no file of the model.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsFile } from '../../shared/formats/safetensors-file.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { SERVER_STATE_FILE } from '../../shared/merge/server-state.js';
import { TASK_MASKS_FILE } from '../../shared/merge/task-masks.js';
import { type Artifact, chunkRangesOf, type DescribedFile, decodeManifest, encodeManifest } from '../../shared/transfer/artifact.js';
import type { Services } from '../services.js';
import type { PlacedChunk } from '../store/chunk-store.js';

/** Relative to the data folder. */
export const MODELS_DIR = 'models';

export interface PublishOptions {
  /** Name of the folder in MODELS_DIR and of the model. */
  readonly name: string;
  readonly round: string;
  readonly version: number;
  readonly signal: AbortSignal;
  /** Gets a function that inserts the model's rows; calls it inside the transaction that makes the model visible. */
  readonly alsoInTransaction: (insertModel: () => void) => void;
}

export async function publishFolder(services: Services, options: PublishOptions): Promise<Artifact> {
  const relative = join(MODELS_DIR, options.name);
  const { manifest, artifact, placed } = await describeMerged(services, relative, options.name, options.signal);
  services.models.putManifest(artifact.manifestDigest, manifest);
  options.alsoInTransaction(() => {
    services.chunks.place(placed);
    services.models.insert(options.name, 'round', options.round, options.version, artifact);
  });
  return artifact;
}

export interface DescribedFolder {
  /** Relative to the data folder. */
  readonly folder: string;
  readonly manifest: Uint8Array;
  readonly artifact: Artifact;
  /** Where its chunks lie. */
  readonly placed: readonly PlacedChunk[];
}

/** Hashes a merged folder. @param relative to the data folder @param name for errors */
export async function describeMerged(services: Services, relative: string, name: string, signal: AbortSignal): Promise<DescribedFolder> {
  const folder = join(services.config.data, relative);
  const paths = (await readdir(folder)).filter((path) => path !== SERVER_STATE_FILE).sort();
  const files: { path: string; sizeBytes: number; header?: Uint8Array; jobs: Segment[][] }[] = [];
  for (const path of paths) {
    const diskPath = join(folder, path);
    // Masks are no weights of the model: what is made of it must not see them as tensors.
    const header =
      path.endsWith('.safetensors') && path !== TASK_MASKS_FILE ? (await readSafetensorsFile(diskPath)).headerBytes : undefined;
    const sizeBytes = (await stat(diskPath)).size;
    const jobs = chunkRangesOf(path, sizeBytes, header).map((range) => [{ path: diskPath, ...range }]);
    files.push({ path, sizeBytes, jobs, ...(header === undefined ? {} : { header }) });
  }
  const digests = await hashSegments(
    files.flatMap((file) => file.jobs),
    { threads: services.config.threads, signal },
  );
  const described: DescribedFile[] = [];
  const placed: PlacedChunk[] = [];
  let next = 0;
  for (const { jobs, ...file } of files) {
    const own = digests.slice(next, next + jobs.length);
    next += jobs.length;
    described.push({ ...file, digests: own });
    jobs.forEach((job, index) => {
      const digest = Buffer.from(own[index] as Uint8Array).toString('hex');
      placed.push({ digest, path: join(relative, file.path), offset: job[0]?.offset ?? 0 });
    });
  }
  const manifest = encodeManifest('full', described);
  return { folder: relative, manifest, artifact: decodeManifest(manifest, name), placed };
}
