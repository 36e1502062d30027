/** Small dense matrices for tests: slow, obvious, fp64. */
import { gaussian, randomStream } from '../../client/train/random.js';
import type { Matrix, Reals } from '../../shared/linalg/linear-algebra.js';

export type Wide = Matrix<Float64Array>;

/** Element (i, j) is of(i, j). */
export function matrixOf(rows: number, columns: number, of: (row: number, column: number) => number): Wide {
  const data = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1) data[row * columns + column] = of(row, column);
  return { rows, columns, data };
}

export function at(a: Matrix<Reals>, row: number, column: number): number {
  return a.data[row * a.columns + column] as number;
}

export const identity = (size: number): Wide => matrixOf(size, size, (row, column) => (row === column ? 1 : 0));

export const diagonal = (values: ArrayLike<number>): Wide =>
  matrixOf(values.length, values.length, (row, column) => (row === column ? (values[row] as number) : 0));

/** Independent standard normal numbers. */
export function gaussianMatrix(rows: number, columns: number, seed: number): Wide {
  const random = randomStream(seed, `${rows} x ${columns}`);
  return matrixOf(rows, columns, () => gaussian(random));
}

export const transpose = (a: Matrix<Reals>): Wide => matrixOf(a.columns, a.rows, (row, column) => at(a, column, row));

export const difference = (a: Matrix<Reals>, b: Matrix<Reals>): Wide =>
  matrixOf(a.rows, a.columns, (row, column) => at(a, row, column) - at(b, row, column));

/** a b in fp64. */
export function product(a: Matrix<Reals>, b: Matrix<Reals>): Wide {
  const [left, right] = [new Float64Array(a.data), new Float64Array(b.data)];
  const result = new Float64Array(a.rows * b.columns);
  for (let row = 0; row < a.rows; row += 1) {
    const sums = result.subarray(row * b.columns, (row + 1) * b.columns);
    for (let inner = 0; inner < a.columns; inner += 1) {
      const factor = left[row * a.columns + inner] as number;
      const from = inner * b.columns;
      for (let column = 0; column < sums.length; column += 1) {
        sums[column] = (sums[column] as number) + factor * (right[from + column] as number);
      }
    }
  }
  return { rows: a.rows, columns: b.columns, data: result };
}

/** The root of the sum of squares, scaled so that neither 1e200 nor 1e-200 is lost. */
export function frobenius(a: Matrix<Reals>): number {
  const scale = largest(a.data);
  if (scale === 0 || !Number.isFinite(scale)) return scale;
  let sum = 0;
  for (const value of a.data) sum += (value / scale) ** 2;
  return scale * Math.sqrt(sum);
}

/** Largest magnitude; NaN when one is there. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let index = 0; index < values.length; index += 1) {
    most = Math.max(most, Math.abs(values[index] as number));
  }
  return most;
}

/** How far the rows of `a` are from orthonormal: the largest element of a a^T - 1. */
export function rowsOffOrthonormal(a: Matrix<Reals>): number {
  return largest(difference(product(a, transpose(a)), identity(a.rows)).data);
}

/** `count` orthonormal rows of length `size` in no special direction (Gram-Schmidt, twice). */
export function orthonormalRows(count: number, size: number, seed: number): Wide {
  const rows = gaussianMatrix(count, size, seed);
  for (let row = 0; row < count; row += 1) {
    const own = rows.data.subarray(row * size, (row + 1) * size);
    for (let pass = 0; pass < 2; pass += 1) {
      for (let earlier = 0; earlier < row; earlier += 1) {
        const other = rows.data.subarray(earlier * size, (earlier + 1) * size);
        const shared = own.reduce((sum, value, index) => sum + value * (other[index] as number), 0);
        for (let index = 0; index < size; index += 1) own[index] = (own[index] as number) - shared * (other[index] as number);
      }
    }
    const norm = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    for (let index = 0; index < size; index += 1) own[index] = (own[index] as number) / norm;
  }
  return rows;
}

/** A matrix with these singular values (as many as the shorter side, descending) and random singular vectors. */
export function withSingularValues(rows: number, columns: number, values: ArrayLike<number>, seed: number): Wide {
  const u = orthonormalRows(values.length, rows, seed);
  const vt = orthonormalRows(values.length, columns, seed + 1);
  return product(transpose(u), product(diagonal(values), vt));
}

/** A symmetric matrix with these eigenvalues and random eigenvectors. */
export function withEigenvalues(values: ArrayLike<number>, seed: number): Wide {
  const rows = orthonormalRows(values.length, values.length, seed);
  const full = product(transpose(rows), product(diagonal(values), rows));
  return matrixOf(full.rows, full.columns, (row, column) => (at(full, row, column) + at(full, column, row)) / 2);
}

/** A precision in which engines compute: element type, and what a result may be off relative to the norm of the matrix. */
export interface Precision<T extends Reals = Reals> {
  readonly name: 'f32' | 'f64';
  readonly tolerance: number;
  readonly round: (a: Matrix<Reals>) => Matrix<T>;
}

export const F32: Precision<Float32Array> = { name: 'f32', tolerance: 1e-6, round: (a) => ({ ...a, data: Float32Array.from(a.data) }) };
export const F64: Precision<Float64Array> = { name: 'f64', tolerance: 1e-12, round: (a) => ({ ...a, data: Float64Array.from(a.data) }) };
export const PRECISIONS: readonly Precision[] = [F32, F64];
