/** TSV-M, isotropic merging, KnOTS and WUDI on every engine: against their definitions, and against what must hold for any matrices. */
import fc from 'fast-check';
import type { Matrix as MlMatrix } from 'ml-matrix';
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
  shapes,
  times,
  toMl,
  zero,
} from '../support/spectral-matrices.js';

const tasksOf = (most: number) =>
  fc
    .record({ shape: shapes(), count: fc.integer({ min: 2, max: most }) })
    .map(({ shape: { rows, columns, seed }, count }) => Array.from({ length: count }, (_, index) => gaussian(rows, columns, seed + index)));

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

  function holds(
    tasks: fc.Arbitrary<Matrix[]>,
    rule: (tasks: readonly Matrix[]) => Matrix,
    definition: (tasks: readonly MlMatrix[]) => MlMatrix,
    tolerance: number,
  ): void {
    const property = fc.property(tasks, (some) => {
      expect(apart(rule(some), fromMl(definition(some.map(toMl))))).toBeLessThan(tolerance);
    });
    fc.assert(property, { numRuns: 60 });
  }

  it('tsv-m is its definition, also with more tasks than directions', () => {
    holds(tasksOf(14), (tasks) => tsvMerge(la, tasks), reference.tsvM, 2e-6);
  });

  it('iso-c is its definition', () => {
    holds(
      tasksOf(2),
      ([first = zero(1, 1)]) => isoC(la, first),
      ([first]) => reference.isoC(first as MlMatrix),
      2e-6,
    );
  });

  it('iso-cts is its definition', () => {
    for (const [fraction, own] of [
      [0, (short: number, count: number) => Math.floor(short / count)],
      [0.5, (short: number, count: number) => Math.min(Math.floor(short / count), halfToEven((short - Math.trunc(short / 2)) / count))],
      [1, () => 0],
    ] as const) {
      holds(
        tasksOf(4),
        (tasks) => isoCts(la, tasks, fraction),
        (tasks) => reference.isoCts(tasks, own(Math.min(tasks[0]?.rows ?? 0, tasks[0]?.columns ?? 0), tasks.length)),
        5e-6,
      );
    }
  });

  it('knots is its definition', () => {
    for (const density of [1, 0.5, 0.2]) {
      const kept = ([first]: readonly MlMatrix[], count: number) =>
        Math.max(1, Math.trunc(density * (first?.columns ?? 0) * Math.min(first?.rows ?? 0, (first?.columns ?? 0) * count)));
      holds(
        tasksOf(4),
        (tasks) => knots(la, tasks, { density, tol: 1e-5, combine: 'ties' }),
        (tasks) => reference.knotsTies(tasks, kept(tasks, tasks.length), 1e-5),
        2e-6,
      );
    }
  });

  it('wudi is the least-norm minimiser', () => {
    holds(tasksOf(4), (tasks) => wudiMerge(la, tasks), reference.wudi, 1e-5);
    const lowRanks = fc.integer({ min: 1, max: 1000 }).map((seed) => [lowRank(7, 12, 2, seed), lowRank(7, 12, 3, seed + 10), zero(7, 12)]);
    holds(
      lowRanks,
      (tasks) => wudiMerge(la, tasks),
      (tasks) => reference.wudi(tasks.slice(0, 2)),
      1e-5,
    );
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

  it('iso-c is exact where the Gram matrix would lose too much', () => {
    const a = decaying(10, 12, 0.25, 3);
    expect(apart(isoC(la, a), fromMl(reference.isoC(toMl(a))))).toBeLessThan(1e-6);
    const pair = [a, decaying(10, 12, 0.25, 5)];
    expect(apart(isoCts(la, pair, 0), fromMl(reference.isoCts(pair.map(toMl), 5)))).toBeLessThan(1e-5);
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

function halfToEven(value: number): number {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 === 1 ? near - 1 : near;
}
