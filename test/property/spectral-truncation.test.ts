/** Matrices as truncated factors, on every engine. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { truncateMatrix } from '../../shared/spectral/aggregate.js';
import { frobenius } from '../support/linalg-matrices.js';
import * as reference from '../support/reference/spectral.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { apart, decaying, fromMl, gaussian, lowRank, productOf, toMl, zero } from '../support/spectral-matrices.js';

describe.each(SPECTRAL_ENGINES)('truncateMatrix, $name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  function check(a: Matrix, size: { rank?: number; energy?: number }, rank: number): void {
    const result = truncateMatrix(la, a, size);
    expect(result.rank).toBe(rank);
    const best = fromMl(reference.truncated(toMl(a), rank));
    expect(
      frobenius({ ...a, data: productOf(result.left, result.right).data.map((value, i) => value - (best.data[i] ?? 0)) }),
    ).toBeLessThan(1e-6 * frobenius(a));
    expect(Math.abs(result.error - apart(best, a))).toBeLessThan(1e-6);
    expect(result.spectrum.length).toBe(Math.min(a.rows, a.columns));
  }

  it('is the closest of its rank', () => {
    check(gaussian(13, 9, 1), { rank: 4 }, 4);
    check(gaussian(9, 13, 2), { rank: 40 }, 9);
    check(gaussian(1, 13, 3), { rank: 1 }, 1);
    check(decaying(10, 16, 0.5, 4), { energy: 0.99 }, 4);
    check(decaying(10, 10, 0.5, 4), { energy: 0.99, rank: 2 }, 2);
  });

  it('finds the rank of what was stored in fp32', () => {
    check(lowRank(40, 30, 5, 1), {}, 5);
    check(lowRank(30, 40, 1, 2), {}, 1);
    check(gaussian(12, 12, 3), {}, 12);
  });

  it('of nothing is nothing', () => {
    expect(truncateMatrix(la, zero(4, 3), { rank: 2 })).toEqual({
      rank: 0,
      error: 0,
      spectrum: new Float64Array(3),
      left: zero(4, 0),
      right: zero(0, 3),
    });
  });
});
