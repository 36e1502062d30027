/**
 * From a recipe and opened models to a merge plan: which bytes of which inputs make which bytes of the output, in plain numbers.
 * All checks of names, shapes, dtypes and weights happen here, before a byte of output exists.
 *
 * Arithmetic (numerics: exact). 16-bit outputs: fp32 operations in the order of the inputs; F32 outputs: fp64. Then one rounding.
 * Two rewritings keep identities exact that a sum of task vectors would only approximate; both are equal in real arithmetic:
 * - one full checkpoint of effective coefficient 1 is taken as it is, not as base + (x - base);
 * - a mean (coefficients adding up to their divisor, lambda 1) of full checkpoints is taken of the weights: the base cancels, and is not read.
 */

import { TributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { type DType, isMergeDType, type MergeDType, type StoredTensor } from '../formats/tensor.js';
import { createParameterReader, sumCoefficients, type TensorCoefficients } from '../recipe/evaluate.js';
import { layerPositions } from '../recipe/layers.js';
import type { Recipe } from '../recipe/recipe.js';
import { checkCompatibility } from './compatibility.js';
import { layOutShards } from './shards.js';
import type { MergeBase, MergeInput, MergePlan, PlannedTensor, PlannedUse } from './types.js';

export interface PlanRequest {
  readonly recipe: Recipe;
  readonly base?: MergeBase | undefined;
  /** In the order of the arithmetic: the recipe's models, or the contributions by name. */
  readonly inputs: readonly MergeInput[];
  /** In a round a weight is 1 unless said; offline it must be said. */
  readonly inRound?: boolean | undefined;
  /** From config.json, for gradients over layers. */
  readonly numHiddenLayers?: number | undefined;
  readonly shardSizeBytes?: number | undefined;
}

/** Hugging Face's default, in bytes. */
export const DEFAULT_SHARD_SIZE_BYTES = 5_000_000_000;
/** Of a process with two worker threads, measured by `npm run bench -- merge`. */
const PEAK_MEMORY_BYTES = 120_000_000;

type Merged = Pick<PlannedTensor, 'uses' | 'base' | 'divisor' | 'lambda' | 'plusBase'>;

/** Coefficients and divisor as the kernels will hold them: fp32 for 16-bit outputs, added in order; fp64 for F32. */
function prepareCoefficients(
  { coefficients, normalize }: TensorCoefficients,
  dtype: MergeDType,
): { coefficients: number[]; divisor: number } {
  const round = dtype === 'F32' ? (value: number) => value : Math.fround;
  const held = coefficients.map(round);
  if (!normalize) return { coefficients: held, divisor: 1 };
  let divisor = 0;
  let size = 0;
  for (const one of held) {
    divisor = round(divisor + one);
    size += Math.abs(one);
  }
  // A power of two changes no bit of the quotient, but keeps sums of large counts times large weights from overflowing.
  const scale = size > 1 ? 2 ** -Math.ceil(Math.log2(size)) : 1;
  return { coefficients: held.map((one) => one * scale), divisor: divisor * scale };
}

function planArithmetic(
  recipe: Recipe,
  name: string,
  numbers: TensorCoefficients,
  dtype: MergeDType,
  base: MergeBase | undefined,
  inputs: readonly MergeInput[],
): Merged {
  const ofWeights = recipe.rule.of === 'weights';
  const baseTensor = base?.tensors.get(name);
  const { coefficients, divisor } = prepareCoefficients(numbers, dtype);
  const { lambda } = numbers;
  const all = inputs.flatMap((input, index): (PlannedUse & { full: boolean })[] => {
    const tensor = input.tensors.get(name);
    if (tensor === undefined) return [];
    const full = input.kind === 'full';
    const mode = ofWeights === full ? 'plain' : ofWeights ? 'plusBase' : 'minusBase';
    return [{ input: index, tensor, mode, coefficient: coefficients[index] ?? 0, full }];
  });
  const counting = lambda === 0 ? [] : all.filter((use) => use.coefficient !== 0);
  const strip = ({ input, tensor, mode, coefficient }: PlannedUse): PlannedUse => ({ input, tensor, mode, coefficient });
  const plain = (use: PlannedUse): PlannedUse => strip({ ...use, mode: 'plain' });
  const [single] = counting;

  if (counting.length === 0 && !ofWeights && baseTensor !== undefined) {
    return { uses: [{ input: -1, tensor: baseTensor, mode: 'plain', coefficient: 1 }], divisor: 1, lambda: 1, plusBase: false };
  }
  if (counting.length === 1 && single?.full === true && (single.coefficient / divisor) * lambda === 1) {
    return { uses: [{ ...plain(single), coefficient: 1 }], divisor: 1, lambda: 1, plusBase: false };
  }
  if (!ofWeights && numbers.normalize && lambda === 1 && counting.every((use) => use.full)) {
    return { uses: counting.map(plain), divisor, lambda: 1, plusBase: false };
  }
  const uses = (counting.length === 0 ? all : counting).map(strip);
  const needsBase = !ofWeights || uses.some((use) => use.mode !== 'plain');
  if (needsBase && baseTensor === undefined)
    throw new TributaryError('INTERNAL', { what: 'a task vector was planned without base', where: name });
  return { uses, base: needsBase ? baseTensor : undefined, divisor, lambda, plusBase: !ofWeights };
}

function storageDtype(recipe: Recipe, name: string, base: MergeBase | undefined, inputs: readonly MergeInput[]): MergeDType {
  const ofBase = base?.tensors.get(name)?.dtype;
  if (recipe.outDtype !== undefined) return recipe.outDtype;
  if (ofBase !== undefined && isMergeDType(ofBase)) return ofBase;
  if (recipe.dtype !== undefined) return recipe.dtype;
  const dtypes = new Set(inputs.map((input) => input.tensors.get(name)?.dtype));
  if (dtypes.size === 1) for (const only of dtypes) if (only !== undefined && isMergeDType(only)) return only;
  return 'F32';
}

function planCopy(
  tensor: StoredTensor,
  base: MergeBase | undefined,
  inputs: readonly MergeInput[],
): Merged & { action: 'copy' | 'copyIdentical' } {
  const uses: PlannedUse[] = [];
  const add = (input: number, found: StoredTensor | undefined): void => {
    if (found !== undefined) uses.push({ input, tensor: found, mode: 'plain', coefficient: 1 });
  };
  add(-1, base?.tensors.get(tensor.name));
  inputs.forEach((input, index) => {
    if (input.kind === 'full') add(index, input.tensors.get(tensor.name));
  });
  const exact = tensor.dtype.startsWith('F') || tensor.dtype === 'C64';
  return { action: exact ? 'copyIdentical' : 'copy', uses, divisor: 1, lambda: 1, plusBase: false };
}

function dtypeWarnings(recipe: Recipe, stored: ReadonlySet<DType>): string[] {
  const { dtype, outDtype } = recipe;
  if (dtype === undefined || (stored.size === 1 && stored.has(dtype))) return [];
  if (outDtype !== undefined) return [];
  return [
    `dtype: ${dtype} is the precision of mergekit's arithmetic; the output is stored as ${[...stored].join(', ')}, like the base. Set out_dtype to store it otherwise.`,
  ];
}

/** A name in the recipe that takes no part: a typing error, or someone who did not push. */
function absentContributors(recipe: Recipe, inputs: readonly MergeInput[]): string[] {
  const absent = [...recipe.contributors.keys()].filter((name) => !inputs.some((input) => input.name === name));
  return absent.map((name) => `contributors.${name} has no effect: no such contribution takes part`);
}

/** @throws RECIPE_UNSUPPORTED for rules that are not a weighted sum with known coefficients */
function checkPlannable({ rule, numerics, fileName, method }: Recipe): void {
  const { transforms, weighting, combine, post } = rule;
  const known = transforms.length === 0 && combine === 'sum' && weighting !== 'nan' && weighting !== 'metagpt';
  if (known && numerics === 'exact' && post.every((step) => step === 'scale')) return;
  throw new TributaryError('RECIPE_UNSUPPORTED', {
    what: `${method}${numerics === 'exact' ? '' : ' with numerics: mergekit'} cannot be merged in this version`,
    where: fileName,
  });
}

/** @throws TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE, RECIPE_INVALID, SAMPLES_MISSING, NO_CONTRIBUTIONS */
export function planMerge(request: PlanRequest): MergePlan {
  const { recipe, base } = request;
  checkPlannable(recipe);
  const inputs = request.inputs.map(
    (input): MergeInput => ({
      ...input,
      samples: recipe.contributors.get(input.name)?.samples ?? input.samples,
      steps: recipe.contributors.get(input.name)?.steps ?? input.steps,
    }),
  );
  const [first] = inputs;
  if (first === undefined) throw new TributaryError('NO_CONTRIBUTIONS', { what: 'there is nothing to merge', where: recipe.fileName });
  const needsBase = recipe.rule.of === 'task_vectors' || inputs.some((input) => input.kind === 'delta');
  if (needsBase && base === undefined) {
    throw new TributaryError('RECIPE_INVALID', {
      what: `${recipe.method} needs a base model`,
      where: recipe.fileName,
      expected: 'base_model: a folder',
      fix: 'Add base_model.',
    });
  }
  const reference = base ?? first;
  for (const input of inputs) if (input.tensors !== reference.tensors) checkCompatibility(reference, input);

  const names = [...reference.tensors.keys()];
  const read = createParameterReader(
    recipe,
    inputs,
    layerPositions(names, request.numHiddenLayers),
    request.inRound === true ? 1 : undefined,
  );
  const stored = new Set<DType>();
  const unplaced = [...reference.tensors.values()].map((tensor) => {
    if (!isMergeDType(tensor.dtype))
      return { name: tensor.name, shape: tensor.shape, dtype: tensor.dtype, ...planCopy(tensor, base, inputs) };
    const dtype = storageDtype(recipe, tensor.name, base, inputs);
    stored.add(dtype);
    if (elementCount(tensor.shape) === 0)
      return { name: tensor.name, shape: tensor.shape, dtype, action: 'merge' as const, uses: [], divisor: 1, lambda: 1, plusBase: false };
    return {
      name: tensor.name,
      shape: tensor.shape,
      dtype,
      action: 'merge' as const,
      ...planArithmetic(recipe, tensor.name, sumCoefficients(recipe, inputs, read(tensor), tensor.name), dtype, base, inputs),
    };
  });
  const layout = layOutShards(unplaced, request.shardSizeBytes ?? DEFAULT_SHARD_SIZE_BYTES);
  const readBytes = layout.tensors.reduce(
    (sum, tensor) => sum + (tensor.base?.sizeBytes ?? 0) + tensor.uses.reduce((bytes, use) => bytes + use.tensor.sizeBytes, 0),
    0,
  );
  const [onlyDtype] = stored;
  return {
    inputNames: inputs.map((input) => input.name),
    baseName: base?.name,
    ...layout,
    warnings: [...dtypeWarnings(recipe, stored), ...absentContributors(recipe, inputs)],
    totals: {
      tensors: layout.tensors.length,
      readBytes,
      writeBytes: layout.shards.reduce((sum, shard) => sum + shard.sizeBytes, 0),
      peakMemoryBytes: PEAK_MEMORY_BYTES,
    },
    dtype: stored.size === 1 ? onlyDtype : undefined,
  };
}
