/** Merges whose result is an adapter: on the base, it is what the merge of whole models gives. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { elementCount } from '../../shared/formats/safetensors-header.js';
import { startPool } from '../../shared/workers/pool.js';
import {
  type AdapterCase,
  applied,
  changesApart,
  mergedWhole,
  mergeToAdapter,
  type RecipeParts,
  weightsOf,
  writeAdapterCase,
} from '../support/adapter-merges.js';
import { adapted, type TestAdapter, type TestFactors, valuesOf } from '../support/adapters.js';
import type { Model, Values } from '../support/merge-fixture.js';
import { stream } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(1, { callerHelps: true });
afterAll(() => pool.close());

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed_tokens.weight': [20, 8],
  'layers.0.q_proj.weight': [12, 8],
  'layers.0.q_proj.bias': [12],
  'layers.0.k_proj.weight': [5, 8],
  'layers.0.k_proj.bias': [5],
  'layers.0.norm.weight': [8],
  'layers.0.norm.bias': [8],
  'layers.1.q_proj.weight': [12, 8],
  'layers.1.conv.weight': [6, 4, 3, 3],
  'head.weight': [10, 8],
};
const Q0 = 'layers.0.q_proj';
const Q1 = 'layers.1.q_proj';

function values(shape: readonly number[], seed: number, size: number, dtype: Values['dtype'] = 'F32'): Values {
  const next = stream(seed);
  return { dtype, shape, values: Array.from({ length: elementCount(shape) ?? 0 }, () => Math.round((next() * 2 - 1) * 256 * size) / 256) };
}

const makeBase = (dtype: Values['dtype'] = 'F32'): Model => ({
  ...Object.fromEntries(Object.entries(SHAPES).map(([name, shape], index) => [name, values(shape, index + 1, 1, dtype)])),
  positions: { name: 'positions', dtype: 'I64', shape: [2], bytes: new Uint8Array(BigInt64Array.from([0n, 1n]).buffer) },
});
const base = makeBase();
const floats = Object.keys(SHAPES);
const whole = (name: string, seed: number): Model => ({ [name]: values(SHAPES[name] ?? [], seed, 1) });

const factors = (module: string, rank: number, scale: number, rest: Partial<TestFactors> = {}): TestFactors => ({
  module,
  rank,
  scale,
  ...rest,
});
const plain = (seed: number, rank: number, modules = [Q0, Q1], rest: Partial<TestFactors> = {}): TestAdapter => ({
  config: { r: rank, lora_alpha: 2 * rank, base_model_name_or_path: 'org/base', task_type: 'CAUSAL_LM' },
  factors: modules.map((module) => factors(module, rank, 2, rest)),
  seed,
  kind: 'wide',
});
const fullTune = (seed: number): Model =>
  Object.fromEntries(
    Object.entries(base).map(([name, tensor]) => {
      if ('bytes' in tensor || !name.includes('q_proj.weight')) return [name, tensor];
      const change = values(tensor.shape ?? [], seed, 0.2).values ?? [];
      return [name, { dtype: 'F32', shape: tensor.shape ?? [], values: valuesOf(tensor).map((one, at) => one + (change[at] ?? 0)) }];
    }),
  );

const baseValues = (name: string): readonly number[] => valuesOf(base[name] as Values);
const parameters = [{ weight: 0.75 }, { weight: -0.5 }];

/** How far the adapter on the base is from the model that the same recipe makes. */
async function offFromModel(one: AdapterCase, parts: RecipeParts, outDir: string, of: Model = base): Promise<number> {
  const [got, wanted] = [await applied(one, outDir, pool), await mergedWhole(one, parts, pool)];
  return changesApart(weightsOf(of), floats, got, wanted);
}

describe('sums of adapters', () => {
  it('are the sums of what the adapters amount to, of ranks that add up', async () => {
    const adapters = [plain(1, 2), plain(2, 3, [Q0, 'layers.0.k_proj'])];
    const one = writeAdapterCase(root, base, adapters);
    const { report, outDir, adapter } = await mergeToAdapter(
      one,
      { recipe: 'merge_method: task_arithmetic\nparameters: {lambda: 2}', parameters },
      'adapter',
      { pool },
    );
    const tuned = adapters.map((each) => adapted(base, each));
    const textbook = (name: string): number[] =>
      baseValues(name).map((from, at) =>
        tuned.reduce(
          (sum, model, index) => sum + 2 * (parameters[index]?.weight ?? 0) * ((valuesOf(model[name] as Values)[at] ?? 0) - from),
          from,
        ),
      );
    expect(changesApart(weightsOf(base), floats, await applied(one, outDir, pool), { values: textbook })).toBeLessThan(1e-6);
    expect(report.adapter.tensors.map(({ tensor, rank }) => [tensor, rank])).toEqual([
      [`${Q0}.weight`, 5],
      ['layers.0.k_proj.weight', 3],
      [`${Q1}.weight`, 2],
    ]);
    expect(report.adapter.fromProducts).toBe(3);
    expect(report.adapter.error).toBeLessThan(1e-7);
    expect(adapter.config).toMatchObject({
      rank: 5,
      alpha: 5,
      rankPattern: [
        ['layers.0.k_proj', 3],
        [Q1, 2],
      ],
      baseName: 'org/base',
    });
    expect(JSON.parse(readFileSync(join(outDir, 'adapter_config.json'), 'utf8'))).toMatchObject({
      task_type: 'CAUSAL_LM',
      inference_mode: true,
    });
    expect(readdirSync(outDir).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
    const card = readFileSync(join(outDir, 'README.md'), 'utf8');
    for (const part of [
      'library_name: peft',
      '- tributary',
      'ranks 2 to 5 in 3 modules, scale 1',
      'LoRA adapter, rank 2',
      'output: adapter',
    ])
      expect(card).toContain(part);
  });

  it.each([
    ['weights', 'merge_method: linear', { parameters: [{ weight: 2 }, { weight: 1 }] }, 2],
    ['layers', 'merge_method: task_arithmetic\nparameters: {lambda: [{filter: layers.1, value: 0.25}, {value: 1}]}', { parameters }, 2],
    ['LiNeS', 'rule: {combine: sum, post: [lines]}\nparameters: {alpha: auto}', {}, 2],
    ['STAR', 'merge_method: star\nparameters: {eta: 60}', {}, 2],
    ['no layer left', 'merge_method: task_arithmetic\nparameters: {weight: [{filter: layers.1, value: 0}, {value: 1}]}', {}, 1],
  ])('%s are no reason to write them out', async (_, recipe, rest, fromProducts) => {
    const one = writeAdapterCase(root, base, [plain(3, 2), plain(4, 3)]);
    const parts = { recipe, ...rest };
    const { report, outDir } = await mergeToAdapter(one, parts, 'adapter', { pool });
    expect(report.adapter.fromProducts).toBe(fromProducts);
    expect(report.adapter.modules).toBe(fromProducts);
    expect(await offFromModel(one, parts, outDir)).toBeLessThan(1e-6);
  });

  it('have no more ranks than directions', async () => {
    const one = writeAdapterCase(root, base, [plain(5, 7), plain(6, 7)]);
    const parts = { recipe: 'merge_method: task_arithmetic', parameters };
    const { report, outDir } = await mergeToAdapter(one, parts, 'adapter', { pool });
    expect(report.adapter.rank).toEqual({ least: 8, most: 8 });
    expect(await offFromModel(one, parts, outDir)).toBeLessThan(1e-6);
  });

  it('that cancel out leave nothing of it', async () => {
    const one = writeAdapterCase(root, base, [plain(7, 2), { ...plain(7, 2, [Q0]), seed: 7 }]);
    const { report } = await mergeToAdapter(one, { recipe: 'merge_method: task_arithmetic', parameters: [{ weight: 1 }, { weight: -1 }] });
    expect(report.adapter.tensors.map(({ tensor, rank }) => [tensor, rank])).toEqual([[`${Q1}.weight`, 2]]);
  });

  it('keep the dtype of the factors, whose rounding is in the error', async () => {
    const one = writeAdapterCase(root, makeBase('BF16'), [plain(8, 2, [Q0], { dtype: 'BF16' }), plain(9, 2, [Q0], { dtype: 'BF16' })]);
    const parts = { recipe: 'merge_method: task_arithmetic', parameters };
    const merged = await mergeToAdapter(one, parts, 'adapter', { pool });
    expect([...merged.adapter.tensors.values()].map(({ dtype }) => dtype)).toEqual(['BF16', 'BF16']);
    const off = await offFromModel(one, parts, merged.outDir, makeBase('BF16'));
    expect(off).toBeGreaterThan(1e-4);
    expect(merged.report.adapter.error / off).toBeCloseTo(1, 2);
    const wide = await mergeToAdapter(one, { ...parts, recipe: `${parts.recipe}\nout_dtype: float32` }, 'adapter', { pool });
    expect(await offFromModel(one, parts, wide.outDir, makeBase('BF16'))).toBeLessThan(1e-6);
  });
});

describe('sizes', () => {
  const one = writeAdapterCase(root, base, [plain(10, 4), plain(11, 4)]);
  const parts = { recipe: 'merge_method: task_arithmetic', parameters };

  it('rank: no adapter of that rank is nearer, and the error is told', async () => {
    const exact = await mergeToAdapter(one, parts, 'adapter', { pool });
    const cut = await mergeToAdapter(one, parts, '{adapter: {rank: 3}}', { pool });
    expect([exact.report.adapter.rank.most, cut.report.adapter.rank]).toEqual([8, { least: 3, most: 3 }]);
    const off = await offFromModel(one, parts, cut.outDir);
    expect(cut.report.adapter.error / off).toBeCloseTo(1, 5);
    expect(cut.report.adapter.worst?.error).toBeGreaterThanOrEqual(cut.report.adapter.error);
  });

  it('energy: as few ranks as keep it', async () => {
    const { report } = await mergeToAdapter(one, parts, '{adapter: {energy: 0.9}}', { pool });
    expect(report.adapter.error).toBeLessThanOrEqual(Math.sqrt(0.1));
    for (const { tensor, rank } of report.adapter.tensors) {
      const less = await mergeToAdapter(one, parts, `{adapter: {rank: ${rank - 1}}}`, { pool });
      expect(less.report.adapter.tensors.find((other) => other.tensor === tensor)?.error ?? 0).toBeGreaterThan(Math.sqrt(0.1));
    }
  });
});

describe('other rules', () => {
  it.each([
    ['ties', 'merge_method: ties\nparameters: {density: 0.5, weight: 1}'],
    ['ties of the paper, over the whole model', 'merge_method: ties\nparameters: {density: 0.4, weight: 1, variant: paper}'],
    ['median', 'merge_method: median'],
    ['krum', 'merge_method: krum\nparameters: {byzantine: 0}'],
    ['karcher', 'merge_method: karcher'],
    ['lines measured', 'merge_method: median\nrefine: [lines]'],
    ['tsv_m', 'merge_method: tsv_m'],
    ['mergekit', 'merge_method: task_arithmetic\nnumerics: mergekit\nparameters: {weight: 1}'],
  ])('%s is made densely and then factored', async (_, recipe) => {
    const one = writeAdapterCase(root, base, [plain(20, 2), plain(21, 3), plain(22, 2)]);
    const { report, outDir } = await mergeToAdapter(one, { recipe }, 'adapter', { pool });
    expect(report.adapter.fromProducts).toBe(0);
    expect(report.adapter.error).toBeLessThan(1e-6);
    expect(await offFromModel(one, { recipe }, outDir)).toBeLessThan(3e-6);
    expect(existsSync(join(outDir, '..', `.${outDir.split('/').at(-1)}.tributary-partial`))).toBe(false);
  });

  it('takes whole checkpoints beside adapters', async () => {
    const one = writeAdapterCase(root, base, [plain(23, 2), fullTune(24)]);
    for (const recipe of ['merge_method: task_arithmetic', 'merge_method: linear']) {
      const { report, outDir } = await mergeToAdapter(one, { recipe, parameters: [{ weight: 1 }, { weight: 0.5 }] }, 'adapter', { pool });
      expect(report.adapter.fromProducts).toBe(0);
      expect(report.adapter.modules).toBe(2);
      expect(await offFromModel(one, { recipe, parameters: [{ weight: 1 }, { weight: 0.5 }] }, outDir)).toBeLessThan(3e-6);
    }
  });
});

describe('what is no matrix', () => {
  const parts = { recipe: 'merge_method: task_arithmetic', parameters: [{ weight: 1 }, { weight: 0.5 }] };

  it('norms are saved as modules, heads as the inputs have them', async () => {
    const first = { ...plain(30, 2), full: { ...whole('layers.0.norm.weight', 31), ...whole('head.weight', 32) } };
    const config = { ...first.config, modules_to_save: ['norm', 'head'] };
    const one = writeAdapterCase(root, base, [{ ...first, config }, plain(33, 3, ['head'])]);
    const { report, outDir, adapter } = await mergeToAdapter(one, parts, 'adapter', { pool });
    expect(report.adapter.modulesToSave).toEqual(['layers.0.norm', 'head']);
    expect(adapter.config.modulesToSave).toEqual(['layers.0.norm', 'head']);
    expect([...adapter.tensors.keys()].filter((name) => !name.includes('lora_')).sort()).toEqual(
      ['head.weight', 'layers.0.norm.bias', 'layers.0.norm.weight'].map((name) => `base_model.model.${name}`),
    );
    expect(await offFromModel(one, parts, outDir)).toBeLessThan(1e-6);
  });

  it.each([
    ['lora_only', { ...whole('layers.0.q_proj.bias', 34) }, ['base_model.model.layers.0.q_proj.base_layer.bias']],
    [
      'all',
      { ...whole('layers.0.q_proj.bias', 34), ...whole('layers.0.k_proj.bias', 35) },
      ['base_model.model.layers.0.q_proj.base_layer.bias', 'base_model.model.layers.0.k_proj.bias'],
    ],
  ])('biases are kept: %s', async (bias, full, names) => {
    const first = plain(36, 2);
    const one = writeAdapterCase(root, base, [{ ...first, full, config: { ...first.config, bias } }, plain(37, 2)]);
    const { outDir, adapter } = await mergeToAdapter(one, parts, 'adapter', { pool });
    expect(adapter.config.bias).toBe(bias);
    expect([...adapter.tensors.keys()].filter((name) => name.endsWith('bias'))).toEqual(names);
    expect(await offFromModel(one, parts, outDir)).toBeLessThan(1e-6);
  });

  it('embeddings and convolutions have factors of their own shapes', async () => {
    const adapter: TestAdapter = {
      config: { r: 2, lora_alpha: 4 },
      factors: [factors('embed_tokens', 2, 2, { embedding: true, transposed: true }), factors('layers.1.conv', 2, 2), factors(Q0, 2, 2)],
      seed: 38,
      kind: 'wide',
    };
    const one = writeAdapterCase(root, base, [adapter, { ...adapter, seed: 39 }]);
    for (const recipe of ['merge_method: task_arithmetic', 'merge_method: ties\nparameters: {density: 0.5}']) {
      const merged = await mergeToAdapter(one, { ...parts, recipe }, '{adapter: {rank: 6}}', { pool });
      const shapes = Object.fromEntries(
        [...merged.adapter.tensors].map(([name, { shape }]) => [name.slice('base_model.model.'.length), shape]),
      );
      const [e = 0, c = 0] = merged.report.adapter.tensors.flatMap(({ tensor, rank }) => (tensor.includes('q_proj') ? [] : [rank]));
      expect(shapes).toMatchObject({
        'embed_tokens.lora_embedding_A': [e, 20],
        'embed_tokens.lora_embedding_B': [8, e],
        'layers.1.conv.lora_A.weight': [c, 4, 3, 3],
        'layers.1.conv.lora_B.weight': [6, c, 1, 1],
      });
      const off = await offFromModel(one, { ...parts, recipe }, merged.outDir);
      expect(Math.abs(off - merged.report.adapter.error)).toBeLessThan(1e-5);
    }
  });

  it('matrices lie as in the inputs', async () => {
    const adapter: TestAdapter = {
      config: { r: 3, lora_alpha: 3, fan_in_fan_out: true },
      factors: [factors(Q0, 3, 1, { transposed: true })],
      seed: 40,
      kind: 'wide',
    };
    const one = writeAdapterCase(root, base, [adapter, { ...adapter, seed: 41 }]);
    for (const recipe of ['merge_method: task_arithmetic', 'merge_method: ties\nparameters: {density: 0.7}']) {
      const merged = await mergeToAdapter(one, { ...parts, recipe }, 'adapter', { pool });
      expect(merged.adapter.config.fanInFanOut).toBe(true);
      expect(merged.adapter.tensors.get(`base_model.model.${Q0}.lora_A.weight`)?.shape[1]).toBe(12);
      expect(await offFromModel(one, { ...parts, recipe }, merged.outDir)).toBeLessThan(1e-6);
    }
  });
});
