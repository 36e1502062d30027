/**
 * Steps that need whole matrices at once (STAR, TSV-M, Iso-C, ...) come before everything else: what they make of the task vectors of a tensor
 * is kept as F32 differences in scratch files, and the rest of the rule is planned on those as on any other input. So a transform composes with
 * every combination, statistics and all, and a combination leaves one task vector to scale and add.
 */
import { elementCount } from '../formats/safetensors-header.js';
import type { StoredTensor } from '../formats/tensor.js';
import type { ParameterValues } from '../recipe/evaluate.js';
import type { MatrixCombineStep, Recipe } from '../recipe/recipe.js';
import { MATRIX_COMBINES } from '../recipe/steps/matrix-combines.js';
import { matrixShape } from './matrix-tensors.js';
import { holdsWeights } from './plan-sum.js';
import type { MergeInput } from './types.js';
import { isUnchanged } from './unchanged.js';

/** `each`: one result an input; all others one in all. */
export type MatrixCombine =
  | { readonly kind: 'each' | 'sum' | 'tsv' | 'iso_c' | 'wudi' }
  | { readonly kind: 'iso_cts'; readonly commonFraction: number }
  | { readonly kind: 'knots'; readonly density: number; readonly tol: number };

export interface DerivedInput {
  /** Number of the input in the plan's `inputNames`. */
  readonly input: number;
  readonly tensor: StoredTensor;
  /** The tensor is a task vector; else the base has to be taken off. */
  readonly difference: boolean;
  /** Percent that STAR keeps; undefined: the vector as it is. */
  readonly eta?: number | undefined;
  /** Coefficient in a sum. */
  readonly weight: number;
}

export interface Derivation {
  readonly rows: number;
  readonly columns: number;
  readonly inputs: readonly DerivedInput[];
  readonly base?: StoredTensor | undefined;
  readonly combine: MatrixCombine;
  /** What is made, in the order of the inputs. */
  readonly outputs: readonly StoredTensor[];
}

/** Paths of scratch files in a plan: the folder is known when it runs. */
const SCRATCH = 'matrix:';

export const isScratchPath = (path: string): boolean => path.startsWith(SCRATCH);
export const scratchName = (path: string): string => path.slice(SCRATCH.length);

/** Where factors or the matrix itself lie. */
export function storedParts(tensor: StoredTensor): readonly StoredTensor[] {
  if (tensor.sum !== undefined) return [tensor.sum.weights, ...storedParts(tensor.sum.difference)];
  return tensor.product === undefined ? [tensor] : [tensor.product.left, tensor.product.right];
}

/** The file that a derivation writes. */
export const scratchPathOf = ({ outputs }: Derivation): string =>
  outputs.flatMap(storedParts).flatMap(({ segments }) => segments)[0]?.path ?? '';

const isMatrixCombine = (combine: string): combine is MatrixCombineStep => Object.hasOwn(MATRIX_COMBINES, combine);

export const needsMatrices = ({ rule }: Recipe): boolean => rule.transforms.includes('star') || isMatrixCombine(rule.combine);

/** The rule that is left when steps on matrices are done: tensors that are no matrices are averaged by it. */
export function withoutMatrixSteps(recipe: Recipe): Recipe {
  if (!needsMatrices(recipe)) return recipe;
  const { rule } = recipe;
  const transforms = rule.transforms.filter((step) => step !== 'star');
  if (!isMatrixCombine(rule.combine)) return { ...recipe, rule: { ...rule, transforms } };
  return { ...recipe, rule: { ...rule, transforms, combine: 'sum' }, options: new Map([...recipe.options, ['aggregate', 'mean']]) };
}

function combineOf(recipe: Recipe, values: ParameterValues): MatrixCombine {
  const { combine } = recipe.rule;
  if (combine === 'tsv' || combine === 'iso_c' || combine === 'wudi') return { kind: combine };
  if (combine === 'iso_cts') return { kind: combine, commonFraction: values.global('common_space_fraction') };
  if (combine === 'knots') return { kind: combine, density: values.global('density'), tol: values.global('tol') };
  return { kind: 'each' };
}

export interface DerivationRequest {
  readonly recipe: Recipe;
  readonly values: ParameterValues;
  readonly name: string;
  readonly shape: readonly number[];
  readonly base?: StoredTensor | undefined;
  readonly inputs: readonly MergeInput[];
  readonly sources: readonly { readonly input: number; readonly tensor: StoredTensor }[];
  /** Coefficients of a plain sum that takes the transformed vectors in, when the rule is one: they are added up at once. */
  readonly sum?: readonly number[] | undefined;
  /** Of the tensor in the output; names the scratch file. */
  readonly place: number;
}

/** What STAR makes of a product is one of at most the same rank. */
function likeProduct(
  tensor: StoredTensor,
  place: (count: number) => Pick<StoredTensor, 'sizeBytes' | 'segments'>,
): StoredTensor | undefined {
  const { product } = tensor;
  if (product === undefined) return undefined;
  const factor = (one: StoredTensor): StoredTensor => ({ ...one, dtype: 'F32', ...place(elementCount(one.shape) ?? 0) });
  return { ...tensor, product: { ...product, left: factor(product.left), right: factor(product.right), scale: 1 } };
}

/** Undefined when the tensor is no matrix, or none of its inputs differs from the base. */
export function planDerivation(request: DerivationRequest): Derivation | undefined {
  const { recipe, values, name, shape, base, inputs, sources, sum, place } = request;
  const matrix = matrixShape(shape);
  if (matrix === undefined || base === undefined) return undefined;
  const star = recipe.rule.transforms.includes('star');
  const wanted = combineOf(recipe, values);
  const combine: MatrixCombine = wanted.kind === 'each' && sum !== undefined ? { kind: 'sum' } : wanted;
  const listed = sources.map(({ input, tensor }, index): DerivedInput => {
    const difference = !holdsWeights(inputs[input], tensor);
    return { input, tensor, difference, eta: star ? values.model('eta', input) : undefined, weight: sum?.[index] ?? 1 };
  });
  const changed = listed.filter(({ difference, tensor }) => difference || !isUnchanged(tensor, base));
  if (changed.length === 0) return undefined;
  // To a sum nothing is added by what did not change; elsewhere a task without a vector still counts as one.
  const all = combine.kind === 'sum' ? changed : listed;
  let end = 0;
  const place32 = (count: number): Pick<StoredTensor, 'sizeBytes' | 'segments'> => {
    const segments = [{ path: `${SCRATCH}${place}`, offset: end, length: count * 4 }];
    end += count * 4;
    return { sizeBytes: count * 4, segments };
  };
  const dense = (): StoredTensor => ({ name, dtype: 'F32', shape, ...place32(matrix.rows * matrix.columns), difference: true });
  const outputs = combine.kind === 'each' ? all.map(({ tensor }) => likeProduct(tensor, place32) ?? dense()) : [dense()];
  return { ...matrix, inputs: all, base: all.every((one) => one.difference) ? undefined : base, combine, outputs };
}
