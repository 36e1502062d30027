/** What must hold of the spectral rules for any matrices, on every engine. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { isoC, isoCts } from '../../shared/spectral/iso.js';
import { knots } from '../../shared/spectral/knots.js';
import { tsvMerge } from '../../shared/spectral/tsv.js';
import { wudiMerge } from '../../shared/spectral/wudi.js';
import { expectError } from '../support/expect-error.js';
import * as reference from '../support/reference/spectral.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import {
  apart,
  decaying,
  fromMl,
  gaussian,
  lowRank,
  orthogonal,
  plus,
  productOf,
  times,
  toMl,
  zero,
} from '../support/spectral-matrices.js';

/** Names of rules, and whether turning the tasks' columns turns the result (trimming and electing look at coordinates). */
const RULES: readonly [string, (la: LinearAlgebra, tasks: readonly Matrix[], scale?: number) => Matrix, boolean][] = [
  ['tsv-m', (la, tasks) => tsvMerge(la, tasks), true],
  ['iso-c', (la, tasks) => isoC(la, tasks.reduce(plus)), true],
  ['iso-cts', (la, tasks) => isoCts(la, tasks, 0.5), true],
  ['knots', (la, tasks, scale = 1) => knots(la, tasks, { density: 0.4, tol: 1e-5 * scale, combine: 'ties' }), false],
  ['wudi', (la, tasks) => wudiMerge(la, tasks), true],
];

describe.each(SPECTRAL_ENGINES)('spectral merging, $name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  it('one task is its own merge', () => {
    for (const a of [gaussian(5, 8, 1), gaussian(8, 5, 2), gaussian(1, 4, 3), lowRank(9, 9, 2, 4)]) {
      expect(tsvMerge(la, [a])).toEqual(a);
      expect(wudiMerge(la, [a])).toEqual(a);
      expect(wudiMerge(la, [zero(a.rows, a.columns), a])).toEqual(a);
      expect(apart(knots(la, [a], { density: 1, tol: 1e-5, combine: 'ties' }), a)).toBeLessThan(1e-6);
      expect(apart(isoCts(la, [a], 0.3), isoC(la, a))).toBeLessThan(1e-6);
    }
  });

  it.each(RULES)('%s of zeros is zero', (_, rule) => {
    for (const [rows, columns] of [
      [4, 6],
      [6, 4],
      [1, 1],
    ] as const) {
      expect(rule(la, [zero(rows, columns), zero(rows, columns)])).toEqual(zero(rows, columns));
    }
  });

  it.each(RULES)('%s does not depend on the order of tasks', (_, rule) => {
    const tasks = [gaussian(9, 11, 1), gaussian(9, 11, 2), zero(9, 11), lowRank(9, 11, 2, 3)];
    expect(apart(rule(la, tasks.toReversed()), rule(la, tasks))).toBeLessThan(2e-6);
  });

  it.each(RULES)('%s follows the scale of its input', (_, rule) => {
    const tasks = [gaussian(9, 7, 1), gaussian(9, 7, 2), gaussian(9, 7, 3)];
    const expected = rule(la, tasks);
    for (const scale of [1e-20, 1e20]) {
      const scaled = rule(
        la,
        tasks.map((task) => times(task, scale)),
        scale,
      );
      expect(apart(times(scaled, 1 / scale), expected)).toBeLessThan(1e-5);
    }
  });

  // A direction that no input has would not turn with the inputs.
  it.each(RULES)('%s turns with its input, also where that has few directions', (_, rule, alsoColumns) => {
    for (const [rows, columns] of [
      [12, 12],
      [8, 14],
      [14, 8],
    ] as const) {
      const [turn, swing] = [orthogonal(rows, 1), orthogonal(columns, 2)];
      const turned = (a: Matrix): Matrix => (alsoColumns ? productOf(productOf(turn, a), swing) : productOf(turn, a));
      for (const tasks of [
        [gaussian(rows, columns, 1), gaussian(rows, columns, 2)],
        [lowRank(rows, columns, 1, 3), lowRank(rows, columns, 2, 5), zero(rows, columns)],
        [lowRank(rows, columns, 2, 7), lowRank(rows, columns, 2, 7)],
      ]) {
        expect(apart(rule(la, tasks.map(turned)), turned(rule(la, tasks)))).toBeLessThan(2e-5);
      }
    }
  });

  it('tsv-m of the same task twice is the best approximation of half the rank', () => {
    const a = gaussian(10, 13, 6);
    expect(apart(tsvMerge(la, [a, a]), fromMl(reference.truncated(toMl(a), 5)))).toBeLessThan(1e-6);
  });

  it('iso-c gives every direction that exists the mean of all values', () => {
    const a = lowRank(9, 6, 2, 4);
    const before = reference.singularValues(toMl(a));
    const after = reference.singularValues(toMl(isoC(la, a)));
    const mean = before.reduce((x, y) => x + y, 0) / 6;
    expect(after.slice(0, 2).map((value) => value / mean)).toEqual([expect.closeTo(1, 5), expect.closeTo(1, 5)]);
    expect(after[2]).toBeLessThan(1e-6 * mean);
  });

  it('knots leaves out what is not above the tolerance', () => {
    const a = decaying(6, 9, 0.1, 2);
    const options = { density: 1, combine: 'ties' } as const;
    expect(apart(knots(la, [a], { ...options, tol: 0.05 }), fromMl(reference.truncated(toMl(a), 2)))).toBeLessThan(1e-6);
    expect(knots(la, [a], { ...options, tol: 2 })).toEqual(zero(6, 9));
    expect(knots(la, [a, times(a, -1)], { ...options, tol: 1e-5 })).toEqual(zero(6, 9));
  });

  it('wudi has a loss that no small step lowers', () => {
    const tasks = [gaussian(6, 9, 1), gaussian(6, 9, 2), gaussian(6, 9, 3)];
    const merged = wudiMerge(la, tasks);
    const loss = (of: Matrix): number => reference.wudiLoss(toMl(of), tasks.map(toMl));
    for (let seed = 1; seed < 20; seed++) {
      expect(loss(plus(merged, times(gaussian(6, 9, seed), 1e-3)))).toBeGreaterThan(loss(merged));
    }
  });

  it('refuses no matrices and matrices of different shapes', async () => {
    for (const [, rule] of RULES.filter(([name]) => name !== 'iso-c')) {
      await expectError('INTERNAL', () => rule(la, []));
      await expectError('INTERNAL', () => rule(la, [zero(2, 3), zero(3, 2)]));
    }
  });
});
