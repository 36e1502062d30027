/**
 * `spectrum` by LAPACK: the Gram matrix of the short side is brought to tridiagonal form once, all its eigenvalues are taken from there, and vectors
 * only for the values that are wanted. They come from twisted factorisations, which cost next to nothing but may overlap; a Cholesky factor of
 * their own Gram matrix makes them orthonormal, and tells whether they were good enough for that. Where they were not (clusters of values),
 * divide and conquer gives them all.
 */

import { TributaryError } from '../errors/tributary-error.js';
import { failed, singularValues, withWorkspace } from './lapack-factorisations.js';
import { double, type LapackLibrary } from './lapack-library.js';
import { lowerGram } from './lapack-products.js';
import { applyReflectors, type Reflectors } from './lapack-reflectors.js';
import { normOf, scratchOf, splitBlocks, type Tridiagonal, twistedVector } from './lapack-tridiagonal.js';
import type { Matrix, Reals, Spectrum } from './linear-algebra.js';
import { squarable } from './squarable.js';

/** How much the eigenvalues of a Gram matrix are off, relative to the largest: a few roundings. */
const GRAM_ERROR = 2 ** -50;
/** What the sum of all values may be off for that reason, relative to itself. */
const SUM_ERROR = 5e-8;
/** Largest overlap of a vector with all others together that the Cholesky factor cures in one step. */
const MOST_OVERLAP = 0.1;

/** The Gram matrix as Q T Q^T. */
interface Reduced {
  readonly size: number;
  readonly reflectors: Reflectors;
  readonly tridiagonal: Tridiagonal;
  readonly norm: number;
}

/** An eigenvalue and the block of T that it belongs to. */
interface BlockValue {
  readonly value: number;
  readonly start: number;
  readonly end: number;
}

export function lapackSpectrum(library: LapackLibrary, matrix: Matrix<Reals>): Spectrum {
  const side = matrix.columns <= matrix.rows ? 'right' : 'left';
  const { a, factor } = squarable(matrix);
  const { reduced, blockValues } = reduce(library, a, side);
  const estimates = Float64Array.from(blockValues, ({ value }) => Math.sqrt(Math.max(0, value)));
  const values = sumIsGood(estimates) ? estimates : singularValues(library, a);
  return {
    values: factor === 1 ? values : values.map((value) => value / factor),
    side,
    vectors(count) {
      const size = reduced.size;
      if (count === 0) return { rows: 0, columns: size, data: new Float64Array(0) };
      const vectors = twisted(library, reduced, blockValues.slice(0, count)) ?? divideAndConquer(library, reduced, count);
      if (size > 1) applyReflectors(library, reduced.reflectors, vectors, count);
      return { rows: count, columns: size, data: vectors };
    },
  };
}

/** Whether the errors of small eigenvalues, whose roots they hit hardest, leave the sum of all roots good. */
function sumIsGood(values: Float64Array): boolean {
  const error = GRAM_ERROR * (values[0] ?? 0) ** 2;
  if (error === 0) return true;
  const least = Math.sqrt(error);
  let sum = 0;
  let off = 0;
  for (const value of values) {
    sum += value;
    off += error / Math.max(value, least);
  }
  return off <= SUM_ERROR * sum;
}

function reduce(library: LapackLibrary, a: Matrix<Reals>, side: 'left' | 'right'): { reduced: Reduced; blockValues: BlockValue[] } {
  const size = Math.min(a.rows, a.columns);
  const vectors = lowerGram(library, a, side);
  const factors = new Float64Array(size);
  const tridiagonal = { diagonal: new Float64Array(size), beside: new Float64Array(Math.max(0, size - 1)) };
  withWorkspace(library, 'dsytrd', (work, length, info) => [
    'L',
    size,
    vectors,
    size,
    tridiagonal.diagonal,
    tridiagonal.beside,
    factors,
    work,
    length,
    info,
  ]);
  const norm = normOf(tridiagonal);
  if (!Number.isFinite(norm)) {
    throw new TributaryError('LINALG_FAILED', { what: 'Singular values need finite numbers', where: `${a.rows} x ${a.columns}` });
  }
  const borders = splitBlocks(tridiagonal, norm);
  const blockValues: BlockValue[] = [];
  for (const [index, end] of borders.slice(1).entries()) {
    const start = borders[index] as number;
    const values = tridiagonal.diagonal.slice(start, end);
    const info = Int32Array.of(0);
    if (end - start > 1) library.call('dsterf', end - start, values, tridiagonal.beside.slice(start, end - 1), info);
    if (info[0] !== 0) throw failed('An eigenvalue iteration', a, info[0] as number);
    for (const value of values) blockValues.push({ value, start, end });
  }
  blockValues.sort((one, other) => other.value - one.value);
  return { reduced: { size, reflectors: { size, vectors, factors }, tridiagonal, norm }, blockValues };
}

/** Orthonormal eigenvectors of T for the given values, one after the other, or nothing where they are too close together for this way. */
function twisted(library: LapackLibrary, { size, tridiagonal, norm }: Reduced, wanted: readonly BlockValue[]): Float64Array | undefined {
  const count = wanted.length;
  const vectors = new Float64Array(count * size);
  const scratch = scratchOf(size);
  for (const [index, { value, start, end }] of wanted.entries()) {
    const block = { diagonal: tridiagonal.diagonal.subarray(start, end), beside: tridiagonal.beside.subarray(start, end - 1) };
    const place = vectors.subarray(index * size + start, index * size + end);
    if (!twistedVector(block, value, norm, scratch, place)) return undefined;
  }
  const overlaps = new Float64Array(count * count);
  library.call('dsyrk', 'U', 'T', count, size, double(1), vectors, size, double(0), overlaps, count);
  if (!(largestOverlap(overlaps, count) <= MOST_OVERLAP)) return undefined;
  const info = Int32Array.of(0);
  library.call('dpotrf', 'U', count, overlaps, count, info);
  if (info[0] !== 0) return undefined;
  library.call('dtrsm', 'R', 'U', 'N', 'N', size, count, double(1), overlaps, count, vectors, size);
  return vectors;
}

/** Largest row sum of |overlaps - 1|; column-major, upper triangle. */
function largestOverlap(overlaps: Float64Array, count: number): number {
  const sums = new Float64Array(count);
  for (let column = 0; column < count; column += 1) {
    for (let row = 0; row <= column; row += 1) {
      const off = Math.abs((overlaps[column * count + row] as number) - (row === column ? 1 : 0));
      sums[row] = (sums[row] as number) + off;
      if (row !== column) sums[column] = (sums[column] as number) + off;
    }
  }
  return sums.reduce((most, sum) => Math.max(most, sum), 0);
}

/** The eigenvectors of the `count` largest eigenvalues of T, largest first, from a full decomposition: always right, never quick. */
function divideAndConquer(library: LapackLibrary, { size, tridiagonal }: Reduced, count: number): Float64Array {
  const values = tridiagonal.diagonal.slice();
  const beside = tridiagonal.beside.slice();
  const all = new Float64Array(size * size);
  const integers = new Int32Array(3 + 5 * size);
  const info = withWorkspace(library, 'dstedc', (work, length, report) => [
    'I',
    size,
    values,
    beside,
    all,
    size,
    work,
    length,
    integers,
    length < 0 ? -1 : integers.length,
    report,
  ]);
  if (info !== 0) throw failed('An eigenvector iteration', { rows: size, columns: size, data: all }, info);
  const vectors = new Float64Array(count * size);
  for (let index = 0; index < count; index += 1) {
    const from = (size - 1 - index) * size;
    vectors.set(all.subarray(from, from + size), index * size);
  }
  return vectors;
}
