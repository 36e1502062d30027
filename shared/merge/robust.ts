/**
 * Coefficients that follow from lengths and distances of whole task vectors: robust aggregation and data-free weightings. Distances come from the
 * products of pairs, and means move within the span of the inputs, so no pass over the weights is needed but the one that measured them.
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { Gram } from './sphere.js';

/** Rules over whole models. */
export type ModelRule =
  | { readonly kind: 'nan'; readonly scale: number | 'm_half' }
  | { readonly kind: 'metagpt' }
  | { readonly kind: 'cclip'; readonly rho: number | 'auto'; readonly iterations: number; readonly aggregate: 'sum' | 'mean' }
  | { readonly kind: 'krum'; readonly byzantine: number; readonly keep: number }
  | {
      readonly kind: 'geometric_median';
      readonly iterations: number;
      readonly smoothing: number;
      readonly tol: number;
      readonly shares: readonly number[];
    };

const entry = (gram: Gram, i: number, j: number): number => gram[i]?.[j] ?? 0;
export const normsOf = (gram: Gram): number[] => gram.map((_, i) => Math.sqrt(Math.max(0, entry(gram, i, i))));
const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

/**
 * NAN (arXiv 2505.16148): inverse norms, normalised; `m_half` multiplies by half the number of models.
 * @param names of the inputs, and the tensor whose norms they are, for the error
 * @throws ZERO_NORM when some, but not all, norms are zero: all weight would be on a vector without length
 */
export function nanCoefficients(norms: readonly number[], scale: number | 'm_half', names: readonly string[], tensor?: string): number[] {
  const zero = norms.indexOf(0);
  if (zero >= 0 && norms.some((norm) => norm > 0)) {
    const name = names[zero] ?? '';
    throw new TributaryError('ZERO_NORM', {
      what: `${name} has norm 0${tensor === undefined ? '' : ` in tensor ${tensor}`}, and nan weighs by inverse norms`,
      where: tensor === undefined ? name : `${name}: ${tensor}`,
      expected: 'a norm above 0',
      fix: 'Leave this contribution out, or use `norm: finetuned`, or another weighting.',
    });
  }
  const inverse = norms.map((norm) => 1 / Math.max(norm, 1e-12));
  const all = sumOf(inverse);
  const factor = scale === 'm_half' ? norms.length / 2 : scale;
  return inverse.map((one) => (one / all) * factor);
}

/** MetaGPT (arXiv 2406.11385): shares of the sum of squared norms of the task vectors. */
export function metaGptCoefficients(norms: readonly number[]): number[] {
  const squares = norms.map((norm) => norm * norm);
  const all = sumOf(squares);
  return squares.map((one) => (all === 0 ? 1 / norms.length : one / all));
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Squared distance between input i and the point that the coefficients make of all inputs. */
function squaredDistance(gram: Gram, i: number, point: readonly number[]): number {
  let inner = 0;
  let square = 0;
  point.forEach((a, j) => {
    inner += a * entry(gram, i, j);
    point.forEach((b, k) => (square += a * b * entry(gram, j, k)));
  });
  return Math.max(0, entry(gram, i, i) - 2 * inner + square);
}

/**
 * Centred clipping (Karimireddy et al., arXiv 2012.10333) from the base: v <- v + mean of (x_i - v) min(1, rho / |x_i - v|). `sum` is as many times
 * longer as there are inputs; with one iteration it is the one-shot form of arXiv 2411.18607.
 */
export function clippedCoefficients(gram: Gram, { rho, iterations, aggregate }: Extract<ModelRule, { kind: 'cclip' }>): number[] {
  const n = gram.length;
  const radius = rho === 'auto' ? median(normsOf(gram)) : rho;
  let centre: number[] = Array(n).fill(0);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const from = centre;
    const shares = gram.map((_, i) => {
      const distance = Math.sqrt(squaredDistance(gram, i, from));
      return (distance <= radius ? 1 : radius / distance) / n;
    });
    const moved = 1 - sumOf(shares);
    centre = shares.map((share, i) => share + (from[i] ?? 0) * moved);
  }
  return centre.map((one) => (aggregate === 'sum' ? one * n : one));
}

/**
 * Krum and multi-Krum (Blanchard et al., NeurIPS 2017): the `keep` inputs with the smallest sums of squared distances to their N - f - 2 nearest
 * others, averaged; of equal ones the first.
 */
export function krumCoefficients(gram: Gram, { byzantine, keep }: Extract<ModelRule, { kind: 'krum' }>): number[] {
  const n = gram.length;
  const scores = gram.map((_, i) => {
    const distances = gram
      .flatMap((__, j) => (i === j ? [] : [Math.max(0, entry(gram, i, i) + entry(gram, j, j) - 2 * entry(gram, i, j))]))
      .sort((a, b) => a - b);
    return { i, score: sumOf(distances.slice(0, Math.max(1, n - byzantine - 2))) };
  });
  const kept = new Set(
    scores
      .sort((a, b) => a.score - b.score || a.i - b.i)
      .slice(0, keep)
      .map(({ i }) => i),
  );
  return gram.map((_, i) => (kept.has(i) ? 1 / kept.size : 0));
}

/** Geometric median by smoothed Weiszfeld steps from the mean (RFA, arXiv 1912.13445), until no share moves by `tol`. */
export function geometricMedianCoefficients(gram: Gram, rule: Extract<ModelRule, { kind: 'geometric_median' }>): number[] {
  const { iterations, smoothing, tol, shares } = rule;
  const sum = sumOf(shares);
  let point: number[] = shares.map((share) => share / sum);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const from = point;
    const distances = gram.map((_, i) => Math.sqrt(squaredDistance(gram, i, from)));
    const inverse = distances.map((one, i) => (shares[i] ?? 0) / Math.max(smoothing, one));
    const all = sumOf(inverse);
    point = inverse.map((one) => one / all);
    if (point.every((one, i) => Math.abs(one - (from[i] ?? 0)) < tol)) break;
  }
  return point;
}

/** min(1, rho / norm) for each input. */
export function clipFactors(gram: Gram, rho: number | 'auto'): number[] {
  const norms = normsOf(gram);
  const radius = rho === 'auto' ? median(norms) : rho;
  return norms.map((norm) => (norm <= radius ? 1 : radius / norm));
}

/** Whether products of different inputs are needed, not only norms. */
export function needsPairs(rule: ModelRule): boolean {
  return rule.kind === 'krum' || rule.kind === 'geometric_median' || (rule.kind === 'cclip' && rule.iterations > 1);
}

/** @param names of the inputs, for errors. @throws ZERO_NORM */
export function solveModel(rule: ModelRule, gram: Gram, names: readonly string[]): number[] {
  switch (rule.kind) {
    case 'nan':
      return nanCoefficients(normsOf(gram), rule.scale, names);
    case 'metagpt':
      return metaGptCoefficients(normsOf(gram));
    case 'cclip':
      return clippedCoefficients(gram, rule);
    case 'krum':
      return krumCoefficients(gram, rule);
    case 'geometric_median':
      return geometricMedianCoefficients(gram, rule);
  }
}
