/** Small checkpoints on disk and a merge of them in a line: for tests that care about numbers, not about files. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { type DType, isMergeDType, type MergeDType } from '../../shared/formats/tensor.js';
import { planMerge } from '../../shared/merge/plan.js';
import { type MergeOptions, type MergeOutcome, runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { decode, encode } from './scalar-reference.js';
import { type TestTensor, writeCheckpoint } from './write-checkpoint.js';

/** Values of one tensor, or raw bits of its dtype. */
export interface Values {
  readonly dtype: MergeDType;
  readonly values?: readonly number[];
  readonly bits?: readonly number[];
  readonly shape?: readonly number[];
}

export type Model = Readonly<Record<string, Values | TestTensor>>;

function bytesOf(dtype: MergeDType, bits: readonly number[]): Uint8Array {
  const array = dtype === 'F32' ? Uint32Array.from(bits) : Uint16Array.from(bits);
  return new Uint8Array(array.buffer);
}

export function toTensors(model: Model): TestTensor[] {
  return Object.entries(model).map(([name, tensor]) => {
    if ('bytes' in tensor) return { ...tensor, name };
    const bits = tensor.bits ?? (tensor.values ?? []).map((value) => encode(tensor.dtype, value));
    return { name, dtype: tensor.dtype, shape: tensor.shape ?? [bits.length], bytes: bytesOf(tensor.dtype, bits) };
  });
}

export interface Contribution {
  readonly model: Model;
  readonly kind?: 'full' | 'delta';
  readonly samples?: number;
}

export interface Case {
  /** Of a round: without `models`. Contributions are named a, b, c, ... */
  readonly recipe: string;
  readonly base?: Model;
  readonly contributions: readonly Contribution[];
  readonly shardSizeBytes?: number;
  readonly numHiddenLayers?: number;
}

export async function planCase(root: string, one: Case) {
  const folder = mkdtempSync(join(root, 'case-'));
  const recipe = parseRecipe(one.recipe, { fileName: 'recipe.yml' });
  const base =
    one.base === undefined
      ? undefined
      : { name: 'base', tensors: (await openCheckpoint(writeCheckpoint(join(folder, 'base'), toTensors(one.base)))).tensors };
  const inputs: MergeInput[] = [];
  for (const [index, { model, kind = 'full', samples }] of one.contributions.entries()) {
    const name = String.fromCharCode(97 + index);
    const checkpoint = await openCheckpoint(writeCheckpoint(join(folder, name), toTensors(model)));
    inputs.push({ name, kind, tensors: checkpoint.tensors, samples });
  }
  const plan = planMerge({ recipe, base, inputs, inRound: true, shardSizeBytes: one.shardSizeBytes, numHiddenLayers: one.numHiddenLayers });
  return { folder, plan, outputDir: join(folder, 'out') };
}

export interface MergedCase {
  readonly outputDir: string;
  readonly outcome: MergeOutcome;
  /** All bytes of model.safetensors (or of the shards one after the other). */
  readonly fileBytes: Buffer;
  bits(tensor: string): number[];
  values(tensor: string): number[];
  dtype(tensor: string): DType | undefined;
}

export async function mergeCase(root: string, pool: WorkerPool, one: Case, options: Partial<MergeOptions> = {}): Promise<MergedCase> {
  const { plan, outputDir } = await planCase(root, one);
  const outcome = await runMerge(plan, { outputDir, pool, durable: false, ...options });
  const { tensors } = await openCheckpoint(outputDir);
  const bits = (name: string): number[] => {
    const tensor = tensors.get(name);
    const segment = tensor?.segments[0];
    if (tensor === undefined || segment === undefined || !isMergeDType(tensor.dtype)) throw new Error(`no tensor ${name}`);
    const bytes = Uint8Array.from(readFileSync(segment.path).subarray(segment.offset, segment.offset + segment.length));
    return [...(tensor.dtype === 'F32' ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer))];
  };
  return {
    outputDir,
    outcome,
    fileBytes: Buffer.concat(outcome.files.map((file) => readFileSync(join(outputDir, file.name)))),
    bits,
    values: (name) => bits(name).map((one) => decode((tensors.get(name)?.dtype ?? 'F32') as MergeDType, one)),
    dtype: (name) => tensors.get(name)?.dtype,
  };
}
