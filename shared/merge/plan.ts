/**
 * From a recipe and opened models to a merge plan: which bytes of which inputs make which bytes of the output, in plain numbers.
 * All checks of names, shapes, dtypes and weights happen here, before a byte of output exists.
 */

import { TributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { type DType, isMergeDType, type MergeDType, nativeDType } from '../formats/tensor.js';
import { createParameterReader, type ParameterPlace } from '../recipe/evaluate.js';
import { layerPositions } from '../recipe/layers.js';
import type { Recipe } from '../recipe/recipe.js';
import { withoutMatrixSteps } from './derive.js';
import type { OutputRequest } from './merge-part.js';
import { type OutputTensor, type OutputTensors, outputTensors } from './output-tensors.js';
import { matrixPlanner } from './plan-matrices.js';
import { lambdaOf, linesOf, modelMeasurement } from './plan-model.js';
import { holdsWeights, type Merged, onlyBase } from './plan-sum.js';
import { planTensor } from './plan-tensor.js';
import { layOutShards, outputFiles } from './shards.js';
import { planTaskMasks } from './task-masks.js';
import { totalsOf } from './totals.js';
import type { MergeInput, MergePlan, PlannedUse } from './types.js';
import { hasDifferences, isUnchanged } from './unchanged.js';

export interface PlanRequest extends OutputRequest {
  /** Found before, from the same request. */
  readonly outputs?: OutputTensors | undefined;
  readonly shardSizeBytes?: number | undefined;
  /** The merged task vector itself is wanted, in F32 and without the base: what an optimiser of the server steps along. */
  readonly vectorOnly?: true | undefined;
}

/** Hugging Face's default, in bytes. */
export const DEFAULT_SHARD_SIZE_BYTES = 5_000_000_000;
/** The one dtype that the sources are kept in, or F32; factors have a say only where there is nothing else. */
function commonDType({ base, sources }: OutputTensor): MergeDType {
  const kept = sources.filter(({ tensor }) => tensor.product === undefined).map(({ tensor }) => nativeDType(tensor));
  const dtypes = new Set(kept.length === 0 && base !== undefined ? [nativeDType(base)] : kept);
  const [only] = dtypes;
  return dtypes.size === 1 && only !== undefined && isMergeDType(only) ? only : 'F32';
}

/** Of the arithmetic, under `numerics: mergekit`: what is asked for, else what the base or all inputs have. */
function arithmeticDtype(recipe: Recipe, output: OutputTensor): MergeDType {
  if (recipe.dtype !== undefined) return recipe.dtype;
  const native = output.base === undefined ? undefined : nativeDType(output.base);
  if (native !== undefined && isMergeDType(native) && recipe.rule.of === 'task_vectors') return native;
  return commonDType(output);
}

function storageDtype(recipe: Recipe, output: OutputTensor): MergeDType {
  if (recipe.outDtype !== undefined) return recipe.outDtype;
  if (recipe.numerics === 'mergekit') return arithmeticDtype(recipe, output);
  const native = output.base === undefined ? undefined : nativeDType(output.base);
  if (native !== undefined && isMergeDType(native)) return native;
  return recipe.dtype ?? commonDType(output);
}

function planCopy(
  { base, sources }: OutputTensor,
  dtype: DType,
  inputs: readonly MergeInput[],
): Merged & { action: 'copy' | 'copyIdentical' } {
  const uses: PlannedUse[] = [];
  if (base !== undefined) uses.push({ input: -1, tensor: base, mode: 'plain', coefficient: 1 });
  for (const { input, tensor } of sources)
    if (holdsWeights(inputs[input], tensor) && !isUnchanged(tensor, base)) uses.push({ input, tensor, mode: 'plain', coefficient: 1 });
  const exact = dtype.startsWith('F') || dtype === 'C64';
  return { action: exact ? 'copyIdentical' : 'copy', uses, divisor: 1, lambda: 1, plusBase: false };
}

function dtypeWarnings(recipe: Recipe, stored: ReadonlySet<DType>): string[] {
  const { dtype, outDtype, numerics } = recipe;
  if (dtype === undefined || numerics === 'mergekit' || (stored.size === 1 && stored.has(dtype))) return [];
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

const isEmpty = (shape: readonly number[]): boolean => elementCount(shape) === 0;
const EMPTY: Merged = { uses: [], divisor: 1, lambda: 1, plusBase: false };

/** @throws TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE, RECIPE_INVALID, SAMPLES_MISSING, STEPS_MISSING, NO_CONTRIBUTIONS */
export function planMerge(request: PlanRequest): MergePlan {
  const { base } = request;
  const recipe = withoutMatrixSteps(request.recipe);
  const inputs = request.inputs.map(
    (input): MergeInput => ({
      ...input,
      samples: recipe.contributors.get(input.name)?.samples ?? input.samples,
      steps: recipe.contributors.get(input.name)?.steps ?? input.steps,
    }),
  );
  if (inputs.length === 0) throw new TributaryError('NO_CONTRIBUTIONS', { what: 'there is nothing to merge', where: recipe.fileName });
  const needsBase = recipe.description.needs.includes('base') || inputs.some(hasDifferences);
  if (needsBase && base === undefined) {
    throw new TributaryError('RECIPE_INVALID', {
      what: `${recipe.method} needs a base model`,
      where: recipe.fileName,
      expected: 'base_model: a folder',
      fix: 'Add base_model.',
    });
  }
  const outputs = request.outputs ?? outputTensors({ ...request, inputs });
  const vectorOnly = request.vectorOnly === true;
  const names = outputs.tensors.map((output) => output.name);
  const read = createParameterReader(
    recipe,
    inputs,
    layerPositions(names, request.numHiddenLayers),
    request.inRound === true ? 1 : undefined,
  );
  const dtypeOf = ({ base: ofBase, sources }: OutputTensor): DType => (ofBase ?? sources[0]?.tensor)?.dtype ?? 'F32';
  const merged = outputs.tensors.filter((output) => isMergeDType(dtypeOf(output)));
  const modelCount = merged.reduce((sum, { shape }) => sum + (elementCount(shape) ?? 0), 0);
  const place = ({ name, t, scopes, sources }: OutputTensor): ParameterPlace => ({ name, t, scopes, sources });
  const [firstMerged] = merged;
  const model = firstMerged === undefined ? undefined : modelMeasurement(recipe, read(place(firstMerged)), inputs);
  const stored = new Set<DType>();
  const listed = vectorOnly ? merged.filter(({ shape }) => !isEmpty(shape)) : outputs.tensors;
  const matrices = matrixPlanner(request.recipe, names);
  const unplaced = listed.map((output) => {
    const { name, shape, t, sources } = output;
    const native = dtypeOf(output);
    if (!isMergeDType(native)) return { name, shape, dtype: native, ...planCopy(output, native, inputs) };
    const dtype = vectorOnly ? 'F32' : storageDtype(recipe, output);
    stored.add(dtype);
    if (isEmpty(shape)) return { name, shape, dtype, action: 'merge' as const, ...EMPTY };
    if (sources.length === 0 && output.base !== undefined)
      return { name, shape, dtype, action: 'merge' as const, ...onlyBase(output.base) };
    const values = read(place(output));
    const wanted = {
      recipe,
      values,
      name,
      shape,
      count: elementCount(shape) ?? 0,
      modelCount,
      base: output.base,
      inputs,
      sources,
      dtype,
      arithmetic: arithmeticDtype(recipe, output),
      lambda: lambdaOf(recipe, values, name, t, inputs.length),
      lines: linesOf(recipe, values, name, t, inputs.length),
      modelRule: model !== undefined,
      vectorOnly,
    };
    const planned = matrices?.(wanted) ?? planTensor(wanted);
    return { name, shape, dtype, action: 'merge' as const, ...planned };
  });
  const shards = layOutShards(unplaced, request.shardSizeBytes ?? DEFAULT_SHARD_SIZE_BYTES);
  const inputNames = inputs.map((input) => input.name);
  const layout = { ...shards, ...planTaskMasks(shards.tensors, shards.shards.length, inputNames, recipe.method, base) };
  const [onlyDtype] = stored;
  return {
    inputNames,
    baseName: base?.name,
    ...layout,
    warnings: [...outputs.warnings, ...dtypeWarnings(recipe, stored), ...absentContributors(recipe, inputs)],
    model,
    totals: totalsOf({ tensors: layout.tensors, shards: outputFiles(layout), model }),
    dtype: stored.size === 1 ? onlyDtype : undefined,
  };
}
