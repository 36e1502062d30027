/** What no adapter can hold is refused with the reason, and nothing is left behind. */
import { readdirSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { parseRoundRecipe } from '../../coordinator/rounds/round-recipe.js';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { startPool } from '../../shared/workers/pool.js';
import { type AdapterCase, mergeToAdapter, writeAdapterCase } from '../support/adapter-merges.js';
import type { TestAdapter } from '../support/adapters.js';
import { expectError } from '../support/expect-error.js';
import type { Model, Values } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(1, { callerHelps: true });
afterAll(() => pool.close());

const numbers = (count: number, size = 1): number[] => Array.from({ length: count }, (_, index) => Math.sin(index + 1) * size);
const tensor = (shape: readonly number[], size = 1): Values => ({
  dtype: 'F32',
  shape,
  values: numbers(
    shape.reduce((all, one) => all * one, 1),
    size,
  ),
});
const base: Model = {
  'layers.0.q.weight': tensor([6, 4]),
  'layers.0.scale': tensor([4]),
  'layers.0.experts.weight': tensor([3, 4, 4]),
  'layers.0.attn.in_proj_weight': tensor([12, 4]),
  'layers.0.attn.out_proj.weight': tensor([4, 4]),
};
const adapter = (seed: number, module = 'layers.0.q', rest: Partial<TestAdapter> = {}): TestAdapter => ({
  config: { r: 2, lora_alpha: 2 },
  factors: [{ module, rank: 2, scale: 1 }],
  seed,
  kind: 'wide',
  ...rest,
});
const changed = (...names: string[]): Model => ({
  ...base,
  ...Object.fromEntries(names.map((name) => [name, tensor((base[name] as Values).shape ?? [], 2)])),
});

/** The folder as it is afterwards, staging and all. */
async function refused(code: ErrorCode, one: AdapterCase, recipe: string, output = 'adapter') {
  const before = readdirSync(one.folder).sort();
  const error = await expectError(code, () => mergeToAdapter(one, { recipe }, output, { pool }));
  expect(readdirSync(one.folder).sort()).toEqual(before);
  return error.details;
}

const SUM = 'merge_method: task_arithmetic\nparameters: {weight: 1}';

describe('refused', () => {
  it('tensors that are neither weights of modules nor biases, with their names', async () => {
    const one = writeAdapterCase(root, base, [changed('layers.0.q.weight', 'layers.0.scale')]);
    const { what, got, fix } = await refused('ADAPTER_UNSUPPORTED', one, SUM);
    expect(what).toContain('1 tensor changes');
    expect(got).toBe('layers.0.scale');
    expect(fix).toContain('output: model');
  });

  it('torch attention', async () => {
    const one = writeAdapterCase(root, base, [changed('layers.0.q.weight', 'layers.0.attn.in_proj_weight')]);
    const { got, fix } = await refused('ADAPTER_UNSUPPORTED', one, SUM);
    expect(got).toBe('layers.0.attn.in_proj_weight');
    expect(fix).toContain('torch attention');
  });

  it('a merge that changes no matrix', async () => {
    const { what } = await refused('ADAPTER_INVALID', writeAdapterCase(root, base, [base]), SUM);
    expect(what).toContain('no matrix changes');
    const experts = writeAdapterCase(root, base, [changed('layers.0.experts.weight')]);
    const { fix } = await refused('ADAPTER_INVALID', experts, SUM);
    expect(fix).toBe('Make a whole model of it.');
  });

  it('a model for each task, slices, a base with an adapter on it', async () => {
    const one = writeAdapterCase(root, base, [adapter(1), adapter(2)]);
    expect((await refused('RECIPE_UNSUPPORTED', one, 'merge_method: emr')).what).toContain('a model for each task');
    const { folder, base: path, models } = writeAdapterCase(root, base, [adapter(1), changed('layers.0.q.weight')]);
    const onAdapter = { folder, base: `${path}+${models[0]}`, models: models.slice(1) };
    expect((await refused('RECIPE_UNSUPPORTED', onAdapter, SUM)).what).toContain('an adapter on it');
    const sliced = { ...onAdapter, base: path, models: [] };
    const layers = `merge_method: passthrough\nslices: [{sources: [{model: ${path}, layer_range: [0, 1]}]}, {sources: [{model: ${path}, layer_range: [0, 1]}]}]`;
    expect((await refused('RECIPE_UNSUPPORTED', sliced, layers)).what).toContain('other layers');
  });

  it('factors beyond float16', async () => {
    const big = { ...base, 'layers.0.q.weight': tensor([6, 4], 1e12) };
    const { what, fix } = await refused('NON_FINITE', writeAdapterCase(root, base, [big]), `${SUM}\nout_dtype: float16`);
    expect(what).toContain('too large for F16');
    expect(fix).toContain('bfloat16');
  });

  it('numbers that are none', async () => {
    const nan = { ...base, 'layers.0.q.weight': { ...tensor([6, 4]), values: [Number.NaN, ...numbers(23)] } };
    const { what } = await refused('NON_FINITE', writeAdapterCase(root, base, [nan]), SUM);
    expect(what).toContain('layers.0.q.weight');
    const one = writeAdapterCase(root, base, [adapter(3), adapter(4, 'layers.0.q', { config: { r: 2, lora_alpha: 1e308 * 10 } })]);
    await expectError('ADAPTER_INVALID', () => mergeToAdapter(one, { recipe: SUM }, 'adapter', { pool }));
  });

  it('adapters in rounds', async () => {
    const { details } = await expectError('RECIPE_UNSUPPORTED', () => parseRoundRecipe('merge_method: fedavg\noutput: adapter\n'));
    expect(details.fix).toContain('extract-lora');
    expect(parseRoundRecipe('merge_method: fedavg\noutput: model\n').recipe.output).toBeUndefined();
  });
});

describe('the output folder', () => {
  it('is not overwritten but by force', async () => {
    const one = writeAdapterCase(root, base, [adapter(5)]);
    const { outDir } = await mergeToAdapter(one, { recipe: SUM }, 'adapter', { pool });
    const again = { ...one, folder: outDir };
    expect(readdirSync(again.folder)).toContain('adapter_config.json');
    const { mergeOffline } = await import('../../client/merge/merge-offline.js');
    const recipeText = `${SUM}\nbase_model: ${one.base}\nmodels: [{model: ${one.models[0]}}]\noutput: adapter\n`;
    const options = { recipeText, recipePath: 'r.yml', outDir, threads: 1, version: 'test' };
    const { details } = await expectError('OUTPUT_EXISTS', () => mergeOffline(options));
    expect(details.fix).toContain('--force');
    expect((await mergeOffline({ ...options, force: true })).adapter?.modules).toBe(1);
  });
});
