/** eigh and choleskySolve. */
import { EVD } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import type { LinearAlgebra } from '../../shared/linalg/linear-algebra.js';
import { expectError } from './expect-error.js';
import {
  at,
  diagonal,
  difference,
  frobenius,
  gaussianMatrix,
  identity,
  largest,
  matrixOf,
  product,
  rowsOffOrthonormal,
  transpose,
  type Wide,
  withEigenvalues,
} from './linalg-matrices.js';

const range = (count: number, of: (index: number) => number): number[] => Array.from({ length: count }, (_, index) => of(index));

const SYMMETRIC: readonly { readonly name: string; readonly matrix: Wide; readonly values?: readonly number[] }[] = [
  { name: '1 x 1', matrix: matrixOf(1, 1, () => -3), values: [-3] },
  { name: 'zero 7', matrix: matrixOf(7, 7, () => 0), values: range(7, () => 0) },
  { name: 'identity 19', matrix: identity(19), values: range(19, () => 1) },
  known(
    'both signs, 35',
    range(35, (index) => index - 17),
    31,
  ),
  known(
    'repeated, 48',
    range(48, (index) => Math.floor(index / 16) - 1),
    33,
  ),
  known(
    'from 1e-9 to 1e9, 40',
    range(40, (index) => 10 ** (index / 2.2 - 9)),
    35,
  ),
  known(
    'large, 203',
    range(203, (index) => Math.sqrt(index) - 4),
    37,
  ),
  { name: 'random 63', matrix: matrixOf(63, 63, (row, column) => Math.sin((Math.min(row, column) + 1) * 3 + 0.1 * Math.max(row, column))) },
  // Eigenvalues of the second difference: 2 - 2 cos(pi i / (n + 1)).
  {
    name: 'second difference, 90',
    matrix: matrixOf(90, 90, (row, column) => (row === column ? 2 : Math.abs(row - column) === 1 ? -1 : 0)),
    values: range(90, (index) => 2 - 2 * Math.cos((Math.PI * (index + 1)) / 91)),
  },
];

function known(name: string, values: readonly number[], seed: number) {
  return { name, matrix: withEigenvalues(values, seed), values };
}

export function declareSymmetric(engine: () => LinearAlgebra): void {
  describe.each(SYMMETRIC)('eigh, $name', ({ matrix, values: expected }) => {
    it('has the eigenvalues, ascending, and orthonormal vectors that belong to them', () => {
      // Only the lower triangle counts.
      const lower = matrixOf(matrix.rows, matrix.columns, (row, column) => (column > row ? Number.NaN : at(matrix, row, column)));
      const { values, vectors } = engine().eigh(lower);
      const size = matrix.rows;
      expect([values.length, vectors.rows, vectors.columns]).toEqual([size, size, size]);
      for (let index = 1; index < size; index += 1) expect(values[index]).toBeGreaterThanOrEqual(values[index - 1] as number);
      const oracle = expected ?? sortedEigenvalues(matrix);
      expect(largest(values.map((value, index) => value - (oracle[index] as number)))).toBeLessThanOrEqual(1e-12 * largest(oracle));
      expect(rowsOffOrthonormal(vectors)).toBeLessThan(1e-12);
      const residual = difference(product(vectors, matrix), product(diagonal(values), vectors));
      expect(frobenius(residual)).toBeLessThanOrEqual(1e-12 * frobenius(matrix));
    });
  });

  describe.each([
    [1, 1],
    [6, 1],
    [33, 5],
    [97, 40],
    [210, 3],
  ])('choleskySolve, %d unknowns, %d right-hand sides', (size, sides) => {
    it('solves to a residual of 1e-12', () => {
      const matrix = withEigenvalues(
        range(size, (index) => 1 + 1000 * (index / size)),
        41,
      );
      const b = gaussianMatrix(size, sides, 43);
      const x = engine().choleskySolve(matrix, b);
      expect([x.rows, x.columns]).toEqual([size, sides]);
      const limit = 1e-12 * frobenius(matrix) * frobenius(x);
      expect(frobenius(difference(product(matrix, x), b))).toBeLessThanOrEqual(limit);
    });
  });

  it('choleskySolve finds a solution that is known', () => {
    // (second difference) x = 1: x_i = i (n + 1 - i) / 2, counted from 1.
    const size = 25;
    const matrix = matrixOf(size, size, (row, column) => (row === column ? 2 : Math.abs(row - column) === 1 ? -1 : 0));
    const x = engine().choleskySolve(
      matrix,
      matrixOf(size, 1, () => 1),
    );
    for (let index = 0; index < size; index += 1) expect(x.data[index]).toBeCloseTo(((index + 1) * (size - index)) / 2, 10);
  });

  it.each([
    ['zero', matrixOf(4, 4, () => 0)],
    ['indefinite', withEigenvalues([-1, 1, 2, 3, 4], 51)],
    ['negative', withEigenvalues([-3, -2, -1], 53)],
    ['singular', matrixOf(3, 3, () => 1)],
    ['-1', matrixOf(1, 1, () => -1)],
  ])('choleskySolve refuses a matrix that is %s', async (_, matrix) => {
    await expectError('LINALG_FAILED', () => engine().choleskySolve(matrix, transpose(gaussianMatrix(1, matrix.rows, 55))));
  });
}

function sortedEigenvalues(a: Wide): readonly number[] {
  const rows = range(a.rows, (index) => index).map((row) => a.data.subarray(row * a.columns, (row + 1) * a.columns));
  return new EVD(rows, { assumeSymmetric: true }).realEigenvalues.toSorted((one, other) => one - other);
}
