/** Symmetric matrices as Q T Q^T with T tridiagonal: eigenvalues of T alone, and eigenvectors of the largest afterwards. */
import { TributaryError } from '../errors/tributary-error.js';
import type { LinalgMemory } from './portable-memory.js';

export interface Tridiagonal {
  readonly order: number;
  readonly diagonal: Float64Array;
  /** order - 1 elements beside the diagonal. */
  readonly off: Float64Array;
}

/** Eigenvalues, descending; `scratch`: two numbers for each. @throws LINALG_FAILED */
export function valuesOf(memory: LinalgMemory, what: string, { order, diagonal, off }: Tridiagonal, scratch: number): Float64Array {
  const values = memory.doubles(scratch, order);
  values.set(diagonal);
  memory.doubles(scratch + order * 8, off.length).set(off.map((value) => value * value));
  if (memory.run.tridiagonalValues(scratch, scratch + order * 8, order) !== 0) {
    throw new TributaryError('LINALG_FAILED', { what: `${what} failed: the eigenvalues do not converge` });
  }
  return values.slice().sort().reverse();
}

/** Where `vectorsOf` works: `vectors` gets `count` rows at `step`; `scratch`: divideBytes. */
export interface VectorPlaces {
  readonly vectors: number;
  readonly step: number;
  readonly bidiagonal: number;
  readonly singular: number;
  readonly scratch: number;
}

/**
 * Eigenvectors of the `count` largest eigenvalues of T, in their order: the right singular vectors of the bidiagonal B of B^T B = T + shift, which is
 * positive definite. `values`: all eigenvalues, descending.
 */
export function vectorsOf(
  memory: LinalgMemory,
  { order, diagonal, off }: Tridiagonal,
  values: Float64Array,
  count: number,
  at: VectorPlaces,
): void {
  const [largest = 0, smallest = 0] = [values[0], values[order - 1]];
  const norm = Math.max(Math.abs(largest), Math.abs(smallest));
  const least = norm * 1e-8;
  const shift = Math.max(0, least - smallest);
  const b = memory.doubles(at.bidiagonal, 2 * order);
  let taken = 0;
  for (let i = 0; i < order; i++) {
    const pivot = Math.sqrt(Math.max(least / 100, (diagonal[i] ?? 0) + shift - taken));
    const next = pivot === 0 ? 0 : (off[i] ?? 0) / pivot;
    b[i] = pivot;
    b[order + i] = next;
    taken = next * next;
  }
  const offAt = at.bidiagonal + order * 8;
  memory.run.solveBidiagonal(order, at.bidiagonal, offAt, count, at.singular, at.vectors, at.step, 0, 0, at.scratch);
}

/** T as `tridiagonalise` leaves it: the diagonal, and what is beside it, one after the other. */
export const tridiagonalAt = (memory: LinalgMemory, pointer: number, order: number): Tridiagonal => ({
  order,
  diagonal: memory.doubles(pointer, order).slice(),
  off: memory.doubles(pointer + order * 8, Math.max(0, order - 1)).slice(),
});
