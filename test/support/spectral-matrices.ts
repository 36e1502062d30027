/** fp32 matrices for tests of the spectral rules, and how far two of them lie apart. */
import fc from 'fast-check';
import { Matrix as MlMatrix } from 'ml-matrix';
import type { Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { frobenius, gaussianMatrix, orthonormalRows, product, withSingularValues } from './linalg-matrices.js';

/** Row by row; what is missing is zero. */
export function matrix(rows: number, columns: number, values: ArrayLike<number>): Matrix {
  const data = new Float32Array(rows * columns);
  data.set(values);
  return { rows, columns, data };
}

const toSingle = ({ rows, columns, data }: Matrix<Reals>): Matrix => ({ rows, columns, data: Float32Array.from(data) });

export const gaussian = (rows: number, columns: number, seed: number): Matrix => toSingle(gaussianMatrix(rows, columns, seed));
export const zero = (rows: number, columns: number): Matrix => matrix(rows, columns, []);
export const times = (a: Matrix, factor: number): Matrix => ({ ...a, data: a.data.map((value) => factor * value) });
export const toMl = ({ rows, columns, data }: Matrix<Reals>): MlMatrix => MlMatrix.from1DArray(rows, columns, data);
export const fromMl = (a: MlMatrix): Matrix => matrix(a.rows, a.columns, a.to1DArray());

export const plus = (a: Matrix, b: Matrix): Matrix => ({ ...a, data: a.data.map((value, index) => value + (b.data[index] ?? 0)) });

/** left right in fp64, rounded once. */
export const productOf = (left: Matrix, right: Matrix): Matrix => toSingle(product(left, right));

/** Of rank at most r, as stored in fp32. */
export const lowRank = (rows: number, columns: number, r: number, seed: number): Matrix =>
  productOf(gaussian(rows, r, seed), gaussian(r, columns, seed + 1));

/** Singular values fall like decay^i: nothing is close to anything, and cuts are clear. */
export function decaying(rows: number, columns: number, decay: number, seed: number): Matrix {
  const short = Math.min(rows, columns);
  return toSingle(
    withSingularValues(
      rows,
      columns,
      Array.from({ length: short }, (_, index) => decay ** index),
      seed,
    ),
  );
}

/** Frobenius norm of the difference relative to that of `expected`; where that is zero, of what there is instead. */
export function apart(actual: Matrix<Reals>, expected: Matrix<Reals>): number {
  if (actual.rows !== expected.rows || actual.columns !== expected.columns) throw new Error('shapes differ');
  const difference = { ...expected, data: Float64Array.from(expected.data, (value, index) => (actual.data[index] ?? Number.NaN) - value) };
  const size = frobenius(expected);
  return size === 0 ? frobenius(difference) : frobenius(difference) / size;
}

/** Shapes from 1 x 1 on, wide and tall alike, and a seed. */
export const shapes = (largest = 12): fc.Arbitrary<{ rows: number; columns: number; seed: number }> =>
  fc.record({
    rows: fc.integer({ min: 1, max: largest }),
    columns: fc.integer({ min: 1, max: largest }),
    seed: fc.integer({ min: 1, max: 1_000_000 }),
  });

/** In no special direction. */
export const orthogonal = (size: number, seed: number): Matrix => toSingle(orthonormalRows(size, size, seed));
