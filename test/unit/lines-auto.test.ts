/** LiNeS with alpha: auto: the factor follows from what the rule made of the task vectors, whatever the rule. */
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { expectError } from '../support/expect-error.js';
import type { Model } from '../support/merge-fixture.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

const COUNTS: Readonly<Record<string, number>> = {
  'model.embed.w': 5003,
  'model.layers.0.w': 70_001,
  'model.layers.1.w': 333,
  'model.layers.2.w': 17,
};
const DEPTHS: Readonly<Record<string, number>> = { 'model.layers.0.w': 0, 'model.layers.1.w': 0.5, 'model.layers.2.w': 1 };

function model(seed: number, size: number, from?: Model): Model {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Object.fromEntries(
    Object.entries(COUNTS).map(([name, count]) => [
      name,
      {
        dtype: 'F32' as const,
        shape: [count],
        values: Array.from({ length: count }, (_, index) => (valuesOf(from, name)[index] ?? 0) + size * next()),
      },
    ]),
  );
}

function valuesOf(one: Model | undefined, name: string): readonly number[] {
  const tensor = one?.[name];
  return tensor !== undefined && 'values' in tensor ? (tensor.values ?? []) : [];
}

const base = model(1, 0.25);
const models = [2, 3, 4].map((seed) => model(seed, seed, base));
function written(recipe: string) {
  const weighted = /task_arithmetic|ties/.test(recipe);
  const facts = (index: number) => (weighted ? { parameters: { weight: 0.5 + index } } : { samples: 10 * (index + 1) });
  return writeCase(root, { recipe, base, models: models.map((tensors, index) => ({ tensors, ...facts(index) })) });
}

const RULES = [
  'merge_method: fedavg',
  'merge_method: task_arithmetic\nparameters: {lambda: 0.6}',
  'merge_method: task_arithmetic\nparameters: {normalize: true}',
  'merge_method: ties\nparameters: {density: 0.4}',
  'merge_method: nan',
  'merge_method: metagpt',
  'merge_method: cclip\nparameters: {rho: 100}',
  'merge_method: multi_krum\nparameters: {byzantine: 0}',
  'merge_method: geometric_median',
  'merge_method: median',
  'merge_method: pcb\nparameters: {ratio: 0.3}',
  'merge_method: localize_and_stitch\nparameters: {sparsity: 0.3}',
];

describe('lines with alpha: auto', () => {
  it.each(RULES)('%s', async (recipe) => {
    const plain = await mergeWritten(written(recipe), { pool });
    const lines = await mergeWritten(written(`${recipe}\nrefine: [lines]`), { pool });
    const lambda = recipe.includes('lambda') ? 0.6 : 1;
    let sum = 0;
    let merged = 0;
    for (const name of Object.keys(COUNTS)) {
      const own = valuesOf(base, name);
      const v = plain.values(name);
      own.forEach((from, index) => {
        sum += Math.abs(models.reduce((total, one) => total + (valuesOf(one, name)[index] ?? 0) - from, 0));
        merged += Math.abs((v[index] ?? 0) - from) / lambda;
      });
    }
    const alpha = sum / (models.length * merged);
    for (const name of Object.keys(COUNTS)) {
      const depth = DEPTHS[name];
      const factor = depth === undefined ? alpha : alpha + (1 - alpha) * depth;
      const found = lines.values(name);
      const v = plain.values(name);
      const worst = Math.max(
        ...valuesOf(base, name).map((from, index) => Math.abs(from + factor * ((v[index] ?? 0) - from) - (found[index] ?? Number.NaN))),
      );
      expect(worst, `${name}, alpha ${alpha}`).toBeLessThan(2e-5);
    }
  });

  it('of a uniform sum is 1 / N without looking, of a mean 1', async () => {
    for (const [parameters, alpha] of [
      ['beta: 0', 1 / 3],
      ['beta: 0, normalize: true', 1 / 3],
    ] as const) {
      const merged = await mergeWritten(written(`merge_method: lines\nparameters: {${parameters}}`), { pool });
      const name = 'model.layers.2.w';
      const own = valuesOf(base, name);
      own.forEach((from, index) => {
        const sum = models.reduce((total, one) => total + (valuesOf(one, name)[index] ?? 0) - from, 0);
        expect(merged.values(name)[index]).toBeCloseTo(from + alpha * sum, 5);
      });
    }
  });

  it('is refused where the merged vector has no such size', async () => {
    await expectError('RECIPE_INVALID', () => mergeWritten(written('merge_method: model_stock\nrefine: [lines]'), { pool }));
    await expectError('RECIPE_INVALID', () =>
      mergeWritten(written('merge_method: nan\nparameters: {per: tensor}\nrefine: [lines]'), { pool }),
    );
  });
});
