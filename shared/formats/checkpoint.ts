/**
 * Opens what a person calls "a model": a folder in Hugging Face layout or one safetensors file. What it returns is checked against itself
 * (index against shards, every header) and ambiguity is refused: nobody should merge other weights than transformers would load.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { ADAPTER_FILES, ADAPTER_WEIGHTS_FILE } from './adapter-files.js';
import { readCheckpointIndex } from './checkpoint-index.js';
import { readSafetensorsFile, refusePickle, type SafetensorsFile } from './safetensors-file.js';
import type { SafetensorsTensor } from './safetensors-header.js';
import { listSidecars, type Sidecar } from './sidecars.js';
import { quoteForMessage } from './strict-json.js';
import type { StoredTensor, TensorMap } from './tensor.js';

export interface CheckpointShard {
  readonly path: string;
  readonly fileName: string;
  /** The 8-byte length and the JSON of the header, exactly as they stand in the file. */
  readonly headerBytes: Uint8Array;
  readonly sizeBytes: number;
  /** In order of offset. */
  readonly tensors: readonly SafetensorsTensor[];
}

export interface Checkpoint {
  readonly path: string;
  /** In order of file name. */
  readonly shards: readonly CheckpointShard[];
  /** In order of shard, then offset. */
  readonly tensors: TensorMap;
  /** Of all shards together; where they differ, the first shard's word counts. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Configuration and tokenizer files beside the weights. */
  readonly sidecars: readonly Sidecar[];
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SHARD_NAME = /^(.+)-(\d{5})-of-(\d{5})\.safetensors$/;
const PICKLE_NAME = /\.(?:bin|pt|pth|ckpt|pkl|pickle)$/;

function refuseAdapter(path: string): never {
  throw new TributaryError('RECIPE_UNSUPPORTED', {
    what: 'a LoRA adapter, where a whole model is needed',
    where: path,
    expected: 'a folder with model.safetensors or its shards',
    fix: 'In a recipe write MODEL+ADAPTER, or list the adapter beside base_model; push it to a round as it is; as a base, merge it into its model first.',
  });
}

function refuseIndex(where: string, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError('CHECKPOINT_INDEX_INVALID', { what, where, ...details });
}

/** @throws CHECKPOINT_*, SAFETENSORS_*, PICKLE_REFUSED, UNSUPPORTED_DTYPE, RECIPE_UNSUPPORTED (adapters), IO_ERROR */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toTributaryError(error, path);
    throw new TributaryError(
      'CHECKPOINT_NOT_FOUND',
      {
        what: 'no such file or folder',
        where: path,
        expected: 'a folder with safetensors weights, or a .safetensors file',
        got: 'nothing',
        fix: /^[\w.-]+\/[\w.-]+$/.test(path)
          ? `If this is a name on the Hugging Face Hub, download it first: hf download ${path} --local-dir DIR`
          : undefined,
      },
      { cause: error },
    );
  }
  return isFolder ? openFolder(path) : openFile(path);
}

async function openFile(path: string): Promise<Checkpoint> {
  const name = basename(path);
  if (name.endsWith('.index.json')) return openFolder(dirname(path));
  if (name === ADAPTER_WEIGHTS_FILE) refuseAdapter(path);
  const file = await readSafetensorsFile(path).catch((error: unknown) => {
    if (PICKLE_NAME.test(name)) refusePickle(path);
    throw error;
  });
  const beside = (await readdir(dirname(path))).filter((other) => other.endsWith('.safetensors'));
  return assemble(path, [file], beside.length === 1 ? await listSidecars(dirname(path)) : []);
}

async function openFolder(folder: string): Promise<Checkpoint> {
  const names = (await readdir(folder).catch((error: unknown) => Promise.reject(toTributaryError(error, folder))))
    .filter((name) => !name.startsWith('.'))
    .sort();
  const adapter = ADAPTER_FILES.find((name) => names.includes(name));
  if (adapter !== undefined) refuseAdapter(join(folder, adapter));
  if (names.includes(INDEX)) return openSharded(folder, names);
  const fileNames = pickFiles(folder, names);
  const files = await Promise.all(fileNames.map((name) => readSafetensorsFile(join(folder, name))));
  return assemble(folder, files, await listSidecars(folder));
}

/** The weight files of a folder without index: model.safetensors, the only file there is, or one complete numbered set. */
function pickFiles(folder: string, names: readonly string[]): string[] {
  if (names.includes(SINGLE)) return [SINGLE];
  const candidates = names.filter((name) => name.endsWith('.safetensors'));
  if (candidates.length === 0) {
    const pickle = names.find((name) => PICKLE_NAME.test(name));
    if (pickle !== undefined) refusePickle(join(folder, pickle));
    throw new TributaryError('CHECKPOINT_NOT_FOUND', {
      what: 'the folder holds no safetensors file',
      where: folder,
      expected: `${SINGLE} or ${INDEX} with its shards`,
    });
  }
  const matches = candidates.map((name) => SHARD_NAME.exec(name));
  const [first] = matches;
  const numbered = first !== null && first !== undefined && matches.every((match) => match?.[1] === first[1] && match?.[3] === first[3]);
  if (numbered) {
    const total = Number(first[3]);
    if (candidates.length === total) return candidates;
    refuseIndex(folder, 'shards are missing', {
      expected: `${total} shards named ${first[1]}-NNNNN-of-${first[3]}.safetensors`,
      got: `${candidates.length}`,
    });
  }
  if (candidates.length === 1) return candidates;
  refuseIndex(folder, 'several safetensors files and no index: which of them make up the model is unclear', {
    expected: `${SINGLE}, or ${INDEX}`,
    got: candidates.slice(0, 5).join(', '),
    fix: 'Give the path of one file, or move the others away.',
  });
}

async function openSharded(folder: string, names: readonly string[]): Promise<Checkpoint> {
  const indexPath = join(folder, INDEX);
  const { weightMap } = await readCheckpointIndex(indexPath);
  const fileNames = [...new Set(weightMap.values())].sort();
  if (names.includes(SINGLE) && !fileNames.includes(SINGLE)) {
    refuseIndex(folder, `both ${SINGLE} and an index that does not name it are there`, { fix: 'Remove the one that is out of date.' });
  }
  for (const name of fileNames) {
    if (!names.includes(name)) refuseIndex(indexPath, 'a shard named by the index does not exist', { expected: name });
  }
  const files = await Promise.all(fileNames.map((name) => readSafetensorsFile(join(folder, name))));
  const checkpoint = assemble(folder, files, await listSidecars(folder));
  const lies = new Map(files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, basename(file.path)] as const)));
  for (const [tensor, expected] of weightMap) {
    const got = lies.get(tensor);
    if (got !== expected)
      refuseIndex(indexPath, `tensor ${quoteForMessage(tensor)} is not where the index says`, { expected, got: got ?? 'in no shard' });
  }
  for (const [tensor, got] of lies) {
    if (!weightMap.has(tensor)) refuseIndex(indexPath, `tensor ${quoteForMessage(tensor)} is in a shard but not in the index`, { got });
  }
  return checkpoint;
}

function assemble(path: string, files: readonly SafetensorsFile[], sidecars: readonly Sidecar[]): Checkpoint {
  const tensors = new Map<string, StoredTensor>();
  const metadata = new Map<string, string>();
  const shards = files.map((file): CheckpointShard => {
    for (const { name, dtype, shape, offset, sizeBytes } of file.tensors) {
      if (tensors.has(name))
        refuseIndex(path, `tensor ${quoteForMessage(name)} is in two shards`, { got: `again in ${basename(file.path)}` });
      tensors.set(name, { name, dtype, shape, sizeBytes, segments: [{ path: file.path, offset, length: sizeBytes }] });
    }
    for (const [key, value] of file.metadata) if (!metadata.has(key)) metadata.set(key, value);
    return {
      path: file.path,
      fileName: basename(file.path),
      headerBytes: file.headerBytes,
      sizeBytes: file.sizeBytes,
      tensors: file.tensors,
    };
  });
  if (tensors.size === 0) throw new TributaryError('CHECKPOINT_NOT_FOUND', { what: 'the checkpoint holds no tensor', where: path });
  return { path, shards, tensors, metadata, sidecars };
}
