/**
 * Hand values: three task vectors w = [[3,0],[1,-2]], b = [2] / [[1,2],[-1,-2]], [0] / [[-1,4],[0.5,-2]], [-1] over a base.
 * Sum, mean and task arithmetic follow from adding up on paper (task arithmetic and one-shot FedAvg: arXiv 2411.18607).
 */
import { afterAll, describe, expect, it } from 'vitest';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { startPool } from '../../shared/workers/pool.js';
import { type Case, type Contribution, type Model, mergeCase } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

const BASE = { w: [10, 20, -30, 40], b: [5] };
const TAUS = [
  { w: [3, 0, 1, -2], b: [2] },
  { w: [1, 2, -1, -2], b: [0] },
  { w: [-1, 4, 0.5, -2], b: [-1] },
];
const SAMPLES = [100, 300, 600];

function model(dtype: MergeDType, { w, b }: { w: number[]; b: number[] }): Model {
  return { w: { dtype, values: w, shape: [2, 2] }, b: { dtype, values: b } };
}

const plus = (a: readonly number[], b: readonly number[]): number[] => a.map((value, index) => value + (b[index] ?? 0));
const full = (tau: (typeof TAUS)[number]) => ({ w: plus(BASE.w, tau.w), b: plus(BASE.b, tau.b) });

function contributions(dtype: MergeDType, kind: 'full' | 'delta'): Contribution[] {
  return TAUS.map((tau, index) => ({ model: model(dtype, kind === 'full' ? full(tau) : tau), kind, samples: SAMPLES[index] ?? 0 }));
}

async function merge(recipe: string, kind: 'full' | 'delta' = 'full', dtype: MergeDType = 'F32', extra: Partial<Case> = {}) {
  const merged = await mergeCase(root, pool, { recipe, base: model(dtype, BASE), contributions: contributions(dtype, kind), ...extra });
  return { w: merged.values('w'), b: merged.values('b') };
}

const f32 = (values: readonly number[]) => values.map(Math.fround);

describe.each(['full', 'delta'] as const)('%s contributions', (kind) => {
  it.each([
    ['the sum', 'merge_method: task_arithmetic', [13, 26, -29.5, 34], [6]],
    ['the sum times 0.5', 'merge_method: task_arithmetic\nparameters: {lambda: 0.5}', [11.5, 23, -29.75, 37], [5.5]],
    ['the mean', 'rule: {weighting: {uniform: {}}, combine: {mean: {}}}', [11, 22, -30 + 1 / 6, 38], [5 + 1 / 3]],
    [
      'a third of the sum',
      'rule: {weighting: uniform, combine: sum, post: [{scale: {lambda: 0.3333333333333333}}]}',
      [11, 22, -30 + 1 / 6, 38],
      [5 + 1 / 3],
    ],
    ['FedAvg', 'merge_method: fedavg', [10 + 0, 20 + 3, -30 + 0.1, 40 - 2], [5 - 0.4]],
    ['FedAvg written out', 'rule: {weighting: {samples: {}}, combine: {sum: {}}}', [10, 23, -29.9, 38], [4.6]],
    [
      'FedAvg with weights for samples',
      'merge_method: fedavg\ncontributors: {a: {parameters: {weight: 1}}, b: {parameters: {weight: 1}}, c: {parameters: {weight: 2}}}',
      [10.5, 22.5, -29.75, 38],
      [5],
    ],
    [
      'weights of one contributor',
      'merge_method: task_arithmetic\ncontributors: {a: {parameters: {weight: 2}}, b: {parameters: {weight: 0}}}',
      [15, 24, -27.5, 34],
      [8],
    ],
    ['the average of weights', 'merge_method: linear', [11, 22, -30 + 1 / 6, 38], [5 + 1 / 3]],
    ['a sum of weights', 'merge_method: linear\nparameters: {normalize: false}', [33, 66, -89.5, 114], [16]],
    [
      'normalised task arithmetic',
      'merge_method: task_arithmetic\nparameters: {normalize: true, weight: 4}',
      [11, 22, -30 + 1 / 6, 38],
      [5 + 1 / 3],
    ],
  ])('%s', async (_name, recipe, w, b) => {
    expect(await merge(recipe, kind)).toEqual({ w: f32(w), b: f32(b) });
  });
});

describe('per tensor', () => {
  it('filters take the first match, then the next scope', async () => {
    const recipe =
      'merge_method: task_arithmetic\nparameters: {weight: [{filter: w, value: 0}, {filter: "*", value: 1}]}\ncontributors: {a: {parameters: {weight: {filter: w, value: 1}}}}';
    expect(await merge(recipe)).toEqual({ w: [13, 20, -29, 38], b: [6] });
  });

  it('gradients go over layers, and stand at 0 outside of them', async () => {
    const names = ['embed', 'layers.0.x', 'layers.1.x', 'layers.2.x', 'lm_head'];
    const of = (value: number): Model => Object.fromEntries(names.map((name) => [name, { dtype: 'F32' as const, values: [value] }]));
    const merged = await mergeCase(root, pool, {
      recipe: 'merge_method: task_arithmetic\nparameters: {weight: [0, 8]}',
      base: of(1),
      contributions: [{ model: of(2) }],
    });
    expect(names.map((name) => merged.values(name)[0])).toEqual([1, 1, 5, 9, 1]);
  });
});

describe('storage', () => {
  const one = { dtype: 'BF16' as const, values: [1, 2.5] };
  const two = { dtype: 'F16' as const, values: [3, 0.5] };
  it.each([
    ["the base's dtype", 'merge_method: task_arithmetic', { t: one }, 'BF16'],
    ['out_dtype before it', 'merge_method: task_arithmetic\nout_dtype: float16', { t: one }, 'F16'],
    ['F32 for mixed inputs without base', 'merge_method: linear', undefined, 'F32'],
    ['dtype for mixed inputs without base', 'merge_method: linear\ndtype: bfloat16', undefined, 'BF16'],
  ])('takes %s', async (_name, recipe, base, dtype) => {
    const merged = await mergeCase(root, pool, {
      recipe,
      ...(base === undefined ? {} : { base }),
      contributions: [{ model: { t: one } }, { model: { t: two } }],
    });
    expect(merged.dtype('t')).toBe(dtype);
    expect(merged.values('t')).toEqual(base === undefined ? [2, 1.5] : [3, 0.5]);
  });

  it('rounds once, to nearest even', async () => {
    // 1 + 2^-8 + 2^-9 lies between bf16 neighbours 1 + 2^-7 and 1; halves of sums land on ties.
    const merged = await mergeCase(root, pool, {
      recipe: 'merge_method: linear',
      contributions: [
        { model: { t: { dtype: 'BF16', values: [1, 1 + 2 ** -7, 1] } } },
        { model: { t: { dtype: 'BF16', values: [1 + 2 ** -7, 1 + 2 ** -6, 1] } } },
      ],
    });
    expect(merged.values('t')).toEqual([1, 1 + 2 ** -6, 1]);
  });
});
