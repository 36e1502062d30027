/**
 * Which coordinates of one task vector stay: by magnitude (compared as f32, equal ones by index), by chance, and what is made of the rest.
 * Everything per tensor, as the mergekit family has it; masks of chance come in from outside.
 */
import type { Quirks } from './types.js';
import { at, lastDimension, slicesAlong, sumAbs, type Vector } from './vectors.js';

const magnitudes = (delta: Vector): number[] => Array.from(delta, (value) => Math.fround(Math.abs(value)));

export function keepOnly(delta: Vector, kept: ReadonlySet<number>): Vector {
  return delta.map((value, index) => (kept.has(index) ? value : 0));
}

/** The k indices of largest magnitude; of equal ones the first. */
export function largest(delta: Vector, k: number): Set<number> {
  const size = magnitudes(delta);
  const order = size.map((_, index) => index).toSorted((a, b) => at(size, b) - at(size, a) || a - b);
  return new Set(order.slice(0, k));
}

/** trunc(density n) largest magnitudes, at least one (mergekit's own stops there with an error). */
export function trim(delta: Vector, density: number, quirks?: Quirks): Vector {
  if (density >= 1) return delta;
  const k = Math.trunc(density * delta.length);
  if (k === 0 && quirks === 'mergekit') throw new Error('a density that keeps no element');
  return keepOnly(delta, largest(delta, Math.max(1, k)));
}

/**
 * Model breadcrumbs: without the trunc(gamma n) largest and so many of the smallest that trunc(density n) remain. Ascending order, equal
 * magnitudes by index. mergekit's slice is empty when nothing is cut off at the top; ours then keeps all from the bottom on.
 */
export function breadcrumbs(delta: Vector, density: number, gamma: number, quirks?: Quirks): Vector {
  if (density >= 1) return delta;
  const n = delta.length;
  let top = Math.trunc(gamma * n);
  let bottom = n - Math.trunc(density * n) - top;
  if (bottom < 0) {
    top += bottom;
    bottom = 0;
  }
  if (top === 0 && quirks === 'mergekit') return delta.map(() => 0);
  const size = magnitudes(delta);
  const ascending = size.map((_, index) => index).toSorted((a, b) => at(size, a) - at(size, b) || a - b);
  return keepOnly(delta, new Set(ascending.slice(bottom, n - top)));
}

/** Keeps what the mask has a one for (DARE's Bernoulli mask, arXiv 2311.03099). */
export function applyMask(delta: Vector, mask: ArrayLike<number>): Vector {
  return delta.map((value, index) => (at(mask, index) === 0 ? 0 : value));
}

/** Brings the sum of magnitudes back to what it was before masking; without effect when either sum is below 1e-7. */
export function rescaleL1(before: Vector, masked: Vector): Vector {
  const [whole, rest] = [sumAbs(before), sumAbs(masked)];
  return whole < 1e-7 || rest < 1e-7 ? masked : masked.map((value) => (value * whole) / rest);
}

/**
 * DELLA's keep probabilities (MAGPRUNE, arXiv 2406.11617): in a slice of c elements along dimension 1 the one of ascending rank r = 0..c-1
 * has (density - epsilon) + 2 epsilon r / (c - 1); a slice of one element the density. A 1-D tensor is one slice.
 */
export function dellaProbabilities(delta: Vector, shape: readonly number[], density: number, epsilon: number): Vector {
  const size = magnitudes(delta);
  const out = new Float64Array(delta.length);
  for (const indices of slicesAlong(shape, Math.min(1, lastDimension(shape)))) {
    const ascending = indices.toSorted((a, b) => at(size, a) - at(size, b) || a - b);
    for (const [rank, index] of ascending.entries())
      out[index] = indices.length === 1 ? density : density - epsilon + (2 * epsilon * rank) / (indices.length - 1);
  }
  return out;
}

/** The della mask of one random word (0 .. 2^32 - 1) an element: kept where word / 2^32 is below the probability. */
export function dellaMask(probabilities: Vector, words: ArrayLike<number>): Uint8Array {
  return Uint8Array.from(probabilities, (probability, index) => (at(words, index) / 2 ** 32 < probability ? 1 : 0));
}
