/**
 * Holds the engine to the numbers in oracles.json (papers' own code, and values by hand), rule by rule, through recipes as users write them:
 * F32 checkpoints on disk in, a merged folder out. The slow references are held to the same numbers in reference-oracles.test.ts.
 */
import { describe, expect, it } from 'vitest';
import type { Model } from '../support/merge-fixture.js';
import { mergeWritten, type OfflineModel, writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';
import oracles from './oracles.json' with { type: 'json' };

const root = tempDir();

type Numbers = readonly number[];

/** Models, what they are laid out as, and whether their base is all zeros, the first of them, or none. */
interface Setting {
  readonly models: readonly Numbers[];
  readonly shapes: Readonly<Record<string, Numbers>>;
  readonly base: 'zeros' | 'first' | 'none';
}

const { oneShot, fixture } = oracles;
const taus: readonly Numbers[] = fixture.taus;
const ws = taus.map((tau) => tau.slice(0, 9));
const SMALL = { w: [2, 2], b: [1] };
const W_AND_B = { w: [3, 3], b: [3] };
const W = { w: [3, 3] };

const ONE_SHOT: Setting = { models: oneShot.taus, shapes: SMALL, base: 'zeros' };
const PAIR: Setting = { ...ONE_SHOT, models: oneShot.taus.slice(0, 2) };
const FIXTURE: Setting = { models: taus, shapes: W_AND_B, base: 'zeros' };
const FIXTURE_W: Setting = { models: ws, shapes: W, base: 'zeros' };
const BARE_W: Setting = { models: ws, shapes: W, base: 'none' };
const BARE_W12: Setting = { models: ws.slice(0, 2), shapes: W, base: 'none' };
const FROM_W1: Setting = { models: ws.slice(0, 2), shapes: W, base: 'first' };
const LAYERS: Setting = {
  models: [[1, 1, 1, 1, 1]],
  shapes: { 'blocks.0.w': [1], 'blocks.1.w': [1], 'blocks.2.w': [1], 'blocks.3.w': [1], emb: [1] },
  base: 'zeros',
};

const size = (shape: Numbers): number => shape.reduce((product, one) => product * one, 1);

function layOut(values: Numbers, shapes: Setting['shapes']): Model {
  let start = 0;
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const from = start;
      start += size(shape);
      return [name, { dtype: 'F32' as const, shape, values: values.slice(from, start) }];
    }),
  );
}

const times = (values: Numbers, factor: number): Numbers => values.map((value) => value * factor);
const mix = (shares: Numbers, vectors: readonly Numbers[]): Numbers =>
  (vectors[0] ?? []).map((_, index) => shares.reduce((sum, share, one) => sum + share * (vectors[one]?.[index] ?? 0), 0));

type Facts = Omit<OfflineModel, 'tensors'>;
const WEIGHTED: Facts = { parameters: { weight: 1 } };
/** Setting, recipe, expected, facts beside the models (the last repeats), largest difference where it is not that of six places. */
type Oracle = readonly [name: string, setting: Setting, recipe: string, expected: Numbers, facts?: readonly Facts[], tolerance?: number];

const ORACLES: readonly Oracle[] = [
  ['the sum', ONE_SHOT, 'merge_method: task_arithmetic', oneShot.sum, [WEIGHTED]],
  ['FedAvg', ONE_SHOT, 'merge_method: fedavg', oneShot.fedavg, [{ samples: 5 }]],
  ['FedNova', ONE_SHOT, 'merge_method: fednova', oneShot.fednova, oneShot.steps.map((steps) => ({ steps }))],
  ['FedNova of equal steps', ONE_SHOT, 'merge_method: fednova', oneShot.fedavg, [{ steps: 3 }]],
  ['FedGMA, rho 0.5', ONE_SHOT, 'merge_method: fedgma', oneShot.fedgma50],
  ['FedGMA, rho 0.3', ONE_SHOT, 'merge_method: fedgma\nparameters: {rho: 0.3}', oneShot.fedgma30],
  ['FedGMA, rho 0.9', ONE_SHOT, 'merge_method: fedgma\nparameters: {rho: 0.9}', oneShot.fedgma90],
  ['FedGMA, means', ONE_SHOT, 'merge_method: fedgma\nparameters: {rho: 0.3, aggregate: mean}', times(oneShot.fedgma30, 1 / 3)],
  ['the median', ONE_SHOT, 'merge_method: median', oneShot.median],
  ['the lower median of two', PAIR, 'merge_method: median\nparameters: {even: lower}', oneShot.medianOfTwoLower],
  ['the mean median of two', PAIR, 'merge_method: median', oneShot.medianOfTwoMean],
  ['the mean without extremes', ONE_SHOT, 'merge_method: trimmed_mean\nparameters: {trim: 0.34}', oneShot.median],
  ['centred clipping', ONE_SHOT, 'merge_method: cclip\nparameters: {rho: 4}', oneShot.cclip4],
  ['centred clipping, means', ONE_SHOT, 'merge_method: cclip\nparameters: {rho: 4, aggregate: mean}', times(oneShot.cclip4, 1 / 3)],
  ['nothing to clip', ONE_SHOT, `merge_method: cclip\nparameters: {rho: ${oneShot.cclipAtLargestNorm}}`, oneShot.sum],

  ['NAN', FIXTURE, 'merge_method: nan\nparameters: {norm: task_vector}', mix(oracles.nanShares.value, taus)],
  ['NAN of weights over a base of zeros', FIXTURE, 'merge_method: nan', mix(oracles.nanShares.value, taus)],
  ['NAN times M / 2', FIXTURE, 'merge_method: nan\nparameters: {scale: m_half}', mix(oracles.nanSharesMHalf.value, taus)],
  ['MetaGPT', FIXTURE, 'merge_method: metagpt', oracles.metagpt.value],
  ['the median of three', FIXTURE, 'merge_method: median', oracles.coordinateMedian.value],
  ['Krum, equal scores by order', FIXTURE, 'merge_method: krum\nparameters: {byzantine: 0}', taus[0] ?? []],
  ['multi-Krum', FIXTURE, 'merge_method: multi_krum\nparameters: {byzantine: 0, keep: 2}', mix([0.5, 0, 0.5], taus)],
  [
    'the geometric median',
    FIXTURE,
    'merge_method: geometric_median\nparameters: {iterations: 1000, tol: 1.0e-14}',
    oracles.geometricMedian.value,
    [{}],
    1e-5,
  ],
  [
    'TIES of the paper, 20 %',
    FIXTURE,
    'merge_method: ties\nparameters: {variant: paper, density: 0.2}',
    oracles.tiesK20Mean.value,
    [WEIGHTED],
  ],
  [
    'TIES of the paper, 50 %',
    FIXTURE,
    'merge_method: ties\nparameters: {variant: paper, density: 0.5}',
    oracles.tiesK50Mean.value,
    [WEIGHTED],
  ],
  [
    'TIES of the paper, sums',
    FIXTURE,
    'merge_method: ties\nparameters: {variant: paper, density: 0.5, normalize: false}',
    oracles.tiesK50Sum.value,
    [WEIGHTED],
  ],
  [
    'TIES tensor by tensor',
    FIXTURE,
    'merge_method: ties\nparameters: {density: 0.5}',
    [1.5, -2, -1, 2, 2.5, 1, 0, -2, 3, 2, 3, -2],
    [WEIGHTED],
  ],
  ['Consensus TA', FIXTURE, 'merge_method: consensus_ta\nparameters: {mask_lambda: 0.4, alpha: 0.4, k: 2}', oracles.consensusTa.value],
  ['PCB, ratio 0.5', FIXTURE, 'merge_method: pcb\nparameters: {ratio: 0.5}', oracles.pcb50.value],
  ['PCB, ratio 0.1', FIXTURE, 'merge_method: pcb\nparameters: {ratio: 0.1}', oracles.pcb10.value],
  ['Localize-and-Stitch', FIXTURE, 'merge_method: localize_and_stitch\nparameters: {sparsity: 0.25}', [0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 3, 0]],
  ['LiNeS', LAYERS, 'merge_method: lines\nparameters: {alpha: 0.25, beta: 0.9}', Object.values(oracles.linesFactors.value)],

  ['SCE', FIXTURE_W, 'merge_method: sce', oracles.sceW.value],
  ['SCE of the half that varies most', FIXTURE_W, 'merge_method: sce\nparameters: {select_topk: 0.5}', oracles.sce50W.value],
  ['Model Stock', FIXTURE_W, 'merge_method: model_stock', times(mix([1, 1, 1], ws), oracles.modelStockRatio.value / 3)],
  ['slerp', FROM_W1, 'merge_method: slerp\nparameters: {t: 0.5}', oracles.slerpW12.value],
  ['nuslerp', BARE_W12, 'merge_method: nuslerp', oracles.nuslerpFlattenW12.value, [WEIGHTED]],
  ['nuslerp by rows', BARE_W12, 'merge_method: nuslerp\nparameters: {nuslerp_flatten: false}', oracles.nuslerpRowsW12.value, [WEIGHTED]],
  ['multislerp', BARE_W, 'merge_method: multislerp', oracles.multislerpW.value, [WEIGHTED]],
  ['multislerp of task vectors', FIXTURE_W, 'merge_method: multislerp', oracles.multislerpW.value, [WEIGHTED]],
  ['karcher', BARE_W, 'merge_method: karcher', oracles.karcherW.value],
];

function caseOf([, setting, recipe, , facts = [{}]]: Oracle) {
  const models = setting.models.map((values) => layOut(values, setting.shapes));
  const zeros = layOut(Array<number>(setting.models[0]?.length ?? 0).fill(0), setting.shapes);
  const base = { zeros, first: models[0], none: undefined }[setting.base];
  const others = setting.base === 'first' ? models.slice(1) : models;
  return { recipe, base, models: others.map((tensors, index) => ({ tensors, ...(facts[index] ?? facts.at(-1)) })) };
}

describe('the engine gives what the papers and paper sums give', () => {
  it.each(ORACLES.map((oracle) => [oracle[0], oracle] as const))('%s', async (_name, oracle) => {
    const [, setting, , expected, , tolerance = 4e-6] = oracle;
    const merged = await mergeWritten(writeCase(root, caseOf(oracle)));
    const found = Object.keys(setting.shapes).flatMap((name) => merged.values(name));
    expect(found.length).toBe(expected.length);
    const worst = Math.max(...expected.map((value, index) => Math.abs((found[index] ?? Number.NaN) - value)));
    expect(worst, `${found.join(', ')} for ${expected.join(', ')}`).toBeLessThan(tolerance);
  });
});
