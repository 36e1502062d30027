/** spectrum: its values, and that its vectors span what they should, whatever the cut. */
import { expect, it } from 'vitest';
import type { LinearAlgebra, Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { type MatrixCase, oracleValues } from './linalg-cases.js';
import { difference, frobenius, largest, type Precision, product, rowsOffOrthonormal, transpose } from './linalg-matrices.js';

export function declareSpectrum(engine: () => LinearAlgebra, precision: Precision, { matrix, values: known }: MatrixCase): void {
  const a = precision.round(matrix);
  const k = Math.min(a.rows, a.columns);

  it('spectrum: values to 1e-8 of the largest, their sum to 1e-7', () => {
    const { values, side } = engine().spectrum(a);
    expect(side).toBe(a.columns <= a.rows ? 'right' : 'left');
    expect(values).toBeInstanceOf(Float64Array);
    const exact = k <= 96 ? oracleValues({ ...a, data: Float64Array.from(a.data) }) : engine().singularValues(a);
    expectSpectrum(values, exact);
    if (known !== undefined && precision.name === 'f64') expectSpectrum(values, known);
  });

  it('spectrum: the leading vectors are orthonormal and lose no more than the best ones do', () => {
    const spectrum = engine().spectrum(a);
    const exact = engine().singularValues(a);
    const top = exact[0] as number;
    // Out of order and with repeats: every call stands for itself.
    for (const count of new Set([1, 0, k, 2, Math.ceil(k / 3), k - 1, Math.floor(k / 10), 1].filter((one) => one <= k))) {
      const vectors = spectrum.vectors(count);
      expect([vectors.rows, vectors.columns]).toEqual([count, k]);
      expect(vectors.data).toBeInstanceOf(Float64Array);
      expect(vectors.data.length).toBe(count * k);
      expect(rowsOffOrthonormal(vectors)).toBeLessThan(1e-12);
      const parts = alongShortSide(a, vectors, spectrum.side);
      // The rest is what the discarded values say, and each vector stands for its own value.
      const rest = frobenius(difference(product(transpose(parts), vectors), turned(a, spectrum.side)));
      const best = top === 0 ? 0 : top * Math.hypot(...exact.subarray(count).map((value) => value / top));
      expect(rest).toBeLessThanOrEqual(best + 3e-8 * top);
      const lengths = Float64Array.from({ length: count }, (_, row) =>
        frobenius({ rows: 1, columns: parts.columns, data: parts.data.subarray(row * parts.columns, (row + 1) * parts.columns) }),
      );
      expect(largest(lengths.map((length, row) => length - (exact[row] as number)))).toBeLessThanOrEqual(3e-8 * top);
    }
  });

  it('spectrum: where there is a gap at the cut, the projection is that of the singular value decomposition', () => {
    const { u, s, vt } = engine().svd(precision.name === 'f64' ? a : { ...a, data: Float64Array.from(a.data) });
    const top = s[0] as number;
    const spectrum = engine().spectrum(a);
    for (let count = 1; count < k; count += Math.ceil(k / 7)) {
      const gap = ((s[count - 1] as number) - (s[count] as number)) / top;
      if (!(gap > 1e-2)) continue;
      const vectors = spectrum.vectors(count);
      const projected = product(transpose(alongShortSide(a, vectors, spectrum.side)), vectors);
      const leading = turned(leadingPart(u, s, vt, count), spectrum.side);
      expect(frobenius(difference(projected, leading))).toBeLessThanOrEqual(1e-11 * top * Math.sqrt(k));
    }
  });
}

/** `a` with its short side as columns. */
const turned = (a: Matrix<Reals>, side: 'left' | 'right'): Matrix<Reals> => (side === 'right' ? a : transpose(a));

/** Row i: the product of the (turned) matrix and vector i. */
const alongShortSide = (a: Matrix<Reals>, vectors: Matrix<Reals>, side: 'left' | 'right'): Matrix<Float64Array> =>
  product(vectors, transpose(turned(a, side)));

function leadingPart(u: Matrix<Reals>, s: Float64Array, vt: Matrix<Reals>, count: number): Matrix<Float64Array> {
  const left = Float64Array.from(u.data, (value, index) => {
    const column = index % u.columns;
    return column < count ? value * (s[column] as number) : 0;
  });
  return product({ ...u, data: left }, vt);
}

function expectSpectrum(values: Float64Array, exact: ArrayLike<number>): void {
  expect(values.length).toBe(exact.length);
  for (const [index, value] of values.entries()) {
    expect(value).toBeGreaterThanOrEqual(0);
    if (index > 0) expect(value).toBeLessThanOrEqual(values[index - 1] as number);
  }
  const sum = (of: ArrayLike<number>): number => Float64Array.from(of).reduce((total, value) => total + value, 0);
  expect(largest(values.map((value, index) => value - (exact[index] as number)))).toBeLessThanOrEqual(2e-8 * largest(exact));
  expect(Math.abs(sum(values) - sum(exact))).toBeLessThanOrEqual(1e-7 * sum(exact));
}
