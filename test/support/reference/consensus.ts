/** Combining task vectors that may pull in opposite directions: the mergekit family, the TIES paper's own form, and SCE. */
import type { MergeDType } from '../../../shared/formats/tensor.js';
import { decode, encode } from '../scalar-reference.js';
import { largest } from './selection.js';
import type { Quirks } from './types.js';
import { across, at, mean, sum, type Vector } from './vectors.js';

/** Every operation in f32, then to nearest even in the dtype of the arithmetic; without one, nothing is rounded. */
export function rounder(arithmetic?: MergeDType): (value: number) => number {
  if (arithmetic === undefined) return (value) => value;
  if (arithmetic === 'F32') return Math.fround;
  return (value) => decode(arithmetic, encode(arithmetic, Math.fround(value)));
}

export interface FamilyOptions {
  readonly weights: readonly number[];
  /** Elect the sign of the weighted sum (zero elects +) and count only terms that have it. */
  readonly consensus: boolean;
  /** Divide by the sum of the weights that count, 1 where it is zero. */
  readonly normalize: boolean;
  readonly arithmetic?: MergeDType | undefined;
}

/** Sum, product and quotient are one rounding each; a sum over contributions is taken in f32 and rounded once. */
export function familyCombine(deltas: readonly Vector[], { weights, consensus, normalize, arithmetic }: FamilyOptions): Vector {
  const round = rounder(arithmetic);
  const step = arithmetic === undefined ? (value: number) => value : Math.fround;
  const total = (values: readonly number[]): number => round(values.reduce((acc, value) => step(acc + value), 0));
  const held = weights.map(round);
  return across(deltas, (elements) => {
    const terms = elements.map((element, index) => round(element * at(held, index)));
    const elected = total(terms) >= 0 ? 1 : -1;
    const keep = terms.map((term) => !consensus || Math.sign(term) === elected);
    const numerator = total(terms.filter((_, index) => keep[index]));
    if (!normalize) return numerator;
    const denominator = total(held.filter((_, index) => keep[index]));
    const tooSmall = consensus ? denominator === 0 : Math.abs(denominator) < 1e-8;
    return round(numerator / (tooSmall ? 1 : denominator));
  });
}

/**
 * TIES as its paper's code has it (arXiv 2306.01708), on flat vectors of d elements: keeps all whose magnitude reaches the
 * (d - trunc(density d))-th smallest, which is one more than trunc(density d) and all that equal it.
 */
export function tiesPaperTrim(flat: Vector, density: number): Vector {
  if (density >= 1) return flat;
  const ascending = flat.map((value) => Math.fround(Math.abs(value))).toSorted();
  const threshold = at(ascending, Math.max(0, flat.length - Math.trunc(density * flat.length) - 1));
  return flat.map((value) => (Math.fround(Math.abs(value)) >= threshold ? value : 0));
}

/** Unweighted election; a sum of zero takes the sign most coordinates have (+ if they are even); mean, or sum, of the agreeing. */
export function tiesPaperMerge(trimmed: readonly Vector[], merge: 'mean' | 'sum'): Vector {
  const sums = across(trimmed, sum);
  const majority = sum(sums.map(Math.sign)) < 0 ? -1 : 1;
  return across(trimmed, (elements, index) => {
    const elected = Math.sign(at(sums, index)) || majority;
    const kept = elements.filter((element) => Math.sign(element) === elected);
    return sum(kept) / (merge === 'mean' ? Math.max(1, kept.length) : 1);
  });
}

const populationVariance = (values: readonly number[]): number => {
  const centre = mean(values);
  return mean(values.map((value) => (value - centre) ** 2));
};

/**
 * SCE: the trunc(select nonzero) coordinates of largest variance; unweighted election (zero elects +); each contribution weighs its mean
 * square over the tensor. mergekit takes weights for uniform when the mean squares add up to less than 1e-6; ours only when to nothing.
 */
export function sce(taus: readonly Vector[], selectTopk: number, quirks?: Quirks): Vector {
  const spread = across(taus, populationVariance);
  const k = Math.trunc(spread.filter((value) => value !== 0).length * selectTopk);
  const positions = largest(spread, Math.max(0, k));
  const selected = selectTopk >= 1 ? taus : taus.map((tau) => tau.map((value, index) => (positions.has(index) ? value : 0)));
  const energies = selected.map((tau) => mean(Array.from(tau, (value) => value * value)));
  const total = sum(energies);
  const weights = energies.map((energy) => (total === 0 || (quirks === 'mergekit' && total < 1e-6) ? 1 / taus.length : energy / total));
  return across(selected, (elements) => {
    const elected = sum(elements) >= 0 ? 1 : -1;
    const keep = elements.map((element) => Math.sign(element) === elected);
    const numerator = sum(elements.map((element, index) => (keep[index] ? element * at(weights, index) : 0)));
    return numerator / Math.max(1e-6, sum(weights.filter((_, index) => keep[index])));
  });
}
