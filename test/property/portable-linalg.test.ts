import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Matrix } from '../../shared/linalg/linear-algebra.js';
import { createPortableEngine } from '../../shared/linalg/portable.js';
import { compileLinalg, createLinalgMemory } from '../../shared/linalg/portable-memory.js';
import { expectError } from '../support/expect-error.js';
import {
  at,
  diagonal,
  difference,
  F32,
  frobenius,
  gaussianMatrix,
  matrixOf,
  PRECISIONS,
  product,
  rowsOffOrthonormal,
  transpose,
  type Wide,
  withSingularValues,
} from '../support/linalg-matrices.js';

const engine = await createPortableEngine();
const seeds = fc.integer({ min: 0, max: 1e6 });

/** Far enough from the end of the range for relative tolerances. */
const isNormal = (value: number): boolean => value === 0 || Math.abs(value) > 1e-290;

/** Numbers as decompositions meet them: zeros, equal ones, tiny ones, and some in between. */
const numbers = (count: number): fc.Arbitrary<number[]> =>
  fc.array(
    fc.oneof(fc.constantFrom(0, 1, 1, 1 + 2 ** -50, 1e-8, 1e-16, 1e-160, -1), fc.double({ min: -2, max: 2, noNaN: true }).filter(isNormal)),
    {
      minLength: count,
      maxLength: count,
    },
  );

const band = fc
  .integer({ min: 1, max: 70 })
  .chain((size) => fc.record({ size: fc.constant(size), main: numbers(size), beside: numbers(size) }));

describe('products', () => {
  it('do not depend on the size of the matrices around an element', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PRECISIONS),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 40 }),
        seeds,
        ({ round }, rows, inner, columns, seed) => {
          const [a, b] = [round(gaussianMatrix(rows, inner, seed)), round(gaussianMatrix(inner, columns, seed + 1))];
          const whole = engine.gemm(a, b);
          const row = round(matrixOf(1, inner, (_, p) => at(a, rows - 1, p)));
          const column = round(matrixOf(inner, 1, (p) => at(b, p, columns - 1)));
          expect(engine.gemm(row, column).data[0]).toBe(at(whole, rows - 1, columns - 1));
          expect(engine.gemm(transpose32(round(a)), transpose32(round(b)), { transposeA: true, transposeB: true })).toEqual(whole);
        },
      ),
      { numRuns: 60 },
    );
    function transpose32<T extends Float32Array | Float64Array>(a: Matrix<T>): Matrix<T> {
      return { rows: a.columns, columns: a.rows, data: a.data.map((_, i) => at(a, i % a.rows, Math.floor(i / a.rows))) as T };
    }
  });

  it.each([
    [1030, 5, 3],
    [3, 2100, 2],
    [4, 300, 1100],
  ])('beyond one tile: %d x %d x %d', (rows, inner, columns) => {
    for (const { round, tolerance } of PRECISIONS) {
      const [a, b] = [round(gaussianMatrix(rows, inner, 1)), round(gaussianMatrix(inner, columns, 2))];
      const into = round(gaussianMatrix(rows, columns, 3));
      const expected = matrixOf(rows, columns, (row, column) => 0.5 * at(into, row, column));
      product(a, b).data.forEach((value, index) => {
        expected.data[index] = (expected.data[index] as number) - 2 * value;
      });
      expect(frobenius(difference(engine.gemm(a, b, { alpha: -2, beta: 0.5, into }), expected))).toBeLessThan(
        tolerance * frobenius(expected),
      );
      expect(frobenius(difference(engine.gram(a, 'right'), product(transpose(a), a)))).toBeLessThan(1e-12 * frobenius(a) ** 2);
      expect(frobenius(difference(engine.gram(b, 'left'), product(b, transpose(b))))).toBeLessThan(1e-12 * frobenius(b) ** 2);
    }
  });
});

describe('divide and conquer', () => {
  it('svd of bidiagonal matrices', () => {
    fc.assert(
      fc.property(band, ({ size, main, beside }) => {
        expectSvd(matrixOf(size, size, (row, column) => (row === column ? main[row] : column === row + 1 ? beside[row] : 0) as number));
      }),
      { numRuns: 80 },
    );
  });

  it('eigh of tridiagonal matrices', () => {
    fc.assert(
      fc.property(band, ({ size, main, beside }) => {
        const a = matrixOf(size, size, (row, column) =>
          row === column ? (main[row] as number) : Math.abs(row - column) === 1 ? (beside[Math.min(row, column)] as number) : 0,
        );
        const { values, vectors } = engine.eigh(a);
        expect(values).toEqual(values.slice().sort());
        expect(rowsOffOrthonormal(vectors)).toBeLessThan(1e-13);
        expect(frobenius(difference(product(transpose(vectors), product(diagonal(values), vectors)), a))).toBeLessThanOrEqual(
          1e-13 * frobenius(a),
        );
      }),
      { numRuns: 80 },
    );
  });

  it('svd of any shape with any singular values', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 48 }),
        fc.integer({ min: 1, max: 48 }),
        seeds,
        fc.infiniteStream(numbers(1)),
        (rows, columns, seed, stream) => {
          const values = Array.from({ length: Math.min(rows, columns) }, () => Math.abs(stream.next().value?.[0] ?? 0));
          expectSvd(withSingularValues(rows, columns, values, seed));
        },
      ),
      { numRuns: 60 },
    );
  });

  function expectSvd(a: Wide): void {
    const { u, s, vt } = engine.svd(a);
    expect(s).toEqual(s.slice().sort().reverse());
    expect(rowsOffOrthonormal(transpose(u))).toBeLessThan(1e-13);
    expect(rowsOffOrthonormal(vt)).toBeLessThan(1e-13);
    expect(frobenius(difference(product(u, product(diagonal(s), vt)), a))).toBeLessThanOrEqual(1e-13 * frobenius(a));
    expect(frobenius(difference(diagonal(engine.singularValues(a)), diagonal(s)))).toBeLessThanOrEqual(1e-13 * frobenius(a));
  }
});

describe('spectrum', () => {
  it('keeps the sum of values that go down in steps, and the space of the largest', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 2, max: 60 }),
        fc.array(fc.constantFrom(1, 0.5, 1e-3, 1e-5, 1e-8, 1e-12), { minLength: 60, maxLength: 60 }),
        fc.nat(59),
        seeds,
        (rows, columns, sizes, wanted, seed) => {
          const values = sizes.slice(0, Math.min(rows, columns)).sort((one, other) => other - one);
          const a = withSingularValues(rows, columns, values, seed);
          const spectrum = engine.spectrum(a);
          const sum = (list: ArrayLike<number>): number => Array.from(list).reduce((total, value) => total + value, 0);
          expect(Math.abs(sum(spectrum.values) - sum(values))).toBeLessThanOrEqual(1e-7 * sum(values));
          values.forEach((value, index) => {
            expect(Math.abs((spectrum.values[index] as number) - value)).toBeLessThanOrEqual(5e-8 * (values[0] as number));
          });
          const count = Math.min(values.length, wanted);
          const vectors = spectrum.vectors(count);
          expect(rowsOffOrthonormal(vectors)).toBeLessThan(1e-12);
          const seen = product(spectrum.side === 'right' ? a : transpose(a), transpose(vectors));
          const energy = sum(values.slice(0, count).map((value) => value * value));
          expect(Math.abs(frobenius(seen) ** 2 - energy)).toBeLessThanOrEqual(1e-12 * (values[0] as number) ** 2);
        },
      ),
      { numRuns: 80 },
    );
  });

  it('may be asked again, after other calls, with the same bits', () => {
    const spectrum = engine.spectrum(F32.round(gaussianMatrix(90, 70, 5)));
    const first = spectrum.vectors(20);
    engine.svd(gaussianMatrix(80, 80, 6));
    expect(spectrum.vectors(20)).toEqual(first);
    expect(spectrum.vectors(70).data.slice(0, first.data.length)).toEqual(first.data);
  });
});

describe('memory', () => {
  it('beyond what WebAssembly has is an error that says what to do', async () => {
    const memory = createLinalgMemory(await compileLinalg());
    await expectError('LINALG_FAILED', () => memory.layOut('SVD of a 20000 x 20000 matrix', { all: 10 * 20_000 ** 2 * 8 }));
    expect(() => memory.layOut('SVD of a 20000 x 20000 matrix', { all: 10 * 20_000 ** 2 * 8 })).toThrow(
      /SVD of a 20000 x 20000 matrix.*4\.0 GiB.*29\.8 GiB.*tributary doctor --fix/,
    );
  });

  it('works beyond 2 GiB', async () => {
    const memory = createLinalgMemory(await compileLinalg());
    const at = memory.layOut('test', { before: 2 ** 31, x: 64, y: 64 });
    memory.doubles(at.x, 4).set([1, 2, 3, 4]);
    memory.doubles(at.y, 4).fill(0);
    memory.run.addProduct64(2, 2, 2, 1, at.x, 16, 0, at.x, 16, 0, at.y, 16, 0);
    expect([...memory.doubles(at.y, 4)]).toEqual([7, 10, 15, 22]);
  });
});
