/** Rounds that adapters and factors are pushed to: what travels, what is refused and when, and that the model is the offline merge's. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { adapted, type TestAdapter, type TestFactors, valuesOf, writeAdapter } from '../support/adapters.js';
import { cliOk, errorOf, type ModelJson, type PushJson, type RoundJson, runCli } from '../support/cli.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { type Federation, joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { type Model, toTensors, type Values } from '../support/merge-fixture.js';
import { stream } from '../support/random-models.js';
import { tensorsOf } from '../support/read-checkpoint.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

killLeftoversAfterAll();
const folder = tempDir();
const home = join(folder, 'home');
const path = (name: string): string => join(folder, name);

const SHAPES = {
  'embed_tokens.weight': [90, 64],
  'layers.0.up.weight': [300, 64],
  'layers.0.up.bias': [300],
  'layers.0.down.weight': [64, 300],
  'layers.1.conv.weight': [32, 16, 3, 3],
  'norm.weight': [64],
};

const numbers = (seed: number, shape: readonly number[]): Values => {
  const next = stream(seed);
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype: 'F32', shape, values: Array.from({ length: count }, () => Math.round((next() * 2 - 1) * 48) / 8 || 0) };
};
const base: Model = {
  ...Object.fromEntries(Object.entries(SHAPES).map(([name, shape], index) => [name, numbers(index + 1, shape)])),
  positions: { name: 'positions', dtype: 'I64', shape: [64], bytes: new Uint8Array(512) },
};

const factors = (module: string, rank: number, scale: number, rest: Partial<TestFactors> = {}): TestFactors => ({
  module,
  rank,
  scale,
  ...rest,
});
const embedding = factors('embed_tokens', 8, 2, { embedding: true, transposed: true });
const ALICE: TestAdapter = {
  config: { r: 8, lora_alpha: 16 },
  factors: [factors('layers.0.up', 8, 2, { dtype: 'BF16' }), factors('layers.0.down', 8, 2), embedding],
  full: { 'embed_tokens.weight': base['embed_tokens.weight'] as Values },
  fileNames: { 'embed_tokens.weight': 'embed_tokens.base_layer.weight' },
  seed: 1,
};
const BOB: TestAdapter = {
  config: { r: 4, lora_alpha: 4, bias: 'all', rank_pattern: { conv: 2 }, alpha_pattern: { conv: 8 } },
  factors: [factors('layers.0.up', 4, 1), factors('layers.1.conv', 2, 4, { dtype: 'F16' })],
  full: { 'layers.0.up.bias': numbers(40, [300]) },
  seed: 2,
};
const CAROL: TestAdapter = { config: { r: 4, lora_alpha: 4 }, factors: [factors('layers.0.down', 4, 1)], seed: 3 };

let coordinator: CoordinatorProcess;
let team: Federation;
const cli = () => ({ home, server: coordinator.address });

beforeAll(async () => {
  mkdirSync(home);
  writeCheckpoint(path('base'), toTensors(base));
  writeAdapter(path('alice'), base, ALICE);
  writeAdapter(path('bob'), base, BOB);
  writeCheckpoint(path('carol'), toTensors(adapted(base, CAROL)));
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home });
  team = joinFederation(coordinator.address);
  await team.registerBase('tiny', path('base'));
});

afterAll(async () => {
  team.disconnect();
  await coordinator.kill('SIGKILL');
});

async function offline(name: string, recipe: string, models: readonly string[]): Promise<Buffer> {
  const list = models.map((model, index) => ({ model: path(model), samples: index + 1 }));
  const text = `${recipe}\nbase_model: ${JSON.stringify(path('base'))}\nmodels: ${JSON.stringify(list)}\n`;
  await mergeOffline({ recipeText: text, recipePath: 'recipe.yml', outDir: path(name), threads: 1, version: 'test' });
  return readFileSync(join(path(name), 'model.safetensors'));
}

describe('two adapters and a checkpoint', () => {
  const RECIPES = {
    fedavg: 'merge_method: fedavg',
    ties: 'merge_method: ties\nparameters: {density: 0.5, weight: 1}',
    'dare-ties': 'merge_method: dare_ties\nparameters: {density: 0.5, weight: 1}',
    krum: 'merge_method: geometric_median',
    mergekit: 'merge_method: task_arithmetic\nnumerics: mergekit\nparameters: {weight: 0.5}',
  };
  test.each(Object.entries(RECIPES))('%s: the offline merge, byte for byte', async (name, recipe) => {
    await team.createRound(name, { base: 'tiny', recipe });
    for (const [index, contributor] of ['alice', 'bob', 'carol'].entries())
      await team.push(name, contributor, { folder: path(contributor), samples: index + 1 });
    await team.close(name);
    const ended = await team.ended(name);
    expect(ended.error).toBeUndefined();
    const pulled = await team.pull(name, path(`${name}-pulled`));
    expect(pulled.equals(await offline(`${name}-offline`, recipe, ['alice', 'bob', 'carol']))).toBe(true);
    expect(readFileSync(join(path(`${name}-pulled`), 'README.md'), 'utf8')).toMatch(/\| alice +\| LoRA adapter, rank 8/);
    expect(readFileSync(join(path(`${name}-offline`), 'README.md'), 'utf8')).toMatch(/bob \| LoRA adapter, rank 2 to 4 \|/);
  });

  test('only the bytes of the adapter travel, and the round shows what it is', async () => {
    await cliOk(['round', 'create', 'shown', '--base', 'tiny', '--method', 'fedavg'], cli());
    const pushed = await cliOk<PushJson>(['push', path('bob'), '--round', 'shown', '--as', 'bob'], cli());
    expect(pushed.contribution.kind).toBe('lora');
    expect(pushed.totalBytes).toBeLessThan(8 * (300 + 64) * 4 + 4 * (32 + 144) * 2 + 300 * 4 + 1000);
    const round = await cliOk<RoundJson>(['round', 'show', 'shown'], cli());
    expect(round.contributions[0]?.kind).toBe('lora');
    const { stdout } = await runCli(['round', 'show', 'shown'], { ...cli(), format: 'table' });
    expect(stdout).toMatch(/bob +accepted +lora/);
    const full = adapted(base, BOB);
    const squared = Object.entries(full).reduce((sum, [name, tensor]) => {
      if ('bytes' in tensor) return sum;
      const before = valuesOf(base[name] as Values);
      return valuesOf(tensor).reduce((all, value, index) => all + (value - (before[index] ?? 0)) ** 2, sum);
    }, 0);
    expect(round.contributions[0]?.taskVectorNorm).toBeCloseTo(Math.sqrt(squared), 6);
  });
});

describe('factors of low rank', () => {
  const whole = { ...ALICE, factors: ALICE.factors.slice(0, 2), full: { 'norm.weight': numbers(50, [64]) } };
  const expectations = async (): Promise<Buffer> => {
    writeCheckpoint(path('low-full'), toTensors(adapted(base, { ...whole, factors: whole.factors.map((one) => ({ ...one, scale: 1 })) })));
    return offline('low-offline', 'merge_method: fedavg', ['low-full']);
  };

  test('are merged as the checkpoint they amount to', async () => {
    // The factors of an adapter of scale 1 under the names of a contribution of low rank.
    const adapter = path('low-adapter');
    writeAdapter(adapter, base, { ...whole, full: {}, fileNames: {}, prefix: '' });
    const renamed = (await tensorsOf(join(adapter, 'adapter_model.safetensors'))).map((tensor) => ({
      ...tensor,
      name: tensor.name.replace(/\.lora_B\.weight$/, '.weight::left').replace(/\.lora_A\.weight$/, '.weight::right'),
    }));
    writeCheckpoint(path('low'), [...renamed, ...toTensors({ 'norm.weight': numbers(50, [64]) })]);
    await team.createRound('low', { base: 'tiny', recipe: 'merge_method: fedavg' });
    await team.push('low', 'dora', { folder: path('low'), samples: 1, kind: 'low_rank' });
    expect((await team.show('low')).contributions[0]?.status).toBe(2);
    await team.close('low');
    expect((await team.ended('low')).error).toBeUndefined();
    expect((await team.pull('low', path('low-pulled'))).equals(await expectations())).toBe(true);
    const round = await cliOk<RoundJson>(['round', 'show', 'low'], cli());
    expect(round.contributions[0]?.kind).toBe('low_rank');
  });

  test('that do not fit are refused before a byte is sent', async () => {
    await team.createRound('low-bad', { base: 'tiny', recipe: 'merge_method: fedavg' });
    const write = (name: string, tensors: Model): string => writeCheckpoint(path(name), toTensors(tensors));
    const left = numbers(1, [300, 4]);
    const cases: readonly (readonly [string, Model, string])[] = [
      ['half', { 'layers.0.up.weight::left': left }, 'ADAPTER_INVALID'],
      ['rank', { 'layers.0.up.weight::left': left, 'layers.0.up.weight::right': numbers(2, [5, 64]) }, 'ADAPTER_INVALID'],
      ['name', { 'layers.9.up.weight::left': left, 'layers.9.up.weight::right': numbers(2, [4, 64]) }, 'TENSOR_EXTRA'],
      ['shape', { 'norm.weight': numbers(2, [65]) }, 'SHAPE_MISMATCH'],
    ];
    const before = await coordinator.metric('tributary_received_bytes_total');
    for (const [name, tensors, code] of cases)
      await expect(team.push('low-bad', name, { folder: write(`low-${name}`, tensors), kind: 'low_rank' })).rejects.toMatchObject({ code });
    expect(await coordinator.metric('tributary_received_bytes_total')).toBe(before);
    const reasons = (await team.show('low-bad')).contributions.map(({ contributor, reason }) => [contributor, reason?.code]);
    expect(new Map(reasons as [string, string][])).toEqual(new Map(cases.map(([name, , code]) => [name, code])));
  });
});

describe('adapters that take no part', () => {
  const push = async (name: string, adapter: TestAdapter) => {
    writeAdapter(path(name), base, adapter);
    return runCli(['push', path(name), '--round', 'strict', '--as', name], cli());
  };
  beforeAll(async () => {
    await team.createRound('strict', { base: 'tiny', recipe: 'merge_method: fedavg' });
  });

  test('of another rank than they say, or for another base: before a byte is sent', async () => {
    const before = await coordinator.metric('tributary_received_bytes_total');
    const rank = await push('rank', { ...ALICE, config: { r: 6, lora_alpha: 16 } });
    expect(errorOf(rank)).toMatchObject({ code: 'ADAPTER_INVALID' });
    const { key, ...first } = { ...factors('layers.0.up', 8, 2), key: 'layers.7.up' };
    const other = await push('other', { ...ALICE, config: { r: 8, lora_alpha: 16, target_modules: ['up'] }, factors: [{ ...first, key }] });
    expect(errorOf(other)).toMatchObject({ code: 'ADAPTER_INVALID', details: { what: /layers\.7\.up/ } });
    const metadata = await push('metadata', { ...ALICE, metadata: { 'tributary.base_digest': 'ab'.repeat(32) } });
    expect(errorOf(metadata)).toMatchObject({ code: 'BASE_MISMATCH' });
    expect(await coordinator.metric('tributary_received_bytes_total')).toBe(before);
    const [tiny] = (await cliOk<ModelJson[]>(['base', 'list'], cli())).filter(({ name }) => name === 'tiny');
    const right = await push('right', { ...ALICE, metadata: { 'tributary.base_digest': tiny?.weightsDigest ?? '' } });
    expect(right.code, right.stderr).toBe(0);
  });

  test('of a kind that is no product: at home', async () => {
    const result = await push('weight-decomposed', { ...ALICE, config: { r: 8, lora_alpha: 16, use_dora: true } });
    expect(errorOf(result)).toMatchObject({ code: 'ADAPTER_UNSUPPORTED', details: { what: /DoRA/ } });
  });

  test('with NaN in a factor, or weights of another base beside them: in quarantine', async () => {
    const nan = numbers(3, [300]);
    const values = [...(nan.values ?? [])];
    values[7] = Number.NaN;
    const bias = await push('nan', { ...BOB, full: { 'layers.0.up.bias': { ...nan, values } } });
    expect(errorOf(bias)).toMatchObject({ code: 'NON_FINITE', details: { what: /layers\.0\.up\.bias/ } });
    const repeated = await push('repeated', { ...ALICE, full: { 'embed_tokens.weight': numbers(77, [90, 64]) } });
    expect(errorOf(repeated)).toMatchObject({ code: 'ADAPTER_INVALID', details: { what: /embed_tokens/ } });
    const round = await team.show('strict');
    expect(round.contributions.filter(({ status }) => status === 3).map(({ contributor }) => contributor)).toEqual(
      expect.arrayContaining(['nan', 'repeated', 'rank', 'other', 'metadata']),
    );
  });

  test('nor can they be a base', async () => {
    const result = await runCli(['base', 'push', path('alice'), '--name', 'no-base'], cli());
    expect(errorOf(result)).toMatchObject({ code: 'MANIFEST_INVALID' });
  });
});
