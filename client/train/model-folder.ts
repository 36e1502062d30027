/**
 * The network as a model folder in Hugging Face layout: `model.safetensors` (F32, `fc1.weight` [outputs, inputs], `fc1.bias`, ...) and
 * `config.json`. Reading and writing keep every bit of the weights, and the `__metadata__` of the file that a fine-tune started from:
 * the base's digest stands there, and a push proves its base by it.
 */
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { encodeSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import type { StoredTensor, TensorInfo, TensorMap } from '../../shared/formats/tensor.js';
import { BASE_DIGEST_KEY } from '../../shared/transfer/artifact.js';
import { readOrigin } from '../origin.js';
import { CLASS_COUNT } from './digits.js';
import { DOMAINS, IMAGE_PIXELS } from './domains.js';
import type { Layer, Network } from './network.js';

const MODEL_TYPE = 'tributary-digits-mlp';
const WEIGHTS_FILE = 'model.safetensors';
const CONFIG_FILE = 'config.json';
/** transformers refuses safetensors files without it. */
const NEW_METADATA: ReadonlyMap<string, string> = new Map([['format', 'pt']]);

const trainingStageSchema = z.object({
  stage: z.enum(['base', 'fine-tune']),
  domains: z.array(z.enum(DOMAINS)),
  samples: z.int().positive(),
  epochs: z.int().positive(),
  steps: z.int().positive(),
  learning_rate: z.number().positive(),
  seed: z.int(),
  backend: z.string(),
});

/** What one training run did; `samples` and `steps` are what a push reports. */
export type TrainingStage = z.infer<typeof trainingStageSchema>;

/** Unknown keys are let through: the coordinator and other tools may add theirs. */
const configSchema = z.object({
  model_type: z.literal(MODEL_TYPE),
  layer_sizes: z.array(z.int().positive()).min(2),
  /** Seed of the split into test, validation, base and contributors: whoever trains on or tests this model must use the same. */
  split_seed: z.int(),
  training: z.array(trainingStageSchema),
});

export interface DigitModel {
  readonly network: Network;
  readonly splitSeed: number;
  /** Oldest first. */
  readonly training: readonly TrainingStage[];
  /** `__metadata__` of the safetensors file. */
  readonly metadata: ReadonlyMap<string, string>;
}

export function newModel(network: Network, splitSeed: number, stage: TrainingStage): DigitModel {
  return { network, splitSeed, training: [stage], metadata: NEW_METADATA };
}

/** @throws CHECKPOINT_NOT_FOUND, CONFIG_INVALID, TENSOR_MISSING, TENSOR_EXTRA, SHAPE_MISMATCH, UNSUPPORTED_DTYPE, SAFETENSORS_*, IO_ERROR */
export async function readModel(folder: string): Promise<DigitModel> {
  const checkpoint = await openCheckpoint(folder);
  const config = await readConfig(join(folder, CONFIG_FILE));
  const expected = tensorInfos(config.layer_sizes);
  checkNames(checkpoint.tensors, expected, folder);
  const origin = await readOrigin(folder);
  const values: Float32Array[] = [];
  for (const info of expected) values.push(await readTensor(checkpoint.tensors.get(info.name) as StoredTensor, info, folder));
  const layers = config.layer_sizes
    .slice(1)
    .map((_, index): Layer => ({ weight: values[2 * index] as Float32Array, bias: values[2 * index + 1] as Float32Array }));
  return {
    network: { layerSizes: config.layer_sizes, layers },
    splitSeed: config.split_seed,
    training: config.training,
    metadata: origin === undefined ? checkpoint.metadata : new Map([...checkpoint.metadata, [BASE_DIGEST_KEY, origin.weights_digest]]),
  };
}

/** Refuses a target that holds something, before an hour of training is spent on it. @throws OUTPUT_EXISTS, IO_ERROR */
export async function checkOutputFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') return [basename(folder)];
    throw toTributaryError(error, folder);
  });
  if (names.length > 0) {
    throw new TributaryError('OUTPUT_EXISTS', {
      what: 'the output folder is not empty',
      where: folder,
      fix: 'Give another folder, or remove this one first.',
    });
  }
}

/** Writes beside the target and renames, so that the folder is there complete or not at all. @throws OUTPUT_EXISTS, DISK_FULL, IO_ERROR */
export async function writeModel(folder: string, model: DigitModel): Promise<void> {
  await checkOutputFolder(folder);
  const target = resolve(folder);
  const partial = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  try {
    await mkdir(partial, { recursive: true });
    await writeFile(join(partial, WEIGHTS_FILE), encodeWeights(model));
    await writeFile(join(partial, CONFIG_FILE), `${JSON.stringify(configOf(model), undefined, 2)}\n`);
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw toTributaryError(error, folder);
  }
}

function configOf(model: DigitModel): object {
  return {
    architectures: ['DigitsMlp'],
    model_type: MODEL_TYPE,
    torch_dtype: 'float32',
    layer_sizes: [...model.network.layerSizes],
    hidden_act: 'relu',
    num_labels: CLASS_COUNT,
    split_seed: model.splitSeed,
    training: [...model.training],
  } satisfies z.input<typeof configSchema> & Record<string, unknown>;
}

function encodeWeights(model: DigitModel): Uint8Array {
  const infos = tensorInfos(model.network.layerSizes);
  const header = encodeSafetensorsHeader(infos, model.metadata);
  const values = model.network.layers.flatMap(({ weight, bias }) => [weight, bias]);
  const bytes = new Uint8Array(header.length + values.reduce((sum, value) => sum + value.byteLength, 0));
  bytes.set(header);
  const view = new DataView(bytes.buffer);
  let at = header.length;
  for (const value of values) {
    for (const element of value) {
      view.setFloat32(at, element, true);
      at += 4;
    }
  }
  return bytes;
}

function tensorInfos(layerSizes: readonly number[]): TensorInfo[] {
  return layerSizes.slice(1).flatMap((outputs, index): TensorInfo[] => [
    { name: `fc${index + 1}.weight`, dtype: 'F32', shape: [outputs, layerSizes[index] as number] },
    { name: `fc${index + 1}.bias`, dtype: 'F32', shape: [outputs] },
  ]);
}

async function readConfig(path: string): Promise<z.infer<typeof configSchema>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw toTributaryError(error, path);
    throw new TributaryError(
      'CHECKPOINT_NOT_FOUND',
      { what: `no ${CONFIG_FILE} beside the weights, so the network is unknown`, where: path, fix: 'Give a folder made by `train base`.' },
      { cause: error },
    );
  }
  try {
    const config = configSchema.parse(JSON.parse(text));
    if (config.layer_sizes[0] === IMAGE_PIXELS && config.layer_sizes.at(-1) === CLASS_COUNT) return config;
    throw new Error(`layer_sizes must begin with ${IMAGE_PIXELS} and end with ${CLASS_COUNT}`);
  } catch (error) {
    const got = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new TributaryError(
      'CONFIG_INVALID',
      { what: 'not the configuration of a digits network', where: path, expected: `model_type ${MODEL_TYPE}`, got },
      { cause: error },
    );
  }
}

function checkNames(tensors: TensorMap, expected: readonly TensorInfo[], where: string): void {
  for (const info of expected) {
    const found = tensors.get(info.name);
    if (found === undefined) throw new TributaryError('TENSOR_MISSING', { what: `tensor ${info.name} is missing`, where });
    if (found.shape.join() !== info.shape.join()) {
      throw new TributaryError('SHAPE_MISMATCH', {
        what: `tensor ${info.name} has another shape than config.json says`,
        where,
        expected: `[${info.shape.join(', ')}]`,
        got: `[${found.shape.join(', ')}]`,
      });
    }
    if (found.dtype !== 'F32') {
      throw new TributaryError('UNSUPPORTED_DTYPE', {
        what: `the reference trainer computes in F32 only, and tensor ${info.name} is not`,
        where,
        expected: 'F32',
        got: found.dtype,
        fix: 'Merge with `out_dtype: float32`.',
      });
    }
  }
  const known = new Set(expected.map(({ name }) => name));
  for (const name of tensors.keys()) {
    if (!known.has(name)) throw new TributaryError('TENSOR_EXTRA', { what: `tensor ${name} is not part of the network`, where });
  }
}

async function readTensor(tensor: StoredTensor, info: TensorInfo, where: string): Promise<Float32Array> {
  const bytes = new Uint8Array(tensor.sizeBytes);
  let filled = 0;
  for (const segment of tensor.segments) {
    const handle = await open(segment.path, 'r').catch((error: unknown) => Promise.reject(toTributaryError(error, segment.path)));
    try {
      const { bytesRead } = await handle.read(bytes, filled, segment.length, segment.offset);
      if (bytesRead !== segment.length) throw new TributaryError('SAFETENSORS_TRUNCATED', { what: 'the file became shorter', where });
      filled += bytesRead;
    } finally {
      await handle.close();
    }
  }
  const view = new DataView(bytes.buffer);
  const values = Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
  const strange = values.findIndex((value) => !Number.isFinite(value));
  if (strange >= 0) {
    throw new TributaryError('NON_FINITE', { what: `element ${strange} of tensor ${info.name} is ${values[strange]}`, where });
  }
  return values;
}
