/** STAR on every engine against full decompositions; products are compared, never vectors. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { addStar, starFactors } from '../../shared/spectral/star.js';
import * as reference from '../support/reference/spectral.js';
import { sum } from '../support/reference/vectors.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { apart, decaying, fromMl, gaussian, lowRank, plus, productOf, shapes, times, toMl, zero } from '../support/spectral-matrices.js';

const nuclearNorm = (a: Matrix): number => sum(reference.singularValues(toMl(a)));

/** Cuts that no cumulative sum of a random matrix comes close to. */
const etas = fc.constantFrom(0.001, 20, 40, 60, 83.7, 99, 100);

describe.each(SPECTRAL_ENGINES)('star, $name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  function star(a: Matrix, eta: number): Matrix & { readonly rank: number; readonly factor: number } {
    const into = zero(a.rows, a.columns);
    return { ...addStar(la, a, eta, 1, into), ...into };
  }

  it('is the definition, in full and as factors, with the nuclear norm kept', () => {
    fc.assert(
      fc.property(shapes(16), etas, ({ rows, columns, seed }, eta) => {
        const a = gaussian(rows, columns, seed);
        const expected = fromMl(reference.star(toMl(a), eta));
        const result = star(a, eta);
        expect(apart(result, expected)).toBeLessThan(1e-6);
        expect(Math.abs(nuclearNorm(result) / nuclearNorm(a) - 1)).toBeLessThan(1e-6);
        const { left, right, rank, factor, error } = starFactors(la, a, eta);
        expect([left.rows, left.columns, right.rows, right.columns]).toEqual([rows, rank, rank, columns]);
        if (eta < 100) expect({ rank, factor }).toEqual({ rank: result.rank, factor: result.factor });
        expect(apart(productOf(left, right), expected)).toBeLessThan(1e-6);
        expect(Math.abs(error - apart(expected, a))).toBeLessThan(1e-6);
      }),
      { numRuns: 150 },
    );
  });

  it('adds to what is there, weighted, and leaves its input alone', () => {
    const a = gaussian(9, 7, 3);
    const before = a.data.slice();
    for (const eta of [30, 99.99999, 100]) {
      const into = gaussian(9, 7, 4);
      const start = { ...into, data: into.data.slice() };
      addStar(la, a, eta, -0.25, into);
      expect(apart(into, plus(start, times(star(a, eta), -0.25)))).toBeLessThan(1e-6);
    }
    expect(a.data).toEqual(before);
  });

  it('balances factors and gives left columns a sign', () => {
    const { left, right, rank } = starFactors(la, gaussian(12, 5, 8), 80);
    for (let i = 0; i < rank; i++) {
      const column = Array.from({ length: left.rows }, (_, row) => left.data[row * rank + i] ?? 0);
      const row = Array.from(right.data.subarray(i * right.columns, (i + 1) * right.columns));
      expect(Math.hypot(...column) / Math.hypot(...row)).toBeCloseTo(1, 5);
      expect(Math.max(...column)).toBe(Math.max(...column.map(Math.abs)));
    }
  });

  it('follows the scale of its input', () => {
    const a = gaussian(10, 14, 5);
    const expected = star(a, 40);
    for (const scale of [1e-30, 1e-20, 1e20, 1e30]) {
      const scaled = star(times(a, scale), 40);
      expect(scaled.rank).toBe(expected.rank);
      expect(apart(times(scaled, 1 / scale), expected)).toBeLessThan(1e-6);
      const { left, right } = starFactors(la, times(a, scale), 40);
      expect(apart(times(productOf(left, right), 1 / scale), expected)).toBeLessThan(1e-6);
    }
  });

  it('takes what is rank-deficient, of one row, or zero', () => {
    for (const [a, eta] of [
      [lowRank(20, 13, 3, 6), 40],
      [lowRank(13, 20, 3, 7), 99],
      [gaussian(1, 9, 1), 40],
      [gaussian(9, 1, 1), 40],
      [decaying(15, 15, 0.2, 9), 99.9],
    ] as const) {
      expect(apart(star(a, eta), fromMl(reference.star(toMl(a), eta)))).toBeLessThan(1e-6);
    }
    for (const eta of [40, 100]) {
      expect(star(zero(3, 5), eta)).toEqual({ ...zero(3, 5), rank: 0, factor: 0 });
      expect(starFactors(la, zero(3, 5), eta)).toEqual({ rank: 0, factor: 0, left: zero(3, 0), right: zero(0, 5), error: 0 });
    }
  });

  it('adds the matrix itself at eta = 100', () => {
    const a = gaussian(6, 6, 2);
    expect(star(a, 100)).toEqual({ ...a, rank: 6, factor: 1 });
  });
});
