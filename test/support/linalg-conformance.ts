/**
 * What every linear algebra engine has to keep (shared/linalg/linear-algebra.ts), as tests. Tolerances are relative to the norm of the matrix: 1e-12
 * for fp64 results, 1e-6 where results are rounded to f32; singular values of f32 input are still fp64 and held to 1e-12.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { expectError } from './expect-error.js';
import { type MatrixCase, matrixCases, oracleValues } from './linalg-cases.js';
import { declareProducts } from './linalg-conformance-products.js';
import { declareSpectrum } from './linalg-conformance-spectrum.js';
import { declareSymmetric } from './linalg-conformance-symmetric.js';
import {
  at,
  difference,
  frobenius,
  gaussianMatrix,
  largest,
  PRECISIONS,
  type Precision,
  product,
  rowsOffOrthonormal,
  transpose,
} from './linalg-matrices.js';

/** Declares the tests of one engine. `load` is called once, when they run; it may throw, and the tests then fail. */
export function declareConformance(name: string, load: () => Promise<LinearAlgebra>): void {
  describe(`engine ${name}`, () => {
    let loaded: LinearAlgebra | undefined;
    beforeAll(async () => {
      loaded = await load();
    });
    const engine = (): LinearAlgebra => loaded as LinearAlgebra;

    it('says what it is', () => {
      expect(['tensorflow', 'lapack', 'portable']).toContain(engine().engine);
      expect(engine().device).toMatch(/^(cpu|gpu:\d+)$/);
      expect(engine().library).not.toBe('');
    });

    for (const precision of PRECISIONS) {
      declareProducts(engine, precision);
      describe.each(matrixCases(precision))(`${precision.name}, $name`, (matrixCase) => {
        declareFactorisations(engine, precision, matrixCase);
        declareSpectrum(engine, precision, matrixCase);
      });
    }
    declareSymmetric(engine);
    declareHygiene(engine);
  });
}

function declareFactorisations(engine: () => LinearAlgebra, precision: Precision, { matrix, values: known }: MatrixCase): void {
  const a = precision.round(matrix);
  const k = Math.min(a.rows, a.columns);
  const norm = frobenius(a);

  it('svd: orthonormal, in order, and its product is the matrix', () => {
    const { u, s, vt } = engine().svd(a);
    expect([u.rows, u.columns, s.length, vt.rows, vt.columns]).toEqual([a.rows, k, k, k, a.columns]);
    expect(u.data.constructor).toBe(a.data.constructor);
    expect(vt.data.constructor).toBe(a.data.constructor);
    expect(s).toBeInstanceOf(Float64Array);
    expectDescending(s);
    expect(rowsOffOrthonormal(transpose(u))).toBeLessThan(precision.tolerance);
    expect(rowsOffOrthonormal(vt)).toBeLessThan(precision.tolerance);
    const scaledVt = { ...vt, data: Float64Array.from(vt.data, (value, index) => value * (s[Math.floor(index / vt.columns)] as number)) };
    expect(frobenius(difference(product(u, scaledVt), a))).toBeLessThanOrEqual(precision.tolerance * norm);
  });

  it('singular values are those of ml-matrix or of the construction, with and without vectors', () => {
    const s = engine().svd(a).s;
    const alone = engine().singularValues(a);
    expect(alone).toBeInstanceOf(Float64Array);
    expectDescending(alone);
    expectValues(alone, s, 1e-12);
    if (known !== undefined) expectValues(s, known, precision.tolerance);
    if (k <= 96) expectValues(s, oracleValues({ ...a, data: Float64Array.from(a.data) }), 1e-12);
  });

  it('qr: orthonormal, triangular, and its product is the matrix', () => {
    const { q, r } = engine().qr(a);
    expect([q.rows, q.columns, r.rows, r.columns]).toEqual([a.rows, k, k, a.columns]);
    expect(q.data.constructor).toBe(a.data.constructor);
    expect(r.data.constructor).toBe(a.data.constructor);
    expect(rowsOffOrthonormal(transpose(q))).toBeLessThan(precision.tolerance);
    for (let row = 1; row < k; row += 1) for (let column = 0; column < row; column += 1) expect(at(r, row, column)).toBe(0);
    expect(frobenius(difference(product(q, r), a))).toBeLessThanOrEqual(precision.tolerance * norm);
  });
}

function expectDescending(values: Float64Array): void {
  for (const [index, value] of values.entries()) {
    expect(value).toBeGreaterThanOrEqual(0);
    if (index > 0) expect(value).toBeLessThanOrEqual(values[index - 1] as number);
  }
}

function expectValues(values: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(values.length).toBe(expected.length);
  const errors = Float64Array.from(values, (value, index) => value - (expected[index] as number));
  expect(largest(errors)).toBeLessThanOrEqual(tolerance * largest(expected));
}

function declareHygiene(engine: () => LinearAlgebra): void {
  const calls: readonly [string, (a: Matrix<Reals>) => unknown][] = [
    ['svd', (a) => engine().svd(a)],
    ['singularValues', (a) => engine().singularValues(a)],
    ['qr', (a) => engine().qr(a)],
    ['gram', (a) => engine().gram(a, 'right')],
    ['gemm', (a) => engine().gemm(a, a, { transposeB: true })],
    ['spectrum', (a) => [engine().spectrum(a).values, engine().spectrum(a).vectors(9)]],
    ['eigh', (a) => engine().eigh(engine().gram(a, 'left'))],
    ['choleskySolve', (a) => engine().choleskySolve(engine().gram(a, 'left'), engine().gram(a, 'left'))],
  ];
  it.each(calls)('%s gives the same bits twice and leaves its input alone', (_, call) => {
    for (const { round } of PRECISIONS) {
      const a = round(gaussianMatrix(23, 37, 91));
      const before = a.data.slice();
      const first = call(a);
      expect(call(a)).toEqual(first);
      expect(a.data).toEqual(before);
    }
  });

  it('eigh and choleskySolve leave their inputs alone', () => {
    const a = engine().gram(gaussianMatrix(9, 14, 92), 'left');
    const b = gaussianMatrix(9, 2, 93);
    const before = [a.data.slice(), b.data.slice()];
    engine().eigh(a);
    engine().choleskySolve(a, b);
    expect([a.data, b.data]).toEqual(before);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('a matrix with %d has no factors', async (bad) => {
    for (const { round } of PRECISIONS) {
      const a = round(gaussianMatrix(12, 12, 94));
      a.data[77] = bad;
      await expectError('LINALG_FAILED', () => engine().svd(a));
      await expectError('LINALG_FAILED', () => engine().singularValues(a));
      await expectError('LINALG_FAILED', () => engine().spectrum(a));
    }
    const symmetric = engine().gram(gaussianMatrix(12, 12, 95), 'left');
    symmetric.data[77] = bad;
    symmetric.data[5 * 12 + 6] = bad;
    await expectError('LINALG_FAILED', () => engine().eigh(symmetric));
    await expectError('LINALG_FAILED', () => engine().choleskySolve(symmetric, symmetric));
  });
}
