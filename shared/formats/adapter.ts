/**
 * A LoRA adapter on disk (adapter_config.json and adapter_model.safetensors, as PEFT saves them), and what it makes of a base: a complete set of
 * tensors in the base's names, nothing of which is written out.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { type AdapterConfig, MAX_ADAPTER_CONFIG_BYTES, parseAdapterConfig, refuseAdapter } from './adapter-config.js';
import { ADAPTER_CONFIG_FILE, ADAPTER_FILES, ADAPTER_PICKLE_FILE, ADAPTER_WEIGHTS_FILE } from './adapter-files.js';
import { parseAdapterKey } from './adapter-keys.js';
import { adapterParts } from './adapter-parts.js';
import { readSafetensorsFile, refusePickle, type SafetensorsFile } from './safetensors-file.js';
import { elementCount } from './safetensors-header.js';
import { listSidecars, type Sidecar } from './sidecars.js';
import { DTYPE_BYTES, type StoredTensor, type TensorMap } from './tensor.js';

/** What is needed to make tensors of an adapter, wherever its bytes lie. */
export interface AdapterWeights {
  readonly config: AdapterConfig;
  /** As its file names them. */
  readonly tensors: TensorMap;
  /** For errors. */
  readonly name: string;
}

export interface Adapter extends AdapterWeights {
  readonly path: string;
  readonly configPath: string;
  readonly configBytes: Uint8Array;
  readonly file: SafetensorsFile;
  readonly metadata: ReadonlyMap<string, string>;
  /** Tokenizer files beside it. */
  readonly sidecars: readonly Sidecar[];
}

/** @returns the folder of an adapter that a path means: itself, or that of the file it names */
export async function adapterFolderAt(path: string): Promise<string | undefined> {
  if (ADAPTER_FILES.includes(basename(path))) return dirname(path);
  const names = await readdir(path).catch((): string[] => []);
  return ADAPTER_FILES.some((name) => names.includes(name)) ? path : undefined;
}

function decodeConfig(bytes: Uint8Array, where: string): string {
  if (bytes.length > MAX_ADAPTER_CONFIG_BYTES)
    refuseAdapter('ADAPTER_INVALID', where, 'the configuration is too large', {
      expected: `at most ${MAX_ADAPTER_CONFIG_BYTES} bytes`,
      got: `${bytes.length}`,
    });
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuseAdapter('ADAPTER_INVALID', where, 'the configuration is not valid UTF-8');
  }
}

/** @throws ADAPTER_INVALID, ADAPTER_UNSUPPORTED */
export const readAdapterConfig = (bytes: Uint8Array, where: string): AdapterConfig => parseAdapterConfig(decodeConfig(bytes, where), where);

export function tensorsOfFile({ path, tensors }: SafetensorsFile): Map<string, StoredTensor> {
  return new Map(
    tensors.map(({ name, dtype, shape, offset, sizeBytes }) => [
      name,
      { name, dtype, shape, sizeBytes, segments: [{ path, offset, length: sizeBytes }] },
    ]),
  );
}

async function readConfigFile(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_ADAPTER_CONFIG_BYTES) decodeConfig(new Uint8Array(size), path);
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw toTributaryError(error, path);
    return refuseAdapter('ADAPTER_INVALID', dirname(path), `there is no ${basename(path)} beside the adapter's weights`, {
      fix: 'Without it, neither rank nor scale is known: save the adapter again with `save_pretrained`.',
    });
  }
}

/**
 * @param path a folder for which adapterFolderAt answers
 * @throws ADAPTER_*, SAFETENSORS_*, PICKLE_REFUSED, CHECKPOINT_NOT_FOUND, IO_ERROR
 */
export async function openAdapter(path: string): Promise<Adapter> {
  const folder = (await adapterFolderAt(path)) ?? path;
  const names = await readdir(folder).catch((error: unknown) => Promise.reject(toTributaryError(error, folder)));
  const whole = names.find((name) => /^model(?:-\d{5}-of-\d{5})?\.safetensors$/.test(name));
  if (whole !== undefined)
    refuseAdapter('ADAPTER_INVALID', folder, 'the folder holds both an adapter and a model, so which of them is meant is unclear', {
      got: `${names.filter((name) => ADAPTER_FILES.includes(name)).join(', ')} and ${whole}`,
      fix: 'Move one of them to a folder of its own.',
    });
  if (!names.includes(ADAPTER_WEIGHTS_FILE)) {
    if (names.includes(ADAPTER_PICKLE_FILE)) refusePickle(join(folder, ADAPTER_PICKLE_FILE));
    throw new TributaryError('CHECKPOINT_NOT_FOUND', {
      what: 'an adapter without weights',
      where: folder,
      expected: ADAPTER_WEIGHTS_FILE,
      got: names.filter((name) => ADAPTER_FILES.includes(name)).join(', '),
    });
  }
  const configPath = join(folder, ADAPTER_CONFIG_FILE);
  const configBytes = await readConfigFile(configPath);
  const config = readAdapterConfig(configBytes, configPath);
  const file = await readSafetensorsFile(join(folder, ADAPTER_WEIGHTS_FILE));
  const sidecars = await listSidecars(folder);
  return { path, name: path, config, configPath, configBytes, file, tensors: tensorsOfFile(file), metadata: file.metadata, sidecars };
}

/** What kind of model it is, for people: `LoRA adapter, rank 8`. */
export function adapterWords({ tensors, name }: AdapterWeights): string {
  const ranks = [...tensors.values()].flatMap((tensor) => {
    const key = parseAdapterKey(tensor.name, name);
    return key.kind === 'factor' && key.factor === 'A' ? [tensor.shape[0] ?? 0] : [];
  });
  if (ranks.length === 0) return 'LoRA adapter without factors';
  const [least, most] = [Math.min(...ranks), Math.max(...ranks)];
  return `LoRA adapter, rank ${least === most ? `${most}` : `${least} to ${most}`}`;
}

export const f32Bytes = (shape: readonly number[]): number => (elementCount(shape) ?? 0) * DTYPE_BYTES.F32;

/**
 * The model that base and adapter make, as tensors in the base's names and order: a changed weight is a product (a difference to the base), what
 * the adapter holds whole is its own tensor under the base's name, and all else is the base's very object.
 * @throws ADAPTER_INVALID, ADAPTER_UNSUPPORTED, UNSUPPORTED_DTYPE
 */
export function expandAdapter(adapter: AdapterWeights, base: { readonly name: string; readonly tensors: TensorMap }): TensorMap {
  const { parts } = adapterParts({ config: adapter.config, tensors: adapter.tensors, where: adapter.name }, base);
  const stored = (name: string): StoredTensor => {
    const tensor = adapter.tensors.get(name);
    if (tensor === undefined)
      throw new TributaryError('INTERNAL', { what: `${name} was planned but is not in the adapter`, where: adapter.name });
    return tensor;
  };
  const expanded = new Map<string, StoredTensor>();
  for (const [name, tensor] of base.tensors) {
    const part = parts.get(name);
    if (part === undefined) expanded.set(name, tensor);
    else if (part.kind === 'full') expanded.set(name, { ...stored(part.from), name });
    else {
      const { rank, scale, transposed } = part;
      const { shape } = tensor;
      const product = { left: stored(part.left), right: stored(part.right), rank, scale, transposed };
      expanded.set(name, { name, dtype: 'F32', shape, sizeBytes: f32Bytes(shape), segments: [], difference: true, product });
    }
  }
  return expanded;
}

/**
 * Tensors that the file repeats from its base (PEFT saves embeddings whole beside their factors), under the base's names. An adapter whose
 * repetitions are not what the base holds belongs to another base.
 * @throws as expandAdapter
 */
export function repeatedTensors(adapter: AdapterWeights, base: { readonly name: string; readonly tensors: TensorMap }): TensorMap {
  const { repeated } = adapterParts({ config: adapter.config, tensors: adapter.tensors, where: adapter.name }, base);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, from] of repeated) {
    const tensor = adapter.tensors.get(from);
    if (tensor !== undefined) tensors.set(name, { ...tensor, name });
  }
  return tensors;
}

/** The same model with each weight as the sum of the base's and the difference: for merges whose base is another one, or none. */
export function ontoBase(expanded: TensorMap, base: TensorMap): TensorMap {
  const whole = new Map<string, StoredTensor>();
  for (const [name, tensor] of expanded) {
    const weights = base.get(name);
    if (tensor.product === undefined || weights === undefined) whole.set(name, tensor);
    else {
      const { shape, sizeBytes } = tensor;
      whole.set(name, { name, dtype: 'F32', shape, sizeBytes, segments: [], sum: { weights, difference: tensor } });
    }
  }
  return whole;
}
