/**
 * From a recipe and opened models to a merge plan: which bytes of which inputs make which bytes of the output, in plain numbers.
 * All checks of names, shapes, dtypes and weights happen here, before a byte of output exists.
 */

import { TributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { type DType, isMergeDType, type MergeDType, type StoredTensor } from '../formats/tensor.js';
import { createParameterReader, type ParameterValues } from '../recipe/evaluate.js';
import { layerOf, layerPositions } from '../recipe/layers.js';
import type { Recipe } from '../recipe/recipe.js';
import { checkCompatibility } from './compatibility.js';
import type { Merged } from './plan-sum.js';
import { planTensor } from './plan-tensor.js';
import { layOutShards } from './shards.js';
import type { MergeBase, MergeInput, MergePlan, ModelMeasurement, PlannedUse } from './types.js';

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
