/** Moving whole matrices about: between element types, side by side, by rows. Everything here is bound by memory, not by arithmetic. */
import { TributaryError } from '../errors/tributary-error.js';
import type { Matrix, Reals } from '../linalg/linear-algebra.js';

export function zeros(rows: number, columns: number): Matrix {
  return { rows, columns, data: new Float32Array(rows * columns) };
}

/** Always a copy, so that the result may be written to. */
export function toDouble({ rows, columns, data }: Matrix<Reals>): Matrix<Float64Array> {
  return { rows, columns, data: Float64Array.from(data) };
}

/** As it is when it is in double precision already: for reading only. */
export function asDouble(a: Matrix<Reals>): Matrix<Float64Array> {
  const { rows, columns, data } = a;
  return data instanceof Float64Array ? { rows, columns, data } : toDouble(a);
}

/** One rounding, after the multiplication. Always a copy. */
export function toSingle({ rows, columns, data }: Matrix<Reals>, factor = 1): Matrix {
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) out[i] = factor * (data[i] ?? 0);
  return { rows, columns, data: out };
}

/** Blocks of 32 x 32, so that both sides stay in the first-level cache. */
export function transpose<T extends Reals>(a: Matrix<T>): Matrix<T> {
  const { rows, columns, data } = a;
  const out = data.slice() as T;
  for (let top = 0; top < rows; top += 32) {
    for (let left = 0; left < columns; left += 32) {
      const bottom = Math.min(top + 32, rows);
      const right = Math.min(left + 32, columns);
      for (let i = top; i < bottom; i++) for (let j = left; j < right; j++) out[j * rows + i] = data[i * columns + j] ?? 0;
    }
  }
  return { rows: columns, columns: rows, data: out };
}

/** The first `count` rows, in the same memory. */
export function firstRows<T extends Reals>({ columns, data }: Matrix<T>, count: number): Matrix<T> {
  return { rows: count, columns, data: data.subarray(0, count * columns) as T };
}

/** Row i times factors[i], into a new matrix. */
export function withScaledRows<T extends Reals>({ rows, columns, data }: Matrix<T>, factors: ArrayLike<number>): Matrix<T> {
  const out = data.slice() as T;
  for (let i = 0; i < rows; i++) {
    const factor = factors[i] ?? 0;
    for (let j = i * columns; j < (i + 1) * columns; j++) out[j] = (out[j] ?? 0) * factor;
  }
  return { rows, columns, data: out };
}

/** One below the other, in double precision; none: 0 x columns. */
export function stackRows(parts: readonly Matrix<Reals>[], columns: number): Matrix<Float64Array> {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float64Array(rows * columns);
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return { rows, columns, data };
}

/** Side by side, of equal heights. */
export function stackColumns(parts: readonly Matrix[], rows: number): Matrix {
  const columns = parts.reduce((sum, part) => sum + part.columns, 0);
  const out = zeros(rows, columns);
  let offset = 0;
  for (const part of parts) {
    for (let i = 0; i < rows; i++) {
      out.data.set(part.data.subarray(i * part.columns, (i + 1) * part.columns), i * columns + offset);
    }
    offset += part.columns;
  }
  return out;
}

/** Element by element in double precision, in the given order, not rounded. */
export function sumOf(matrices: readonly Matrix[]): Matrix<Float64Array> {
  const { rows, columns } = commonShape(matrices);
  const total = new Float64Array(rows * columns);
  for (const { data } of matrices) for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + (data[i] ?? 0);
  return { rows, columns, data: total };
}

export function squaredNorm(data: Reals): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += (data[i] ?? 0) ** 2;
  return sum;
}

/** @throws INTERNAL when there is no matrix or they are not all of one shape */
export function commonShape(matrices: readonly Matrix[]): { readonly rows: number; readonly columns: number } {
  const [first] = matrices;
  if (first === undefined) throw new TributaryError('INTERNAL', { what: 'a spectral rule was given no matrix' });
  const { rows, columns } = first;
  const other = matrices.find((matrix) => matrix.rows !== rows || matrix.columns !== columns);
  if (other !== undefined) {
    throw new TributaryError('INTERNAL', {
      what: 'a spectral rule was given matrices of different shapes',
      expected: `${rows} x ${columns}`,
      got: `${other.rows} x ${other.columns}`,
    });
  }
  return { rows, columns };
}
