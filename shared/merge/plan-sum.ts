/**
 * Tensors whose rule is a weighted sum, known or soon to be known: which values of which inputs with which coefficients.
 *
 * Arithmetic (numerics: exact). 16-bit outputs: fp32 operations in the order of the inputs; F32 outputs: fp64. Then one rounding.
 * Two rewritings keep identities exact that a sum of task vectors would only approximate; both are equal in real arithmetic:
 * - one full checkpoint of effective coefficient 1 is taken as it is, not as base + (x - base);
 * - a mean (coefficients adding up to their divisor, lambda 1) of full checkpoints is taken of the weights: the base cancels, and is not read.
 * Terms that are the base's own tensors are left out where that changes no bit: their vectors are zero, though their weights count in a divisor.
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { MergeDType, StoredTensor } from '../formats/tensor.js';
import { nanCoefficients, normsOf } from './robust.js';
import { type Gram, karcherCoefficients, multislerpCoefficients, nuslerpCoefficients, slerpCoefficients, stockRatio } from './sphere.js';
import type { MergeInput, PlannedTensor, PlannedUse } from './types.js';
import { isUnchanged } from './unchanged.js';

export interface SumTerm {
  /** Number of the input, or -1 for the base as a model. */
  readonly input: number;
  readonly tensor: StoredTensor;
  /** Whether the tensor holds weights; else it is a difference already. */
  readonly full: boolean;
  readonly coefficient: number;
}

export interface SumSpec {
  readonly of: 'task_vectors' | 'weights';
  readonly terms: readonly SumTerm[];
  readonly base?: StoredTensor | undefined;
  readonly normalize: boolean;
  readonly lambda: number;
  /** The result is the merged task vector itself: no base is added. */
  readonly vectorOnly?: boolean | undefined;
}

/** Coefficients that follow from the products of pairs of a tensor's vectors. */
export type TensorRule =
  | { readonly kind: 'slerp'; readonly t: number }
  | { readonly kind: 'nuslerp'; readonly t: number }
  | { readonly kind: 'multislerp'; readonly weights: readonly number[]; readonly eps: number }
  | { readonly kind: 'karcher'; readonly maxIterations: number; readonly tol: number }
  | { readonly kind: 'model_stock'; readonly quirks: boolean }
  | { readonly kind: 'nan'; readonly scale: number | 'm_half' };

export type Merged = Pick<PlannedTensor, 'uses' | 'base' | 'divisor' | 'lambda' | 'plusBase'>;

/** Coefficients and divisor as the kernels will hold them: fp32 for 16-bit outputs, added in order; fp64 for F32. */
function prepareCoefficients(
  coefficients: readonly number[],
  normalize: boolean,
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

/** Whether a tensor of an input holds weights; else it is a task vector already. */
export const holdsWeights = (input: Pick<MergeInput, 'kind'> | undefined, tensor: StoredTensor): boolean =>
  input?.kind !== 'delta' && tensor.difference !== true;

export function valueMode(of: SumSpec['of'], full: boolean): PlannedUse['mode'] {
  const ofWeights = of === 'weights';
  return ofWeights === full ? 'plain' : ofWeights ? 'plusBase' : 'minusBase';
}

/** The base as it is, in the dtype that is stored. */
export function onlyBase(tensor: StoredTensor): Merged {
  return { uses: [{ input: -1, tensor, mode: 'plain', coefficient: 1 }], divisor: 1, lambda: 1, plusBase: false };
}

export function planSum({ of, terms, base, normalize, lambda, vectorOnly = false }: SumSpec, dtype: MergeDType, where: string): Merged {
  const ofWeights = of === 'weights';
  const plusBase = !ofWeights && !vectorOnly;
  const { coefficients, divisor } = prepareCoefficients(
    terms.map((term) => term.coefficient),
    normalize,
    dtype,
  );
  const all = terms.map(({ input, tensor, full }, index): PlannedUse & { full: boolean } => ({
    input,
    tensor,
    mode: valueMode(of, full),
    coefficient: coefficients[index] ?? 0,
    full,
  }));
  const counting = lambda === 0 ? [] : all.filter((use) => use.coefficient !== 0);
  const strip = ({ input, tensor, mode, coefficient }: PlannedUse): PlannedUse => ({ input, tensor, mode, coefficient });
  const plain = (use: PlannedUse): PlannedUse => strip({ ...use, mode: 'plain' });
  const [single] = counting;

  const still = (use: (typeof all)[number]): boolean => use.full && isUnchanged(use.tensor, base);
  const ofMean = normalize && lambda === 1;
  // A mean with weights of both signs can lose what it cancels out.
  const isBase = counting.every((use) => still(use) && (!ofMean || use.coefficient > 0)) && (divisor !== 0 || counting.length === 0);

  if (isBase && plusBase && base !== undefined) return onlyBase(base);
  if (!vectorOnly && counting.length === 1 && single?.full === true && (single.coefficient / divisor) * lambda === 1) {
    return { uses: [{ ...plain(single), coefficient: 1 }], divisor: 1, lambda: 1, plusBase: false };
  }
  if (plusBase && ofMean && counting.every((use) => use.full)) {
    return { uses: counting.map(plain), divisor, lambda: 1, plusBase: false };
  }
  const moving = plusBase ? counting.filter((use) => !still(use)) : counting;
  const uses = (moving.length > 0 ? moving : counting.length > 0 ? counting : all).map(strip);
  const needsBase = !ofWeights || uses.some((use) => use.mode !== 'plain');
  if (needsBase && base === undefined) throw new TributaryError('INTERNAL', { what: 'a task vector was planned without base', where });
  return { uses, base: needsBase ? base : undefined, divisor, lambda, plusBase };
}

/** The sum, once the products of pairs of its terms' vectors are known. @throws RECIPE_INVALID when directions cancel out, ZERO_NORM */
export function solveTensor(rule: TensorRule, spec: SumSpec, gram: Gram, where: string, names: readonly string[]): SumSpec {
  const withCoefficients = (coefficients: readonly number[]): SumSpec => ({
    ...spec,
    terms: spec.terms.map((term, index) => ({ ...term, coefficient: term.coefficient * (coefficients[index] ?? 0) })),
  });
  switch (rule.kind) {
    case 'slerp':
      return withCoefficients(slerpCoefficients(gram, rule.t));
    case 'nuslerp':
      return withCoefficients(nuslerpCoefficients(gram, rule.t));
    case 'multislerp':
      return withCoefficients(multislerpCoefficients(gram, rule.weights, rule.eps, where));
    case 'karcher':
      return withCoefficients(karcherCoefficients(gram, rule.maxIterations, rule.tol));
    case 'model_stock':
      return { ...spec, normalize: true, lambda: spec.lambda * stockRatio(gram, rule.quirks) };
    case 'nan':
      return withCoefficients(nanCoefficients(normsOf(gram), rule.scale, names, where));
  }
}
