/** TSV-M, isotropic merging, KnOTS and WUDI on every engine: against their definitions. */
import fc from 'fast-check';
import type { Matrix as MlMatrix } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { isoC, isoCts } from '../../shared/spectral/iso.js';
import { knots } from '../../shared/spectral/knots.js';
import { tsvMerge } from '../../shared/spectral/tsv.js';
import { wudiMerge } from '../../shared/spectral/wudi.js';
import * as reference from '../support/reference/spectral.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { apart, decaying, fromMl, gaussian, lowRank, shapes, toMl, zero } from '../support/spectral-matrices.js';

const tasksOf = (most: number) =>
  fc
    .record({ shape: shapes(), count: fc.integer({ min: 2, max: most }) })
    .map(({ shape: { rows, columns, seed }, count }) => Array.from({ length: count }, (_, index) => gaussian(rows, columns, seed + index)));

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
    seed?: number,
  ): void {
    const property = fc.property(tasks, (some) => {
      expect(apart(rule(some), fromMl(definition(some.map(toMl))))).toBeLessThan(tolerance);
    });
    fc.assert(property, { numRuns: 60, ...(seed === undefined ? {} : { seed }) });
  }

  it('tsv-m is its definition, also with more tasks than directions', () => {
    holds(tasksOf(14), (tasks) => tsvMerge(la, tasks), reference.tsvM, 5e-6);
  });

  it('iso-c is its definition', () => {
    holds(
      tasksOf(2),
      ([first = zero(1, 1)]) => isoC(la, first),
      ([first]) => reference.isoC(first as MlMatrix),
      5e-6,
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
        // A sum of coordinates can come out on either side of zero: the matrices are always the same.
        1,
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

  it('iso-c is exact where the Gram matrix would lose too much', () => {
    const a = decaying(10, 12, 0.25, 3);
    expect(apart(isoC(la, a), fromMl(reference.isoC(toMl(a))))).toBeLessThan(1e-6);
    const pair = [a, decaying(10, 12, 0.25, 5)];
    expect(apart(isoCts(la, pair, 0), fromMl(reference.isoCts(pair.map(toMl), 5)))).toBeLessThan(1e-5);
  });
});

function halfToEven(value: number): number {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 === 1 ? near - 1 : near;
}
