/** Reads test/golden/mergekit: the cases, what mergekit made of them, and the checkpoints they are about. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { parseSafetensorsHeader } from '../../shared/formats/safetensors-header.js';
import { isMergeDType, type MergeDType } from '../../shared/formats/tensor.js';
import { toFloats } from './compare-numbers.js';
import { TINY_MODELS, tinyConfig, tinyLlama } from './tiny-llama.js';
import { writeCheckpoint } from './write-checkpoint.js';

/** Tests run from dist; the data stays where it is. */
const FOLDER = fileURLToPath(new URL('../../../test/golden/mergekit/', import.meta.url));

/** Which elements a sparsifier cuts off by magnitude (or variance), where equal ones are interchangeable. */
export interface Cut {
  readonly density: number;
  readonly gamma?: number;
  readonly of?: 'variance';
}

export interface GoldenCase {
  readonly name: string;
  readonly recipe: string;
  readonly dtypes?: readonly MergeDType[];
  /** Why mergekit does not merge it. */
  readonly refused?: string;
  /** The dtype that ours stores, where it is another than mergekit's. */
  readonly storedAs?: MergeDType;
  readonly cuts?: readonly Cut[];
  /** Share of elements that equal magnitudes may decide differently, where `cuts` cannot say which. */
  readonly mayDiffer?: number;
  /** Replaces parts of the tolerance of the method, for `numerics: mergekit`. */
  readonly within?: { readonly ulps?: number; readonly unequal?: number };
  /** What our default numerics give where they deliberately leave mergekit: the output of another case (or `base`), for tensors of that name. */
  readonly exact?: { as?: string; tensors?: string; factor?: number; merges?: boolean; clamped?: boolean; error?: string; why: string };
  /** An error of ours where mergekit merges. */
  readonly ours?: { error: string; why: string };
}

export interface GoldenTensor {
  readonly dtype: MergeDType;
  readonly shape: readonly number[];
  /** Every element of a vector, every `sampleEvery`-th of a matrix. */
  readonly sample: Float32Array;
}

export interface GoldenResults {
  readonly versions: Readonly<Record<string, string>>;
  readonly cpu: string;
  readonly sampleEvery: number;
  /** SHA-256 of all tensors of a checkpoint, by `DTYPE/model`. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly cases: Readonly<Record<string, { refused?: string; stored?: string }>>;
}

export function goldenCases(): GoldenCase[] {
  const folder = join(FOLDER, 'cases');
  return readdirSync(folder).flatMap((file) => parse(readFileSync(join(folder, file), 'utf8')) as GoldenCase[]);
}

export function goldenResults(): GoldenResults {
  return JSON.parse(readFileSync(join(FOLDER, 'results.json'), 'utf8')) as GoldenResults;
}

export function dtypesOf(one: GoldenCase): readonly MergeDType[] {
  return one.dtypes ?? (one.refused === undefined ? ['F32', 'BF16'] : ['F32']);
}

export function goldenTensors(name: string, dtype: MergeDType): Map<string, GoldenTensor> {
  const path = join(FOLDER, 'expected', dtype, `${name}.safetensors.gz`);
  const file = gunzipSync(readFileSync(path));
  const headerEnd = 8 + Number(file.readBigUInt64LE());
  const header = parseSafetensorsHeader(file.subarray(8, headerEnd), { fileSizeBytes: file.length, where: path });
  const shapes = JSON.parse(header.metadata.get('shapes') ?? '{}') as Record<string, number[]>;
  const found = new Map<string, GoldenTensor>();
  for (const tensor of header.tensors) {
    if (!isMergeDType(tensor.dtype)) throw new Error(`${path}: ${tensor.dtype}`);
    const sample = toFloats(tensor.dtype, file.subarray(tensor.offset, tensor.offset + tensor.sizeBytes));
    found.set(tensor.name, { dtype: tensor.dtype, shape: shapes[tensor.name] ?? [], sample });
  }
  return found;
}

/** Elements of a tensor that the golden files hold. */
export function sampled<T extends Float32Array | Uint8Array>(values: T, shape: readonly number[], every: number): T {
  return shape.length < 2 ? values : (values.filter((_: number, index: number) => index % every === 0) as T);
}

/** Writes all tiny checkpoints of a dtype under `root/DTYPE`; returns the SHA-256 of each. */
export function writeTinyModels(root: string, dtype: MergeDType): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const [name, { rows }] of Object.entries(TINY_MODELS)) {
    const tensors = tinyLlama(name, dtype);
    writeCheckpoint(join(root, dtype, name), tensors, { 'config.json': tinyConfig(rows, dtype) });
    const digest = createHash('sha256');
    for (const { bytes } of tensors) digest.update(bytes);
    digests[`${dtype}/${name}`] = digest.digest('hex');
  }
  return digests;
}
