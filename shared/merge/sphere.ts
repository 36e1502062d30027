/**
 * Averages on the sphere, computed in the space of coefficients: every result is a linear combination of the inputs, and all lengths and angles
 * follow from the products of pairs (the Gram matrix, fp64). So one streaming pass suffices, whatever the number of iterations.
 */
import { TributaryError } from '../errors/tributary-error.js';

/** gram[i][j] = x_i . x_j, symmetric. */
export type Gram = readonly (readonly number[])[];

const entry = (gram: Gram, i: number, j: number): number => gram[i]?.[j] ?? 0;
const norm = (gram: Gram, i: number): number => Math.sqrt(Math.max(0, entry(gram, i, i)));

/** a . b for vectors given by their coefficients. */
function dot(gram: Gram, a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  a.forEach((one, i) => b.forEach((other, j) => (sum += one * other * entry(gram, i, j))));
  return sum;
}

const length = (gram: Gram, a: readonly number[]): number => Math.sqrt(Math.max(0, dot(gram, a, a)));
const combined = (a: readonly number[], ca: number, b: readonly number[], cb: number): number[] =>
  a.map((one, i) => ca * one + cb * (b[i] ?? 0));
const scaled = (a: readonly number[], c: number): number[] => a.map((one) => one * c);
const unit = (n: number, i: number, value: number): number[] => Array.from({ length: n }, (_, j) => (i === j ? value : 0));

export interface SlerpLimits {
  /** Vectors no longer than this are not brought to unit length. */
  readonly smallestNorm: number;
  /** Straight interpolation from this |cosine| on. */
  readonly linearFrom: number;
}

/** mergekit's `slerp`. */
export const SLERP_LIMITS: SlerpLimits = { smallestNorm: 1e-8, linearFrom: 0.9995 };

/**
 * Spherical interpolation of two vectors as they are (Shoemake 1985; not brought to unit length): sin((1-t) theta) / sin theta and
 * sin(t theta) / sin theta, theta the angle between them.
 */
export function slerpCoefficients(gram: Gram, t: number, limits = SLERP_LIMITS): number[] {
  const lengths = [norm(gram, 0), norm(gram, 1)].map((one) => (one > limits.smallestNorm ? one : 1));
  const cosine = entry(gram, 0, 1) / ((lengths[0] ?? 1) * (lengths[1] ?? 1));
  if (!(Math.abs(cosine) <= limits.linearFrom)) return [1 - t, t];
  const theta = Math.acos(cosine);
  const sine = Math.sin(theta);
  return [Math.sin((1 - t) * theta) / sine, Math.sin(t * theta) / sine];
}

/**
 * Directions are straight below this sine. mergekit says 1e-8, but an angle next to pi is known to about the square root of fp64's precision:
 * directions that are opposite but for rounding would be multiplied by millions.
 */
const STRAIGHT_SINE = 1e-6;

/** mergekit's `nuslerp`: norms of at least 1e-7. */
export function nuslerpCoefficients(gram: Gram, t: number): number[] {
  const lengths = [Math.max(norm(gram, 0), 1e-7), Math.max(norm(gram, 1), 1e-7)];
  const cosine = Math.min(1, Math.max(-1, entry(gram, 0, 1) / ((lengths[0] ?? 1) * (lengths[1] ?? 1))));
  const theta = Math.acos(cosine);
  const sine = Math.sin(theta);
  if (Math.abs(sine) < STRAIGHT_SINE) return [1 - t, t];
  return [Math.sin((1 - t) * theta) / sine, Math.sin(t * theta) / sine];
}

/**
 * One step on the sphere from the weighted mean direction along the mean of the tangents (mergekit's `multislerp`), times the weighted mean
 * length.
 * @param weights add up to 1 unless the recipe says otherwise
 * @throws RECIPE_INVALID when three or more directions cancel out
 */
export function multislerpCoefficients(gram: Gram, weights: readonly number[], eps: number, tensor: string): number[] {
  const n = gram.length;
  if (n === 1) return [1];
  const units = gram.map((_, i) => unit(n, i, 1 / (norm(gram, i) + eps)));
  let mean: number[] = Array(n).fill(0);
  units.forEach((one, i) => (mean = combined(mean, 1, one, weights[i] ?? 0)));
  const meanLength = length(gram, mean);
  // Lengths that cancel are known to about the square root of fp64's precision.
  if (meanLength < Math.max(eps, 1e-7)) {
    // Without directions (unchanged tensors) there is nothing to turn.
    if (n === 2 || gram.every((_, i) => norm(gram, i) < eps)) return [...weights];
    throw new TributaryError('RECIPE_INVALID', {
      what: `the directions of tensor ${tensor} cancel out, so that they have no mean on the sphere`,
      where: tensor,
      fix: 'Use other weights, or linear.',
    });
  }
  mean = scaled(mean, 1 / meanLength);
  let tangent: number[] = Array(n).fill(0);
  units.forEach((one, i) => {
    tangent = combined(tangent, 1, combined(one, 1, mean, -dot(gram, one, mean)), weights[i] ?? 0);
  });
  const angle = length(gram, tangent) + eps;
  const radius = gram.reduce((sum, _, i) => sum + (weights[i] ?? 0) * norm(gram, i), 0);
  return scaled(combined(mean, Math.cos(angle), tangent, Math.sin(angle) / angle), radius);
}

/**
 * Riemannian (Karcher) mean of the directions with equal weights, times the mean length. Vectors no longer than `tol` have no direction and
 * are left out of it, though not of the mean length.
 */
export function karcherCoefficients(gram: Gram, maxIterations: number, tol: number): number[] {
  const n = gram.length;
  const present = gram.flatMap((_, i) => (norm(gram, i) > tol ? [i] : []));
  if (present.length === 0) return Array<number>(n).fill(0);
  const alpha = 1 / present.length;
  const units = present.map((i) => unit(n, i, 1 / norm(gram, i)));
  let mean: number[] = Array(n).fill(0);
  for (const one of units) mean = combined(mean, 1, one, alpha);
  const meanLength = length(gram, mean);
  mean = meanLength < tol ? [...(units[0] ?? [])] : scaled(mean, 1 / meanLength);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    let step: number[] = Array(n).fill(0);
    for (const one of units) {
      const cosine = Math.min(1, Math.max(-1, dot(gram, one, mean)));
      const theta = Math.acos(cosine);
      // Opposite the mean there is no direction to go.
      if (theta < tol || Math.PI - theta < 1e-7) continue;
      step = combined(step, 1, combined(one, 1, mean, -cosine), (alpha * theta) / Math.sin(theta));
    }
    const size = length(gram, step);
    if (size < tol) break;
    mean = combined(mean, Math.cos(size), step, Math.sin(size) / size);
    mean = scaled(mean, 1 / length(gram, mean));
  }
  return scaled(mean, gram.reduce((sum, _, i) => sum + norm(gram, i), 0) / n);
}

/**
 * Model Stock (arXiv 2403.19522): how far to go from the base to the mean, N cos / (1 + (N - 1) cos), with the mean cosine of all pairs of task
 * vectors.
 * @param quirks mergekit's: products of norms of at least 1e-6, which makes the ratio depend on scale; negative or exploding ratios. Without them
 *   the ratio lies in [0, 1]
 */
export function stockRatio(gram: Gram, quirks: boolean): number {
  const n = gram.length;
  const smallest = quirks ? 1e-6 : Number.MIN_VALUE;
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const cosine = entry(gram, i, j) / Math.max(norm(gram, i) * norm(gram, j), smallest);
      sum += Math.min(1, Math.max(-1, cosine));
      pairs += 1;
    }
  }
  const cosine = pairs === 0 ? 1 : sum / pairs;
  const ratio = (n * cosine) / (1 + (n - 1) * cosine);
  if (quirks) return ratio;
  return cosine <= 0 ? 0 : Math.min(1, ratio);
}
