/** Merging adapters is merging the checkpoints that they amount to: each field of the configuration by itself, through rules of every kind. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { adapted, type TestAdapter, type TestFactors, writeAdapter } from '../support/adapters.js';
import { type Model, toTensors, type Values } from '../support/merge-fixture.js';
import { type MergedFolder, mergeFolders } from '../support/offline-merge.js';
import { stream } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const pool = startPool(1, { callerHelps: true });
afterAll(() => pool.close());

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed_tokens.weight': [20, 8],
  'layers.0.q_proj.weight': [12, 8],
  'layers.0.q_proj.bias': [12],
  'layers.0.c_attn.weight': [8, 20],
  'layers.0.square.weight': [8, 8],
  'layers.1.q_proj.weight': [12, 8],
  'layers.1.q_proj.bias': [12],
  'layers.1.conv.weight': [6, 4, 3, 3],
  'norm.weight': [8],
};

function makeBase(dtype: Values['dtype'] = 'F32'): Model {
  const next = stream(1);
  const tensors = Object.entries(SHAPES).map(([name, shape]): [string, Model[string]] => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [name, { dtype, shape, values: Array.from({ length: count }, () => Math.round((next() * 2 - 1) * 48) / 8) }];
  });
  const positions = new Uint8Array(BigInt64Array.from([0n, 1n, 2n]).buffer);
  return { ...Object.fromEntries(tensors), positions: { name: 'positions', dtype: 'I64', shape: [3], bytes: positions } };
}

const linear = (module: string, rank: number, scale: number, rest: Partial<TestFactors> = {}): TestFactors => ({
  module,
  rank,
  scale,
  ...rest,
});
const Q0 = 'layers.0.q_proj';
const Q1 = 'layers.1.q_proj';
const replaced = (name: string, seed: number): Model => {
  const next = stream(seed);
  const shape = SHAPES[name] ?? [];
  const count = shape.reduce((product, size) => product * size, 1);
  return { [name]: { dtype: 'F32', shape, values: Array.from({ length: count }, () => Math.round((next() * 2 - 1) * 32) / 8) } };
};

interface Field {
  readonly name: string;
  /** Two adapters to merge. */
  readonly adapters: readonly [TestAdapter, TestAdapter];
  /** Scales that no fp32 number is: full checkpoints are then rounded once more. */
  readonly rounded?: true;
}

const pair = (one: Omit<TestAdapter, 'seed'>, seed = 10): [TestAdapter, TestAdapter] => [
  { ...one, seed },
  { ...one, seed: seed + 1 },
];
const plain = { r: 4, lora_alpha: 8 };

const FIELDS: readonly Field[] = [
  { name: 'r and lora_alpha', adapters: pair({ config: plain, factors: [linear(Q0, 4, 2), linear(Q1, 4, 2)] }) },
  { name: 'use_rslora', adapters: pair({ config: { ...plain, use_rslora: true }, factors: [linear(Q0, 4, 4)] }) },
  {
    name: 'use_rslora with a rank that is no square',
    rounded: true,
    adapters: pair({ config: { r: 3, lora_alpha: 2, use_rslora: true }, factors: [linear(Q0, 3, 2 / Math.sqrt(3))], kind: 'wide' }),
  },
  {
    name: 'rank_pattern',
    adapters: pair({ config: { ...plain, rank_pattern: { [Q1]: 8, q_proj: 2 } }, factors: [linear(Q0, 2, 4), linear(Q1, 8, 1)] }),
  },
  {
    name: 'rank_pattern with expressions',
    adapters: pair({
      config: { ...plain, rank_pattern: { '^layers\\.1\\.(q|k)_proj': 8, 'layers.\\d+.c_attn': 2 } },
      factors: [linear(Q0, 4, 2), linear(Q1, 8, 1), linear('layers.0.c_attn', 2, 4)],
    }),
  },
  {
    name: 'alpha_pattern',
    adapters: pair({ config: { ...plain, alpha_pattern: { 'layers.1.q_proj': 2 } }, factors: [linear(Q0, 4, 2), linear(Q1, 4, 0.5)] }),
  },
  {
    name: 'fan_in_fan_out',
    adapters: pair({
      config: { ...plain, fan_in_fan_out: true },
      factors: [linear('layers.0.c_attn', 4, 2, { transposed: true }), linear('layers.0.square', 4, 2, { transposed: true })],
    }),
  },
  { name: 'a square matrix', adapters: pair({ config: plain, factors: [linear('layers.0.square', 4, 2)] }) },
  { name: 'convolutions', adapters: pair({ config: plain, factors: [linear('layers.1.conv', 4, 2)] }) },
  {
    name: 'embeddings',
    adapters: pair({ config: plain, factors: [linear('embed_tokens', 4, 2, { embedding: true, transposed: true })] }),
  },
  {
    name: 'embeddings repeated in the file',
    adapters: pair({
      config: plain,
      factors: [linear('embed_tokens', 4, 2, { embedding: true, transposed: true })],
      full: { 'embed_tokens.weight': makeBase()['embed_tokens.weight'] as Values },
      fileNames: { 'embed_tokens.weight': 'embed_tokens.base_layer.weight' },
    }),
  },
  {
    name: 'modules_to_save',
    adapters: [
      { config: { ...plain, modules_to_save: ['norm'] }, factors: [linear(Q0, 4, 2)], full: replaced('norm.weight', 3), seed: 10 },
      {
        config: { ...plain, modules_to_save: ['norm'] },
        factors: [linear(Q0, 4, 2)],
        full: replaced('norm.weight', 4),
        fileNames: { 'norm.weight': 'norm.modules_to_save.default.weight' },
        seed: 11,
      },
    ],
  },
  {
    name: 'bias: all',
    adapters: pair({
      config: { ...plain, bias: 'all' },
      factors: [linear(Q0, 4, 2)],
      full: { ...replaced('layers.0.q_proj.bias', 3), ...replaced('layers.1.q_proj.bias', 4) },
      fileNames: { 'layers.0.q_proj.bias': 'layers.0.q_proj.base_layer.bias' },
    }),
  },
  {
    name: 'bias: lora_only',
    adapters: pair({ config: { ...plain, bias: 'lora_only' }, factors: [linear(Q0, 4, 2)], full: replaced('layers.0.q_proj.bias', 3) }),
  },
  {
    name: 'factors in bf16 and f16',
    adapters: [
      { config: plain, factors: [linear(Q0, 4, 2, { dtype: 'BF16' }), linear(Q1, 4, 2, { dtype: 'F16' })], seed: 10 },
      { config: plain, factors: [linear(Q0, 4, 2, { dtype: 'F16' }), linear(Q1, 4, 2)], seed: 11 },
    ],
  },
  {
    name: 'unequal ranks and modules',
    adapters: [
      { config: { r: 2, lora_alpha: 2 }, factors: [linear(Q0, 2, 1)], seed: 10 },
      { config: { r: 8, lora_alpha: 32 }, factors: [linear(Q0, 8, 4), linear(Q1, 8, 4)], seed: 11 },
    ],
  },
  {
    name: 'target_modules as an expression, layers_to_transform, other keys',
    adapters: [
      { config: { ...plain, target_modules: '.*\\.(?:q_proj|c_attn)' }, factors: [linear(Q0, 4, 2)], seed: 10, adapterName: 'default' },
      {
        config: { ...plain, target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: 'layers' },
        factors: [linear(Q1, 4, 2)],
        seed: 11,
        prefix: '',
      },
    ],
  },
];

const RULES: readonly (readonly [name: string, recipe: string])[] = [
  ['fedavg', 'merge_method: fedavg\nparameters: {weight: 1}'],
  ['task_arithmetic', 'merge_method: task_arithmetic\nparameters: {weight: 0.5, lambda: 0.75}'],
  ['ties', 'merge_method: ties\nparameters: {density: 0.5, weight: 1}'],
  ['median', 'merge_method: median'],
  ['nuslerp', 'merge_method: nuslerp\nparameters: {weight: 1}'],
];

const list = (base: string, models: readonly string[]): string =>
  `base_model: ${JSON.stringify(base)}\nmodels: ${JSON.stringify(models.map((model) => ({ model, samples: 1 })))}\n`;

function expectSame(got: MergedFolder, expected: MergedFolder, tolerance: number): void {
  expect(got.names()).toEqual(expected.names());
  if (tolerance === 0) return expect(Buffer.compare(got.fileBytes, expected.fileBytes)).toBe(0);
  for (const name of Object.keys(SHAPES)) {
    expect(got.dtype(name)).toBe(expected.dtype(name));
    const wanted = expected.values(name);
    got.values(name).forEach((value, index) => {
      const error = Math.abs(value - (wanted[index] ?? 0));
      if (error > tolerance * Math.max(1, Math.abs(wanted[index] ?? 0)))
        throw new Error(`${name}[${index}]: ${value} for ${wanted[index]}`);
    });
  }
}

describe.each(RULES)('%s of adapters is that of full checkpoints', (_, recipe) => {
  it.each(FIELDS.map((field) => [field.name, field] as const))('%s', async (_name, { adapters, rounded }) => {
    const folder = mkdtempSync(join(root, 'field-'));
    const base = makeBase();
    const basePath = writeCheckpoint(join(folder, 'base'), toTensors(base));
    const adapterPaths = adapters.map((adapter, index) => writeAdapter(join(folder, `adapter-${index}`), base, adapter));
    const fullPaths = adapters.map((adapter, index) => writeCheckpoint(join(folder, `full-${index}`), toTensors(adapted(base, adapter))));
    const merge = (models: readonly string[]) => mergeFolders(folder, `${recipe}\n${list(basePath, models)}`, { pool, tileElements: 64 });
    const expected = await merge(fullPaths);
    const sphere = recipe.includes('nuslerp');
    const tolerance = rounded === true || sphere ? 2e-6 : 0;
    expectSame(await merge(adapterPaths), expected, tolerance);
    expectSame(await merge(adapterPaths.map((path) => `${basePath}+${path}`)), expected, tolerance);
    const [first = '', second = ''] = [adapterPaths[0], fullPaths[1]];
    expectSame(await merge([first, second]), expected, tolerance);
  });
});

describe('a model with an adapter on it', () => {
  const base = makeBase('BF16');
  const [one, other] = pair({ config: plain, factors: [linear(Q0, 4, 2), linear('layers.1.conv', 4, 2)] });
  const folder = mkdtempSync(join(root, 'whole-'));
  const basePath = writeCheckpoint(join(folder, 'base'), toTensors(base));
  const paths = [one, other].map((adapter, index) => writeAdapter(join(folder, `adapter-${index}`), base, adapter));
  const fulls = [one, other].map((adapter, index) => writeCheckpoint(join(folder, `full-${index}`), toTensors(adapted(base, adapter))));
  const merge = (recipe: string) => mergeFolders(folder, `${recipe}\nout_dtype: float32\n`, { pool });
  const models = (all: readonly string[]): string => JSON.stringify(all.map((model) => ({ model, parameters: { weight: 0.5 } })));

  it('is merged without a base, as the checkpoint it amounts to', async () => {
    const expected = await merge(`merge_method: linear\nmodels: ${models(fulls)}`);
    const got = await merge(`merge_method: linear\nmodels: ${models(paths.map((path) => `${basePath}+${path}`))}`);
    expectSame(got, expected, 1e-7);
  });

  it('is stored in the dtype of its base', async () => {
    const got = await mergeFolders(folder, `merge_method: linear\nmodels: ${models(paths.map((path) => `${basePath}+${path}`))}`, { pool });
    expect(Object.keys(SHAPES).map((name) => got.dtype(name))).toEqual(Object.keys(SHAPES).map(() => 'BF16'));
  });

  it.each(['task_arithmetic', 'ties'])('has the same bytes for every size of tiles: %s', async (method) => {
    const recipe = `merge_method: ${method}\nbase_model: ${JSON.stringify(basePath)}\nmodels: ${models(paths)}`;
    const sizes = [8, 40, 4096];
    const [first, ...others] = await Promise.all(sizes.map((tileElements) => mergeFolders(folder, recipe, { tileElements })));
    for (const other of others) expect(first?.fileBytes.equals(other.fileBytes)).toBe(true);
  });

  it('can be the base', async () => {
    const recipe = (first: string, second: string): string =>
      `merge_method: task_arithmetic\nbase_model: ${JSON.stringify(first)}\nmodels: ${models([second])}`;
    const expected = await merge(recipe(fulls[0] ?? '', fulls[1] ?? ''));
    const got = await merge(recipe(`${basePath}+${paths[0] ?? ''}`, `${basePath}+${paths[1] ?? ''}`));
    expectSame(got, expected, 0);
  });

  it('has slices like any other', async () => {
    const slices = (all: readonly string[]): string =>
      `merge_method: linear\nparameters: {weight: 1}\nslices: ${JSON.stringify([
        { sources: [{ model: all[0], layer_range: [0, 1] }] },
        { sources: [{ model: all[1], layer_range: [0, 1] }] },
      ])}`;
    const expected = await merge(slices(fulls));
    expectSame(await merge(slices(paths.map((path) => `${basePath}+${path}`))), expected, 0);
  });
});
