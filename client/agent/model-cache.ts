/**
 * Bases and contributions, fetched once and kept in folders named by the digest of their manifest. Every weight is hashed when a model is opened
 * for the first time in the life of the process: a folder that is not what its name says is fetched anew.
 */
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { openAdapter } from '../../shared/formats/adapter.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { Sidecar } from '../../shared/formats/sidecars.js';
import type { TensorMap } from '../../shared/formats/tensor.js';
import type { Model } from '../../shared/generated/tributary/v1/models.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import { digestOfWeights, digestTensors } from '../../shared/transfer/weights-digest.js';
import { toHex } from '../../shared/util/hex.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import { pull } from '../pull/pull.js';

export interface CachedModel {
  readonly name: string;
  readonly folder: string;
  readonly weightsDigest: string;
  /** Its own, as its files name them. */
  readonly tensors: TensorMap;
  /** By tensor: dtype, shape and the digests of the bytes. Equal texts, equal tensors. */
  readonly contents: ReadonlyMap<string, string>;
  readonly sidecars: readonly Sidecar[];
  /** Bytes of adapter_config.json; of adapters only. */
  readonly adapterConfig: Uint8Array;
}

export interface ModelCacheOptions {
  readonly connection: Connection;
  /** Its folders are below this one, and nobody else writes there. */
  readonly folder: string;
  readonly pool: WorkerPool;
  readonly patience: Patience;
  /** Before anything is fetched. */
  readonly onFetch: (name: string, totalBytes: number) => void;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  /** Which model is used from now on; before its folder is looked for. */
  readonly onUse: (manifestDigest: string) => void;
  /** Removes what is not needed, if there is a limit; Infinity: all of it. @returns whether something went */
  readonly makeRoom: (bytesToCome: number) => Promise<boolean>;
}

export interface WantedModel {
  /** What ModelService knows it by. */
  readonly reference: string;
  readonly kind: ArtifactForm;
  /** What it has to be; undefined: whatever the reference means. */
  readonly manifestDigest?: string | undefined;
}

type Opened = Pick<CachedModel, 'tensors' | 'sidecars' | 'adapterConfig'>;

async function open(folder: string, kind: ArtifactForm): Promise<Opened> {
  if (kind === 'lora') {
    const { tensors, sidecars, configBytes } = await openAdapter(folder);
    return { tensors, sidecars, adapterConfig: configBytes };
  }
  const { tensors, sidecars } = await openCheckpoint(folder);
  return { tensors, sidecars, adapterConfig: new Uint8Array(0) };
}

/** Of a damaged folder every error says the same: it has to be fetched anew. */
async function openVerified(
  folder: string,
  wanted: WantedModel,
  model: Model,
  { pool, patience }: ModelCacheOptions,
): Promise<CachedModel | TributaryError> {
  let opened: Opened;
  try {
    opened = await open(folder, wanted.kind);
  } catch (error) {
    if (error instanceof TributaryError && error.code !== 'IO_ERROR') return error;
    throw error;
  }
  const digests = await digestTensors(opened.tensors, pool, patience.signal);
  const weightsDigest = digestOfWeights(digests);
  if (weightsDigest !== model.weightsDigest)
    return new TributaryError('DIGEST_MISMATCH', {
      what: 'What was fetched is not what the coordinator names',
      where: folder,
      expected: model.weightsDigest,
      got: weightsDigest,
      fix: 'The disk may be damaged; remove the folder and try again.',
    });
  const contents = new Map(
    digests.map(({ info: { name, dtype, shape }, chunkDigests }) => [name, JSON.stringify([dtype, shape, chunkDigests.map(toHex)])]),
  );
  return { name: model.name, folder, weightsDigest, contents, ...opened };
}

/** Fetches the model unless it is there. @throws MODEL_NOT_FOUND, DIGEST_MISMATCH, DISK_FULL, COORDINATOR_UNAVAILABLE and what opening throws */
export async function fetchModel(options: ModelCacheOptions, wanted: WantedModel): Promise<CachedModel> {
  const { connection, patience, pool, onFetch, onProgress, onUse, makeRoom } = options;
  const { signal } = patience;
  const model = await persevere(patience, () => connection.models.getModel({ name: wanted.reference }, { signal }));
  if (wanted.manifestDigest !== undefined && wanted.manifestDigest !== model.manifestDigest)
    throw new TributaryError('DIGEST_MISMATCH', {
      what: 'The coordinator has another model under this name than its study says',
      where: wanted.reference,
      expected: wanted.manifestDigest,
      got: model.manifestDigest,
    });
  const folder = join(options.folder, model.manifestDigest);
  onUse(model.manifestDigest);
  const download = () => pull(connection, { name: wanted.reference, outDir: folder, threads: pool.threads, patience, onProgress });
  const fetch = async (): Promise<CachedModel | TributaryError> => {
    await makeRoom(Number(model.totalBytes));
    onFetch(wanted.reference, Number(model.totalBytes));
    await mkdir(options.folder, { recursive: true });
    try {
      await download();
    } catch (error) {
      // What nobody needs must not keep out what is needed.
      if (toTributaryError(error).code !== 'DISK_FULL' || !(await makeRoom(Infinity))) throw error;
      await download();
    }
    return openVerified(folder, wanted, model, options);
  };
  let opened = existsSync(folder) ? await openVerified(folder, wanted, model, options) : await fetch();
  if (opened instanceof TributaryError) {
    await rm(folder, { recursive: true, force: true });
    opened = await fetch();
  }
  if (opened instanceof TributaryError) throw opened;
  return opened;
}
