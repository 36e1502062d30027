/** Holds the slow reference of every rule to numbers from the papers' own code and to values worked out by hand (oracles.json). */
import { describe, expect, it } from 'vitest';
import { sce, tiesPaperMerge, tiesPaperTrim } from '../support/reference/consensus.js';
import { coordinateMedian, fedgma } from '../support/reference/elementwise.js';
import { karcher, modelStockRatio, multislerp, nuslerp, slerp } from '../support/reference/geometry.js';
import { breadcrumbs, dellaProbabilities } from '../support/reference/selection.js';
import { fedAdaptive } from '../support/reference/server-optimizers.js';
import {
  centredClipping,
  fedavgShares,
  fednovaShares,
  geometricMedian,
  krumScores,
  metagptShares,
  multiKrum,
  nanShares,
} from '../support/reference/sums.js';
import {
  consensusTaskArithmetic,
  emrMask,
  emrRescaler,
  emrTask,
  emrUnified,
  linesAlpha,
  linesFactor,
  pcb,
  tallMask,
} from '../support/reference/task-masks.js';
import {
  combination,
  dot,
  meanVector,
  norm,
  perSlice,
  type ReferenceModel,
  scaled,
  squaredDistance,
  unflatten,
  type Vector,
} from '../support/reference/vectors.js';
import oracles from './oracles.json' with { type: 'json' };

const vector = (values: readonly number[]): Vector => Float64Array.from(values);

/** Oracles are given to six places. */
function expectNear(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...expected.map((value, index) => Math.abs((actual[index] ?? Number.NaN) - value)));
  expect(worst, `${Array.from(actual).join(', ')} for ${expected.join(', ')}`).toBeLessThan(1.5e-6);
}

const taus = oracles.fixture.taus.map(vector);
const ws = taus.map((tau) => tau.slice(0, 9));
const [w1 = vector([]), w2 = vector([]), w3 = vector([])] = ws;
const W = [3, 3];
const like: ReferenceModel = new Map([
  ['w', { shape: W, values: vector(Array(9).fill(0)) }],
  ['b', { shape: [3], values: vector(Array(3).fill(0)) }],
]);
const sumOf = (vectors: readonly Vector[], factor = 1): Vector =>
  combination(
    vectors,
    vectors.map(() => factor),
  );

describe('task arithmetic as one-shot FedAvg', () => {
  const { oneShot } = oracles;
  const three = oneShot.taus.map(vector);
  const clip = (rho: number) => centredClipping(three, { rho, iterations: 1, aggregate: 'sum' });

  it.each<[string, () => Vector, readonly number[]]>([
    ['the squared norms', () => vector(three.map((tau) => dot(tau, tau))), oneShot.squaredNorms],
    ['the sum', () => sumOf(three), oneShot.sum],
    ['FedAvg of equal samples', () => combination(three, fedavgShares([5, 5, 5])), oneShot.fedavg],
    ['FedNova', () => combination(three, fednovaShares(oneShot.steps)), oneShot.fednova],
    ['FedNova of equal steps is the mean', () => combination(three, fednovaShares([7, 7, 7])), oneShot.fedavg],
    ['FedGMA, rho 0.5', () => fedgma(three, 0.5), oneShot.fedgma50],
    ['FedGMA, rho 0.3', () => fedgma(three, 0.3), oneShot.fedgma30],
    ['FedGMA, rho 0.9', () => fedgma(three, 0.9), oneShot.fedgma90],
    ['the median', () => coordinateMedian(three), oneShot.median],
    ['the lower median of two', () => coordinateMedian(three.slice(0, 2), 'lower'), oneShot.medianOfTwoLower],
    ['the mean median of two', () => coordinateMedian(three.slice(0, 2), 'mean'), oneShot.medianOfTwoMean],
    ['centred clipping, rho 4', () => clip(4), oneShot.cclip4],
    ['centred clipping, rho the largest norm', () => clip(oneShot.cclipAtLargestNorm), oneShot.sum],
  ])('%s', (_name, actual, expected) => expectNear(actual(), expected));

  it('centred clipping: auto is the middle norm, mean divides by N, more iterations move the centre', () => {
    const auto = centredClipping(three, { rho: 'auto', iterations: 1, aggregate: 'sum' });
    expectNear(auto, [...clip(Math.sqrt(18))]);
    expectNear(centredClipping(three, { rho: 4, iterations: 1, aggregate: 'mean' }), [...scaled(clip(4), 1 / 3)]);
    const pair = [vector([0]), vector([10])];
    expectNear(centredClipping(pair, { rho: 2, iterations: 2, aggregate: 'mean' }), [1 + (-1 + 2) / 2]);
  });
});

describe('weights read off norms', () => {
  const { nanByHand } = oracles;
  const norms = taus.map(norm);
  it.each<[string, () => readonly number[], readonly number[]]>([
    ['the norms', () => norms, oracles.nanNorms.value],
    ['NAN', () => nanShares(norms), oracles.nanShares.value],
    ['NAN times M / 2', () => nanShares(norms, 'm_half'), oracles.nanSharesMHalf.value],
    ['NAN by hand', () => nanShares(nanByHand.norms), nanByHand.shares],
    ['NAN by hand times M / 2', () => nanShares(nanByHand.norms, 'm_half'), nanByHand.sharesMHalf],
    ['MetaGPT', () => metagptShares(norms), oracles.metagptShares.value],
  ])('%s', (_name, actual, expected) => expectNear(actual(), expected));

  it('merged', () => {
    const numbers = nanByHand.taus.map((tau) => vector([tau]));
    expectNear(combination(numbers, nanShares(nanByHand.norms)), [nanByHand.merged]);
    expectNear(combination(numbers, nanShares(nanByHand.norms, 'm_half')), [nanByHand.mergedMHalf]);
    expectNear(combination(taus, metagptShares(norms)), oracles.metagpt.value);
  });
});

describe('robust rules', () => {
  it('Krum: distances, scores, and equal scores by order', () => {
    expect(taus.map((a) => taus.map((b) => squaredDistance(a, b)))).toEqual(oracles.squaredDistances.value);
    expect(krumScores(taus, 0)).toEqual([30, 48, 30]);
    expect(multiKrum(taus, 0, 1)).toEqual(taus[0]);
    expect(multiKrum(taus, 0, 2)).toEqual(meanVector(taus.filter((_, index) => index !== 1)));
  });

  it('the geometric median', () => {
    const converged = geometricMedian(taus, { iterations: 1000, smoothing: 1e-6, tol: 0 });
    expectNear(converged, oracles.geometricMedian.value);
    const byDefault = geometricMedian(taus, { iterations: 100, smoothing: 1e-6, tol: 1e-6 });
    expect(squaredDistance(byDefault, converged)).toBeLessThan(1e-5 * dot(converged, converged));
  });

  it('the median of three', () => expectNear(coordinateMedian(taus), oracles.coordinateMedian.value));
});

describe('sign consensus', () => {
  const ties = (percent: number, merge: 'mean' | 'sum') =>
    tiesPaperMerge(
      taus.map((tau) => tiesPaperTrim(tau, percent / 100)),
      merge,
    );
  it.each<[string, () => ArrayLike<number>, readonly number[]]>([
    ['what TIES keeps of 20 %', () => taus.map((tau) => tiesPaperTrim(tau, 0.2).filter((x) => x !== 0).length), oracles.tiesK20Kept.value],
    ['TIES of 20 %', () => ties(20, 'mean'), oracles.tiesK20Mean.value],
    ['TIES of 50 %', () => ties(50, 'mean'), oracles.tiesK50Mean.value],
    ['TIES of 50 %, sums', () => ties(50, 'sum'), oracles.tiesK50Sum.value],
    ['SCE', () => sce(ws, 1), oracles.sceW.value],
    ['SCE of the half that varies most', () => sce(ws, 0.5), oracles.sce50W.value],
  ])('%s', (_name, actual, expected) => expectNear(actual(), expected));

  it('keep probabilities of DELLA, ranks by index where magnitudes are equal', () => {
    expectNear(dellaProbabilities(w1, W, 0.5, 0.1), oracles.dellaProbabilities.value);
  });

  it('row by row, without the largest and keeping the next', () => {
    const rowwise = perSlice([w1], W, 1, ([row = w1]) => breadcrumbs(row, 1 / 3, 1 / 3));
    expectNear(rowwise, oracles.breadcrumbsRowwise.value);
  });
});

describe('what each task needs', () => {
  const scaledSum = sumOf(taus, 0.4);
  const unified = emrUnified(taus);
  const unifiedModel = unflatten(unified, like);

  it('TALL masks', () => {
    expect(taus.map((tau) => [...tallMask(tau, scaledSum, 0.4)])).toEqual(oracles.tallMasksScaled40.value);
    expect(taus.map((tau) => [...tallMask(tau, sumOf(taus), 0.4)])).toEqual(oracles.tallMasksUnscaled.value);
  });
  it('Consensus TA', () => expectNear(consensusTaskArithmetic(taus, scaledSum, 0.4, 2), oracles.consensusTa.value));
  it('PCB, ratio 0.5', () => expectNear(pcb(taus, 0.5), oracles.pcb50.value));
  it('PCB, ratio 0.1', () => expectNear(pcb(taus, 0.1), oracles.pcb10.value));

  it('EMR: unified, masks, rescalers in both forms, and a task back', () => {
    expectNear(unified, oracles.emrUnified.value);
    expect(taus.map((tau) => [...emrMask(tau, unified)])).toEqual(oracles.emrMasks.value);
    const models = taus.map((tau) => unflatten(tau, like));
    expectNear(
      models.map((model) => emrRescaler(model, unifiedModel, 'official')),
      oracles.emrRescalersOfficial.value,
    );
    expectNear(
      models.map((model) => emrRescaler(model, unifiedModel, 'paper')),
      oracles.emrRescalersPaper.value,
    );
    const back = emrTask(models[2] ?? like, unifiedModel, 'official');
    expectNear(back.get('w')?.values ?? [], [0, 0, 0, 2, 4, 0, 0, -2, 3]);
    expectNear(back.get('b')?.values ?? [], [2, 0, 0]);
  });

  it('LiNeS: a factor a block, alpha outside; alpha of a sum of T task vectors is 1 / T', () => {
    const depths = new Map(Object.keys(oracles.linesFactors.value).map((name) => [name, /^blk\.(\d)/.exec(name)?.[1]]));
    for (const [name, factor] of Object.entries(oracles.linesFactors.value)) {
      const block = depths.get(name);
      expect(linesFactor(0.25, 0.9, block === undefined ? undefined : Number(block) / 3)).toBeCloseTo(factor, 12);
    }
    expect(linesAlpha(taus, sumOf(taus))).toBeCloseTo(1 / 3, 12);
  });
});

describe('averaging geometry', () => {
  it.each<[string, () => Vector, readonly number[]]>([
    ['slerp', () => slerp(w1, w2, 0.5), oracles.slerpW12.value],
    ['nuslerp', () => nuslerp(w1, w2, W, 0.5, 'flatten'), oracles.nuslerpFlattenW12.value],
    ['nuslerp by rows', () => nuslerp(w1, w2, W, 0.5, 'row'), oracles.nuslerpRowsW12.value],
    ['multislerp', () => multislerp([w1, w2, w3], [1, 1, 1]), oracles.multislerpW.value],
    ['karcher', () => karcher([w1, w2, w3]), oracles.karcherW.value],
  ])('%s', (_name, actual, expected) => expectNear(actual(), expected));

  it("Model Stock's ratio", () => {
    expectNear([modelStockRatio(ws)], [oracles.modelStockRatio.value]);
    expect(modelStockRatio([vector([1, 0]), vector([-1, 0.1])])).toBe(0);
    expect(modelStockRatio([vector([1, 0]), vector([-1, 1])], 'mergekit')).toBeLessThan(0);
  });
});

it('one step of FedAdam, with and without the correction of bias', () => {
  const { x, delta, firstStep, firstStepBiasCorrected, ...options } = oracles.fedadam;
  const zero = { m: vector([0]), v: vector([0]) };
  expectNear([x + (fedAdaptive('fedadam', vector([delta]), zero, options).update[0] ?? 0)], [firstStep]);
  const corrected = fedAdaptive('fedadam', vector([delta]), zero, { ...options, biasCorrectionRound: 1 });
  expectNear([x + (corrected.update[0] ?? 0)], [firstStepBiasCorrected]);
});
