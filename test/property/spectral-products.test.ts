/** Products are treated as the matrices that they stand for, which nobody writes out. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra } from '../../shared/linalg/linear-algebra.js';
import { aggregateProducts, type WeightedProduct } from '../../shared/spectral/aggregate.js';
import { type Product, productSpectrum, starProduct } from '../../shared/spectral/product-svd.js';
import { expectError } from '../support/expect-error.js';
import * as reference from '../support/reference/spectral.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { apart, decaying, fromMl, gaussian, productOf, shapes, toMl, zero } from '../support/spectral-matrices.js';

/** alpha / sqrt(r) as rslora scales, of any rank, also above the dimensions. */
const products = fc
  .record({ shape: shapes(), rank: fc.integer({ min: 1, max: 18 }), scale: fc.constantFrom(1, -0.5, 16 / Math.sqrt(8), 2e-3) })
  .map(({ shape: { rows, columns, seed }, rank, scale }) => ({
    left: gaussian(rows, rank, seed),
    right: gaussian(rank, columns, seed + 1),
    scale,
  }));

/** Several of one shape and unequal ranks. */
const sums = fc
  .record({
    shape: shapes(),
    parts: fc.array(
      fc.record({ rank: fc.integer({ min: 1, max: 7 }), scale: fc.constantFrom(1, 2, 0.25), weight: fc.constantFrom(1, -1, 0.3) }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
  })
  .map(({ shape: { rows, columns, seed }, parts }) =>
    parts.map(
      ({ rank, scale, weight }, index): WeightedProduct => ({
        left: gaussian(rows, rank, seed + 2 * index),
        right: gaussian(rank, columns, seed + 2 * index + 1),
        scale,
        weight,
      }),
    ),
  );

function dense(parts: readonly (Product & { readonly weight?: number })[]) {
  return parts
    .map(({ left, right, scale, weight = 1 }) =>
      toMl(left)
        .mmul(toMl(right))
        .mul(scale * weight),
    )
    .reduce((sum, part) => sum.add(part));
}

describe.each(SPECTRAL_ENGINES)('products, $name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  it('have the singular values of the matrix', () => {
    fc.assert(
      fc.property(products, (product) => {
        const values = productSpectrum(la, product);
        const { left, right } = product;
        expect(values.length).toBe(Math.min(left.rows, right.columns, left.columns));
        const expected = reference.singularValues(dense([product]));
        expected.forEach((value, index) => expect(Math.abs((values[index] ?? 0) - value)).toBeLessThan(1e-12 * (expected[0] ?? 0)));
      }),
      { numRuns: 80 },
    );
  });

  it('have the STAR of the matrix', () => {
    fc.assert(
      fc.property(products, fc.constantFrom(1e-6, 31, 64, 97, 100), (product, eta) => {
        const expected = fromMl(reference.star(dense([product]), eta - 1e-9));
        const { left, right, rank, error } = starProduct(la, product, eta);
        expect([left.columns, right.rows]).toEqual([rank, rank]);
        expect(apart(productOf(left, right), expected)).toBeLessThan(1e-6);
        expect(Math.abs(error - apart(expected, fromMl(dense([product]))))).toBeLessThan(1e-6);
      }),
      { numRuns: 80 },
    );
  });

  it('of nothing are nothing', () => {
    const nothing = { rank: 0, factor: 0, left: zero(4, 0), right: zero(0, 5), error: 0 };
    const [left, right] = [gaussian(4, 2, 1), gaussian(2, 5, 2)];
    expect(starProduct(la, { left, right, scale: 0 }, 40)).toEqual(nothing);
    expect(starProduct(la, { left: zero(4, 2), right, scale: 1 }, 40)).toEqual(nothing);
    expect(starProduct(la, { left: zero(4, 0), right: zero(0, 5), scale: 1 }, 40)).toEqual(nothing);
    expect(productSpectrum(la, { left: zero(4, 0), right: zero(0, 5), scale: 1 })).toEqual(new Float64Array(0));
  });

  it('are added exactly where the rank suffices', () => {
    fc.assert(
      fc.property(sums, (parts) => {
        const { left, right, rank, error, spectrum } = aggregateProducts(la, parts, {});
        const whole = dense(parts);
        expect(apart(productOf(left, right), fromMl(whole))).toBeLessThan(1e-6);
        expect([left.columns, right.rows]).toEqual([rank, rank]);
        expect(rank).toBe(
          Math.min(
            whole.rows,
            whole.columns,
            parts.reduce((sum, part) => sum + part.left.columns, 0),
          ),
        );
        expect(rank).toBe(spectrum.length);
        expect(error).toBe(0);
      }),
      { numRuns: 80 },
    );
  });

  it('are cut to a rank as nothing of that rank could be closer, and say what it cost', () => {
    fc.assert(
      fc.property(sums, fc.integer({ min: 1, max: 6 }), (parts, wanted) => {
        const { left, right, rank, error } = aggregateProducts(la, parts, { rank: wanted });
        const whole = dense(parts);
        expect(rank).toBeLessThanOrEqual(wanted);
        const best = reference.truncated(whole, rank);
        expect(apart(productOf(left, right), fromMl(best))).toBeLessThan(1e-6);
        expect(Math.abs(error - apart(fromMl(best), fromMl(whole)))).toBeLessThan(1e-6);
      }),
      { numRuns: 80 },
    );
  });

  it('are cut to a share of the squares', () => {
    const part: WeightedProduct = { left: decaying(12, 8, 0.5, 1), right: decaying(8, 9, 1, 2), scale: 3, weight: 0.5 };
    const all = aggregateProducts(la, [part], {});
    const squares = all.spectrum.map((value) => value ** 2);
    const share = (count: number): number => squares.slice(0, count).reduce((a, b) => a + b, 0) / squares.reduce((a, b) => a + b, 0);
    for (const count of [1, 2, 3, 5]) {
      for (const [energy, rank] of [
        [share(count), count],
        [share(count) - 1e-6, count],
        [share(count) + 1e-6, count + 1],
      ] as const) {
        expect(aggregateProducts(la, [part], { energy }).rank).toBe(rank);
        expect(aggregateProducts(la, [part], { energy, rank: 2 }).rank).toBe(Math.min(2, rank));
      }
      expect(aggregateProducts(la, [part], { energy: share(count) }).error).toBeCloseTo(Math.sqrt(1 - share(count)), 9);
    }
    expect(aggregateProducts(la, [part], { energy: 1 }).rank).toBe(8);
  });

  it('that cancel leave nothing, and directions that several share are counted once', () => {
    const [left, right] = [gaussian(8, 3, 1), gaussian(3, 6, 2)];
    const product = { left, right, scale: 0.7, weight: 0.4 };
    expect(aggregateProducts(la, [product, { ...product, weight: -0.4 }], {})).toMatchObject({ rank: 0, error: 0 });
    expect(aggregateProducts(la, [{ ...product, weight: 0 }], {})).toMatchObject({
      rank: 0,
      error: 0,
      left: zero(8, 0),
      right: zero(0, 6),
    });
    const twice = aggregateProducts(la, [product, product], {});
    expect(twice.rank).toBe(3);
    expect(apart(productOf(twice.left, twice.right), fromMl(dense([product, product])))).toBeLessThan(1e-6);
  });

  it('do not depend on the order of the parts', () => {
    const parts = [3, 1, 4].map((rank, index) => ({
      left: gaussian(9, rank, index),
      right: gaussian(rank, 7, index + 9),
      scale: 1,
      weight: 0.5,
    }));
    const one = aggregateProducts(la, parts, { rank: 4 });
    const other = aggregateProducts(la, parts.toReversed(), { rank: 4 });
    expect(apart(productOf(other.left, other.right), productOf(one.left, one.right))).toBeLessThan(1e-6);
    expect(other.error).toBeCloseTo(one.error, 12);
  });

  it('refuse parts that do not fit', async () => {
    const part = (rows: number, rank: number): WeightedProduct => ({
      left: gaussian(rows, rank, 1),
      right: gaussian(2, 3, 2),
      scale: 1,
      weight: 1,
    });
    await expectError('INTERNAL', () => aggregateProducts(la, [], {}));
    await expectError('INTERNAL', () => aggregateProducts(la, [part(4, 2), part(5, 2)], {}));
    await expectError('INTERNAL', () => aggregateProducts(la, [part(4, 3)], {}));
  });
});
