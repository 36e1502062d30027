/** gemm and gram: every option, odd shapes, element by element against fp64 sums. */
import { describe, expect, it } from 'vitest';
import type { GemmOptions, LinearAlgebra, Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { expectError } from './expect-error.js';
import { at, gaussianMatrix, matrixOf, type Precision, product, transpose } from './linalg-matrices.js';

/** Rows of the product, summed length, columns. */
const SHAPES = [
  [1, 1, 1],
  [1, 9, 1],
  [13, 1, 7],
  [5, 17, 3],
  [33, 29, 31],
  [64, 64, 64],
  [96, 71, 1],
  [1, 80, 95],
  [230, 210, 67],
] as const;

export function declareProducts(engine: () => LinearAlgebra, precision: Precision): void {
  describe(`${precision.name} products`, () => {
    describe.each(SHAPES)('%d x %d x %d', (rows, inner, columns) => {
      it.each([
        [false, false],
        [false, true],
        [true, false],
        [true, true],
      ])('gemm, transposed: %s, %s', (transposeA, transposeB) => {
        const a = precision.round(transposeA ? gaussianMatrix(inner, rows, 1) : gaussianMatrix(rows, inner, 1));
        const b = precision.round(transposeB ? gaussianMatrix(columns, inner, 2) : gaussianMatrix(inner, columns, 2));
        const transposed = { transposeA, transposeB };
        const one = engine().gemm(a, b, transposed);
        expect(one.data.constructor).toBe(a.data.constructor);
        expectProduct(precision, one, a, b, transposed);
        expectProduct(precision, engine().gemm(a, b, { ...transposed, alpha: -0.75 }), a, b, { ...transposed, alpha: -0.75 });
        const there = precision.round(gaussianMatrix(rows, columns, 3));
        const into = { ...there, data: there.data.slice() };
        const options = { ...transposed, alpha: 1.5, beta: -0.5 };
        expect(engine().gemm(a, b, { ...options, into })).toBe(into);
        expectProduct(precision, into, a, b, { ...options, into: there });
      });

      it.each(['left', 'right'] as const)('gram, %s', (side) => {
        const a = precision.round(gaussianMatrix(rows, columns, 4));
        const gram = engine().gram(a, side);
        expect(gram.data).toBeInstanceOf(Float64Array);
        const [first, second] = side === 'left' ? [a, transpose(a)] : [transpose(a), a];
        expectClose(gram, product(first, second), bounds(first, second), 1e-13);
        for (let row = 0; row < gram.rows; row += 1) {
          for (let column = 0; column < row; column += 1) expect(at(gram, row, column)).toBe(at(gram, column, row));
        }
      });
    });

    it('gemm writes over what is there when beta is 0, even NaN', () => {
      const a = precision.round(gaussianMatrix(6, 4, 5));
      const b = precision.round(gaussianMatrix(4, 5, 6));
      const into = precision.round(matrixOf(6, 5, () => Number.NaN));
      expect(engine().gemm(a, b, { into })).toBe(into);
      expectProduct(precision, into, a, b, {});
    });

    it('gemm of columns of very unequal size is as exact in each of them', () => {
      const range = precision.name === 'f64' ? 12 : 6;
      const a = precision.round(gaussianMatrix(40, 50, 7));
      const b = precision.round(matrixOf(50, 25, (row, column) => 10 ** ((column / 12 - 1) * range) * Math.sin(row * 25 + column)));
      expectProduct(precision, engine().gemm(a, b), a, b, {});
    });

    it('an empty sum is zero, and no rows are no rows', () => {
      const nothing = precision.round(matrixOf(3, 0, () => 0));
      const sum = engine().gemm(nothing, precision.round(matrixOf(0, 2, () => 0)));
      expect([sum.rows, sum.columns, [...sum.data]]).toEqual([3, 2, [0, 0, 0, 0, 0, 0]]);
      const into = precision.round(matrixOf(3, 2, (row, column) => row + column));
      engine().gemm(nothing, precision.round(matrixOf(0, 2, () => 0)), { into, beta: 2 });
      expect([...into.data]).toEqual([0, 2, 2, 4, 4, 6]);
      const none = engine().gemm(precision.round(matrixOf(0, 4, () => 0)), precision.round(gaussianMatrix(4, 5, 8)));
      expect([none.rows, none.columns, none.data.length]).toEqual([0, 5, 0]);
    });

    it('shapes that do not fit are a defect', async () => {
      const a = precision.round(gaussianMatrix(3, 4, 9));
      const b = precision.round(gaussianMatrix(5, 3, 10));
      await expectError('INTERNAL', () => engine().gemm(a, b));
      await expectError('INTERNAL', () => engine().gemm(a, b, { transposeA: true }));
      await expectError('INTERNAL', () => engine().gemm(b, a, { into: precision.round(gaussianMatrix(4, 5, 11)) }));
    });
  });
}

function expectProduct(precision: Precision, result: Matrix<Reals>, a: Matrix<Reals>, b: Matrix<Reals>, options: GemmOptions<Reals>): void {
  const [left, right] = [options.transposeA ? transpose(a) : a, options.transposeB ? transpose(b) : b];
  const { alpha = 1, beta = 0, into } = options;
  const sums = product(left, right);
  const limits = bounds(left, right);
  const there = (row: number, column: number): number => (into === undefined ? 0 : beta * at(into, row, column));
  const expected = matrixOf(left.rows, right.columns, (row, column) => alpha * at(sums, row, column) + there(row, column));
  const limit = matrixOf(left.rows, right.columns, (row, column) => at(limits, row, column) + Math.abs(there(row, column)));
  expectClose(result, expected, limit, precision.name === 'f64' ? 1e-14 : 1e-6);
}

/** Element (i, j): the length of row i of a times that of column j of b, which no element of a b exceeds. */
function bounds(a: Matrix<Reals>, b: Matrix<Reals>): Matrix<Float64Array> {
  const rowLengths = Array.from({ length: a.rows }, (_, row) => Math.hypot(...a.data.subarray(row * a.columns, (row + 1) * a.columns)));
  const turned = transpose(b);
  const columnLengths = Array.from({ length: b.columns }, (_, column) =>
    Math.hypot(...turned.data.subarray(column * b.rows, (column + 1) * b.rows)),
  );
  return matrixOf(a.rows, b.columns, (row, column) => (rowLengths[row] as number) * (columnLengths[column] as number));
}

/** Every element within `tolerance` of its own limit. */
function expectClose(result: Matrix<Reals>, expected: Matrix<Reals>, limit: Matrix<Reals>, tolerance: number): void {
  expect([result.rows, result.columns, result.data.length]).toEqual([expected.rows, expected.columns, expected.data.length]);
  let worst = 0;
  for (let index = 0; index < expected.data.length; index += 1) {
    const error = Math.abs((result.data[index] as number) - (expected.data[index] as number));
    const ratio = error === 0 ? 0 : error / (limit.data[index] as number);
    worst = Math.max(worst, ratio);
  }
  expect(worst).toBeLessThanOrEqual(tolerance);
}
