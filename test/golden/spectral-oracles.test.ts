/** The spectral rules on every engine, held to what the papers' own code gave and to values worked out by hand. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { LinearAlgebra, Matrix } from '../../shared/linalg/linear-algebra.js';
import { isoC, isoCts } from '../../shared/spectral/iso.js';
import { addStar, starCut } from '../../shared/spectral/star.js';
import { tsvMerge } from '../../shared/spectral/tsv.js';
import { wudiMerge } from '../../shared/spectral/wudi.js';
import * as reference from '../support/reference/spectral.js';
import { SPECTRAL_ENGINES } from '../support/spectral-engines.js';
import { matrix, toMl } from '../support/spectral-matrices.js';
import oracles from './oracles.json' with { type: 'json' };

/** The papers' code computed these in fp32: they are right to about five places. */
function expectNear(actual: Matrix, expected: readonly number[]): void {
  expect(actual.data.length).toBe(expected.length);
  const worst = Math.max(...expected.map((value, index) => Math.abs((actual.data[index] ?? Number.NaN) - value)));
  expect(worst, `${Array.from(actual.data).join(', ')} for ${expected.join(', ')}`).toBeLessThan(5e-6);
}

const diagonal = (...values: readonly number[]): Matrix =>
  matrix(
    values.length,
    values.length,
    values.flatMap((value, row) => values.map((_, column) => (row === column ? value : 0))),
  );

const taus = oracles.fixture.taus.map((tau) => matrix(3, 3, tau.slice(0, 9)));
const sum = matrix(
  3,
  3,
  Array.from({ length: 9 }, (_, index) => taus.reduce((acc, tau) => acc + (tau.data[index] ?? 0), 0)),
);

describe.each(SPECTRAL_ENGINES)('$name', ({ load }) => {
  let la: LinearAlgebra;
  beforeAll(async () => {
    la = await load();
  });

  function star(a: Matrix, eta: number): Matrix {
    const into = matrix(a.rows, a.columns, []);
    addStar(la, a, eta, 1, into);
    return into;
  }

  it.each([
    [1, [10, 0, 0, 0]],
    [39.9, [10, 0, 0, 0]],
    [40, [10, 0, 0, 0]],
    [41, [40 / 7, 30 / 7, 0, 0]],
    [70, [40 / 7, 30 / 7, 0, 0]],
    [71, [40 / 9, 30 / 9, 20 / 9, 0]],
    [90, [40 / 9, 30 / 9, 20 / 9, 0]],
    [91, [4, 3, 2, 1]],
    [100, [4, 3, 2, 1]],
  ])('star of diag(4, 3, 2, 1) at eta %d', (eta, expected) => {
    expectNear(star(diagonal(4, 3, 2, 1), eta), Array.from(diagonal(...expected).data));
  });

  it('star of a matrix that is not symmetric', () => {
    const d = matrix(2, 2, [3, 0, 4, 5]);
    expectNear(star(d, 40), [2, 2, 6, 6]);
    expect(star(d, 80).data).toEqual(d.data);
  });

  it('star of two tasks, averaged', () => {
    const into = diagonal(0, 0, 0, 0);
    for (const tau of [diagonal(4, 3, 2, 1), diagonal(1, 1, 1, 5)]) addStar(la, tau, 40, 1 / 2, into);
    expectNear(into, Array.from(diagonal(5, 0, 0, 4).data));
  });

  it('star of the fixture, each and averaged', () => {
    const into = matrix(3, 3, []);
    taus.forEach((tau, index) => {
      expectNear(star(tau, 40), oracles.starEta40W.each[index] ?? []);
      addStar(la, tau, 40, 1 / 3, into);
    });
    expectNear(into, oracles.starEta40W.average);
  });

  it('tsv-m', () => expectNear(tsvMerge(la, taus), oracles.tsvmW.value));
  it('iso-c', () => expectNear(isoC(la, sum), oracles.isoCW.value));
  it('iso-cts', () => {
    expectNear(isoCts(la, taus, 0.8), oracles.isoCtsW.fraction80);
    expectNear(isoCts(la, taus, 0), oracles.isoCtsW.fraction0);
  });

  it('wudi and its loss', () => {
    const merged = wudiMerge(la, taus);
    expectNear(merged, oracles.wudiW.value);
    expect(reference.wudiLoss(toMl(merged), taus.map(toMl))).toBeCloseTo(oracles.wudiW.loss, 5);
  });
});

it('the slow references agree with the oracles', () => {
  const tasks = taus.map(toMl);
  const near = (actual: { to1DArray(): number[] }, expected: readonly number[]) => expectNear(matrix(3, 3, actual.to1DArray()), expected);
  tasks.forEach((task, index) => near(reference.star(task, 40), oracles.starEta40W.each[index] ?? []));
  near(reference.tsvM(tasks), oracles.tsvmW.value);
  near(reference.isoC(toMl(sum)), oracles.isoCW.value);
  near(reference.isoCts(tasks, 0), oracles.isoCtsW.fraction80);
  near(reference.isoCts(tasks, 1), oracles.isoCtsW.fraction0);
  near(reference.wudi(tasks), oracles.wudiW.value);
  expect(reference.wudiLoss(toMl(sum), tasks)).toBeCloseTo(oracles.wudiW.lossOfSum, 5);
});

describe('starCut', () => {
  it('is not moved off a boundary by rounding', () => {
    expect(starCut(Float64Array.of(4, 3, 2, 1), 40)).toEqual({ rank: 1, factor: 2.5 });
    expect(starCut(new Float64Array(10).fill(0.1), 30).rank).toBe(3);
    expect(starCut(new Float64Array(10).fill(0.1), 70).rank).toBe(7);
  });
  it('keeps at least one, at most all', () => {
    expect(starCut(Float64Array.of(1, 1), 1e-9)).toEqual({ rank: 1, factor: 2 });
    expect(starCut(Float64Array.of(1, 1e-3), 100)).toEqual({ rank: 2, factor: 1 });
    expect(starCut(new Float64Array(3), 40)).toEqual({ rank: 0, factor: 0 });
    expect(starCut(new Float64Array(0), 40)).toEqual({ rank: 0, factor: 0 });
  });
});
