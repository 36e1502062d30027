import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openBackend } from '../../client/train/backend.js';
import { runTrainCommand } from '../../client/train/command.js';
import { DEMO_PLAN, taskArithmeticRecipe, WEIGHTED_SUMS } from '../../client/train/demo-plan.js';
import { DOMAIN_IMAGES, loadDigits } from '../../client/train/digits.js';
import { DOMAINS } from '../../client/train/domains.js';
import { type DigitModel, newModel, readModel, type TrainingStage, writeModel } from '../../client/train/model-folder.js';
import { initialNetwork } from '../../client/train/network.js';
import { formatScoreTable, scoreFolders } from '../../client/train/score-table.js';
import { countsOf } from '../../coordinator/rounds/rehearsal.js';
import { parseRoundRecipe } from '../../coordinator/rounds/round-recipe.js';
import { readSafetensorsFile } from '../../shared/formats/safetensors-file.js';

const FOLDER = await mkdtemp(join(tmpdir(), 'tributary-train-'));
afterAll(() => rm(FOLDER, { recursive: true, force: true }));

const STAGE: TrainingStage = {
  stage: 'base',
  domains: [...DOMAINS],
  samples: 1,
  epochs: 1,
  steps: 1,
  learning_rate: 0.1,
  seed: 3,
  backend: 'wasm',
};

function someModel(seed = 3): DigitModel {
  const model = newModel(initialNetwork([784, 16, 10], seed), 3, STAGE);
  return { ...model, metadata: new Map([...model.metadata, ['tributary.base_digest', 'sha256:feed'], ['note', 'é "quoted"']]) };
}

let folders = 0;
function nextFolder(): string {
  folders += 1;
  return join(FOLDER, `model-${folders}`);
}

async function write(model: DigitModel): Promise<string> {
  const folder = nextFolder();
  await writeModel(folder, model);
  return folder;
}

async function changeConfig(folder: string, change: (config: Record<string, unknown>) => void): Promise<void> {
  const path = join(folder, 'config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  change(config);
  await writeFile(path, JSON.stringify(config));
}

describe('a model folder', () => {
  it('keeps every bit of the weights, the metadata and the training', async () => {
    const model = someModel();
    const weight = model.network.layers[0]?.weight as Float32Array;
    weight.set([-0, 1e-45, 3.4028234663852886e38, 0.1]);
    const read = await readModel(await write(model));
    expect(read).toEqual(model);
    expect(Object.is(read.network.layers[0]?.weight[0], -0)).toBe(true);
    expect(
      (await readFile(join(await write(read), 'model.safetensors'))).equals(await readFile(join(await write(model), 'model.safetensors'))),
    ).toBe(true);
  });

  it('has the tensor names and shapes of PyTorch', async () => {
    const file = await readSafetensorsFile(join(await write(someModel()), 'model.safetensors'));
    expect(file.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['fc1.weight', 'F32', [16, 784]],
      ['fc1.bias', 'F32', [16]],
      ['fc2.weight', 'F32', [10, 16]],
      ['fc2.bias', 'F32', [10]],
    ]);
    expect(file.metadata.get('format')).toBe('pt');
  });

  it('is never written over another, and nothing is left beside it', async () => {
    const folder = await write(someModel());
    const before = await readFile(join(folder, 'model.safetensors'));
    await expect(writeModel(folder, someModel(4))).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
    expect(before.equals(await readFile(join(folder, 'model.safetensors')))).toBe(true);
    expect((await readdir(FOLDER)).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('may be an empty folder first', async () => {
    const folder = nextFolder();
    await mkdir(folder);
    await writeModel(folder, someModel());
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  it.each<[string, string, (folder: string) => Promise<void>]>([
    ['is not there', 'CHECKPOINT_NOT_FOUND', (folder) => rm(folder, { recursive: true })],
    ['has no weights', 'CHECKPOINT_NOT_FOUND', (folder) => rm(join(folder, 'model.safetensors'))],
    ['has no config', 'CHECKPOINT_NOT_FOUND', (folder) => rm(join(folder, 'config.json'))],
    ['has a config that is no JSON', 'CONFIG_INVALID', (folder) => writeFile(join(folder, 'config.json'), '{')],
    ['is of another type', 'CONFIG_INVALID', (folder) => changeConfig(folder, (config) => Object.assign(config, { model_type: 'llama' }))],
    [
      'takes other images',
      'CONFIG_INVALID',
      (folder) => changeConfig(folder, (config) => Object.assign(config, { layer_sizes: [100, 10] })),
    ],
    [
      'has other shapes',
      'SHAPE_MISMATCH',
      (folder) => changeConfig(folder, (config) => Object.assign(config, { layer_sizes: [784, 8, 10] })),
    ],
    [
      'lacks a layer',
      'TENSOR_MISSING',
      (folder) => changeConfig(folder, (config) => Object.assign(config, { layer_sizes: [784, 16, 10, 10] })),
    ],
    ['is cut short', 'SAFETENSORS_TRUNCATED', (folder) => truncate(join(folder, 'model.safetensors'), 2000)],
  ])('that %s is refused with %s', async (_, code, spoil) => {
    const folder = await write(someModel());
    await spoil(folder);
    await expect(readModel(folder)).rejects.toMatchObject({ code });
  });

  it('with a number that is none is refused', async () => {
    const model = someModel();
    model.network.layers[1]?.bias.set([Number.NaN], 2);
    await expect(readModel(await write(model))).rejects.toMatchObject({ code: 'NON_FINITE' });
  });
});

describe('the command', () => {
  const run = async (...argv: string[]) => {
    let out = '';
    let err = '';
    const exit = await runTrainCommand(argv, { stdout: (text) => void (out += text), stderr: (text) => void (err += text) });
    return { exit, out, err };
  };

  it('trains a base, fine-tunes it twice to the same bytes, keeps the metadata and evaluates the result', async () => {
    const base = join(FOLDER, 'base');
    const trained = await run('base', '--out', base, '--seed', '2', '--epochs', '2', '--format', 'json');
    expect(trained).toMatchObject({ exit: 0 });
    expect(JSON.parse(trained.out)).toMatchObject({ stage: 'base', samples: 400, steps: 14, seed: 2 });

    const model = await readModel(base);
    const pulled = await write({ ...model, metadata: new Map([...model.metadata, ['tributary.base_digest', 'sha256:abc']]) });
    const tune = (out: string) =>
      run('fine-tune', '--base', pulled, '--domain', 'rotated', '--samples', '200', '--epochs', '2', '--out', out, '--format', 'json');
    const [first, second] = [nextFolder(), nextFolder()];
    const tuned = await tune(first);
    expect(tuned).toMatchObject({ exit: 0 });
    expect(JSON.parse(tuned.out)).toMatchObject({ stage: 'fine-tune', domains: ['rotated'], samples: 200, steps: 8, out: first });
    expect(tuned.err).toMatch(/^backend \w+ .*\nepoch 1: loss /);
    await tune(second);
    expect((await readFile(join(second, 'model.safetensors'))).equals(await readFile(join(first, 'model.safetensors')))).toBe(true);
    const result = await readModel(first);
    expect(result.metadata.get('tributary.base_digest')).toBe('sha256:abc');
    expect(result.network.layers[1]?.bias).not.toEqual(model.network.layers[1]?.bias);
    expect(result.training.map(({ stage }) => stage)).toEqual(['base', 'fine-tune']);

    const evaluated = await run('evaluate', '--model', first, '--domains', 'rotated,ruled', '--format', 'json');
    const { scores, average, worst } = JSON.parse(evaluated.out) as {
      scores: { domain: string; accuracy: number }[];
      average: number;
      worst: number;
    };
    expect(scores.map(({ domain }) => domain)).toEqual(['rotated', 'ruled']);
    expect(average).toBeCloseTo(((scores[0]?.accuracy as number) + (scores[1]?.accuracy as number)) / 2, 10);
    expect(worst).toBe(scores[1]?.accuracy);
    expect(scores[0]?.accuracy).toBeGreaterThan(0.4);

    const context = { backend: await openBackend(), digits: await loadDigits() };
    const table = await scoreFolders(context, [
      { name: 'base', role: 'base', folder: base },
      { name: 'post-office', role: 'contribution', folder: first },
    ]);
    expect(table.rows.map(({ role }) => role)).toEqual(['base', 'contribution']);
    expect(table.rows[1]?.scores.find(({ domain }) => domain === 'rotated')?.accuracy).toBe(scores[0]?.accuracy);
    expect(formatScoreTable(table).split('\n')).toHaveLength(3);
  });

  it.each([
    ['no command line', [], 2],
    ['an unknown command', ['guess'], 2],
    ['a domain that does not exist', ['evaluate', '--model', FOLDER, '--domains', 'upright,sideways'], 2],
    [
      'more samples than the contributor has',
      ['fine-tune', '--base', '@model', '--domain', 'ruled', '--out', '@new', '--samples', '1401'],
      2,
    ],
    ['no epoch', ['base', '--out', '@new', '--epochs', '0'], 2],
    ['a folder that holds something', ['base', '--out', '@model'], 2],
    ['a model that is not there', ['evaluate', '--model', '@new'], 3],
  ] as const)('refuses %s', async (_, argv, exit) => {
    const model = await write(someModel());
    const words = argv.map((word) => (word === '@model' ? model : word === '@new' ? nextFolder() : word));
    const result = await run(...words);
    expect(result.exit).toBe(exit);
    expect(result.out).toBe('');
    expect(result.err).not.toBe('');
  });

  it('prints its help on stdout and succeeds', async () => {
    expect(await run('--help')).toMatchObject({ exit: 0, out: expect.stringContaining('fine-tune') });
  });

  it('stops on a signal without leaving a folder', async () => {
    const folder = nextFolder();
    const io = { stdout: () => undefined, stderr: () => undefined, signal: AbortSignal.abort() };
    expect(await runTrainCommand(['base', '--out', folder], io)).toBe(130);
    await expect(readdir(folder)).rejects.toThrow('ENOENT');
  });
});

describe('the plan of the demo', () => {
  it('has one contributor a domain, unequal samples within what there is, and recipes whose weights add up', () => {
    const samples = DEMO_PLAN.contributors.map(({ samples: count }) => count);
    expect(DEMO_PLAN.contributors.map(({ domain }) => domain)).toEqual(DOMAINS);
    expect(new Set(samples).size).toBe(samples.length);
    for (const { domain, samples: count } of DEMO_PLAN.contributors) expect(count).toBeLessThanOrEqual(DOMAIN_IMAGES[domain]);
    for (const { name, coefficients } of WEIGHTED_SUMS) {
      expect(
        coefficients(samples).reduce((sum, value) => sum + value, 0),
        name,
      ).toBeCloseTo(1, 12);
    }
  });

  it('has recipes that a round takes, and bad contributions that every rule of the table can be tried on', () => {
    const known = [...DEMO_PLAN.recipes, ...DEMO_PLAN.poison.recipes, taskArithmeticRecipe(0.35)];
    for (const { name, yaml } of known) expect(parseRoundRecipe(yaml).recipe.method).toBe(name.split(' ')[0]);
    for (const { yaml } of DEMO_PLAN.poison.recipes)
      expect(countsOf(parseRoundRecipe(yaml).recipe).least).toBeLessThanOrEqual(DEMO_PLAN.contributors.length + 1);
    expect(DEMO_PLAN.contributors.map(({ name }) => name)).toContain(DEMO_PLAN.poison.copies);
    expect(DEMO_PLAN.poison.factors[0]).toBe(1);
  });
});
