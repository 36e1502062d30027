/**
 * Candidates merged in place, one after another over the bytes of the last, hold what a merge of its own into a new folder holds, for rules of
 * every kind of plan: sums, programs, measured coefficients, matrices, factors.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAdapter } from '../../shared/formats/adapter.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { createCandidateMerger } from '../../shared/merge/candidate-merger.js';
import { roundInput } from '../../shared/merge/contributions.js';
import { planMerge } from '../../shared/merge/plan.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { candidateRecipe, studySpecOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { startPool, type WorkerPool } from '../../shared/workers/pool.js';
import { writeAdapter } from '../support/adapters.js';
import { expectError } from '../support/expect-error.js';
import { type Model, toTensors } from '../support/merge-fixture.js';
import { stream } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const folder = tempDir();
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'model.embed.weight': [24, 16],
  'model.layers.0.mlp.weight': [16, 20],
  'model.layers.0.norm.weight': [20],
  'model.layers.1.mlp.weight': [16, 20],
  'model.layers.2.mlp.weight': [16, 20],
};
const MAP = `
map:
  tasks:
    one: {metric: accuracy}
`;

function modelOf(seed: number, near?: Model, dtype: 'F32' | 'BF16' = 'BF16'): Model {
  const next = stream(seed);
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const around = near?.[name];
      const from = around === undefined || 'bytes' in around ? undefined : around.values;
      const count = shape.reduce((product, size) => product * size, 1);
      const values = Array.from(
        { length: count },
        (_, index) => (from?.[index] ?? 0) + (next() + next() - 1) * (near === undefined ? 1 : 0.2),
      );
      return [name, { dtype, shape, values }];
    }),
  );
}

const base = modelOf(1);
const baseF32 = modelOf(1, undefined, 'F32');

function write(name: string, model: Model): string {
  return writeCheckpoint(join(folder, name), toTensors(model), { 'config.json': '{"num_hidden_layers": 3, "torch_dtype": "float16"}' });
}

let pool: WorkerPool;
const folders = new Map<string, string>();

beforeAll(() => {
  pool = startPool(2);
  folders.set('base', write('base', base)).set('base32', write('base32', baseF32));
  for (const [index, name] of ['a', 'b', 'c'].entries()) {
    folders.set(name, write(name, modelOf(10 + index, base)));
    folders.set(`${name}32`, write(`${name}32`, modelOf(10 + index, baseF32, 'F32')));
  }
  const module = 'model.layers.1.mlp';
  const adapter = { config: { r: 4, lora_alpha: 8 }, factors: [{ module, rank: 4, scale: 2 }], seed: 5 };
  folders.set('lora', writeAdapter(join(folder, 'lora'), base, adapter));
});
afterAll(() => pool.close());

interface Study {
  readonly recipe: string;
  readonly names?: readonly string[];
  readonly base?: string;
  readonly shardSizeBytes?: number;
}

async function openStudy({ recipe: text, names = ['a', 'b', 'c'], base: baseName = 'base' }: Study) {
  const recipe = parseRecipe(`${text}\n${text.includes('map:') ? '' : MAP}`, { fileName: 'recipe' });
  const checkpoint = await openCheckpoint(folders.get(baseName) ?? '');
  const opened = { name: baseName, tensors: checkpoint.tensors };
  const inputs: MergeInput[] = [];
  for (const [index, name] of names.entries()) {
    const path = folders.get(name) ?? '';
    const facts = { contributor: name, weightsDigest: `${index}`.repeat(64), samples: 100 + index, steps: 10 + index };
    if (name === 'lora') {
      const { tensors, configBytes } = await openAdapter(path);
      inputs.push(roundInput(recipe, opened, { ...facts, kind: 'lora', tensors, adapterConfig: configBytes }));
    } else {
      const { tensors } = await openCheckpoint(path);
      inputs.push(roundInput(recipe, opened, { ...facts, kind: 'full', tensors, adapterConfig: new Uint8Array(0) }));
    }
  }
  const { dimensions } = studySpecOf(recipe, names);
  return { recipe, base: opened, inputs, dimensions, numHiddenLayers: 3, sidecars: checkpoint.sidecars };
}

let runs = 0;
const freshFolder = (): string => join(folder, `run-${runs++}`);

/** What runMerge makes of the same candidate. */
async function merged(
  study: Awaited<ReturnType<typeof openStudy>>,
  coefficients: readonly number[],
  shardSizeBytes?: number,
): Promise<Map<string, Buffer>> {
  const { recipe, dimensions, base: ofStudy, inputs, numHiddenLayers } = study;
  const plan = planMerge({
    recipe: candidateRecipe(recipe, dimensions, coefficients),
    base: ofStudy,
    inputs,
    inRound: true,
    numHiddenLayers,
    shardSizeBytes,
  });
  const outputDir = freshFolder();
  await runMerge(plan, { outputDir, pool, durable: false });
  return weightsIn(outputDir);
}

const weightsIn = (path: string): Map<string, Buffer> =>
  new Map(
    readdirSync(path)
      .filter((name) => name.includes('safetensors'))
      .sort()
      .map((name) => [name, readFileSync(join(path, name))]),
  );

/** Coefficients that plans treat each in their own way, and some drawn at random. */
function candidatesOf(dimensions: number, seed: number): number[][] {
  const next = stream(seed);
  const all = (value: number): number[] => Array.from({ length: dimensions }, () => value);
  const only = (index: number): number[] => all(0).map((value, other) => (other === index ? 1 : value));
  const drawn = Array.from({ length: 4 }, () => all(0).map(() => next()));
  return [...drawn, all(0), only(0), all(1 / dimensions), only(dimensions - 1), drawn[0] ?? [], all(1)];
}

const STUDIES: Readonly<Record<string, Study>> = {
  'a sum': { recipe: 'merge_method: task_arithmetic' },
  'a sum in F32': { recipe: 'merge_method: task_arithmetic', base: 'base32', names: ['a32', 'b32', 'c32'] },
  'a mean': { recipe: 'merge_method: task_arithmetic\nparameters: {normalize: true}' },
  'layer groups and lambda': {
    recipe: `merge_method: task_arithmetic\nmap:\n  tasks: {one: {metric: accuracy}}\n  coefficients: {layer_groups: 2}\n  parameters: {lambda: [0.2, 1.5]}`,
  },
  ties: { recipe: 'merge_method: ties\nparameters: {density: 0.4}' },
  dare_ties: { recipe: 'merge_method: dare_ties\nparameters: {density: 0.5}\nseed: 7' },
  breadcrumbs: { recipe: 'merge_method: breadcrumbs\nparameters: {density: 0.6, gamma: 0.1}' },
  nuslerp: { recipe: 'merge_method: nuslerp', names: ['a', 'b'] },
  'multislerp over lambda-like parameters': { recipe: 'merge_method: multislerp' },
  'the lambda of a median': {
    recipe: 'merge_method: median\nmap:\n  tasks: {one: {metric: accuracy}}\n  coefficients: none\n  parameters: {lambda: [0.1, 1]}',
  },
  'the lambda of lines': {
    recipe:
      'merge_method: lines\nmap:\n  tasks: {one: {metric: accuracy}}\n  coefficients: none\n  parameters: {lambda: [0.1, 1], alpha: [0.1, 1]}',
  },
  'star, made of matrices': { recipe: 'rule: {transform: [star], weighting: given, combine: sum, post: [scale]}\nparameters: {eta: 60}' },
  'the lambda of tsv': {
    recipe: 'merge_method: tsv_m\nmap:\n  tasks: {one: {metric: accuracy}}\n  coefficients: none\n  parameters: {lambda: [0.1, 1]}',
  },
  adapters: { recipe: 'merge_method: task_arithmetic', names: ['a', 'lora'] },
  'adapters under ties': { recipe: 'merge_method: ties\nparameters: {density: 0.5}', names: ['b', 'lora'] },
  'roundings of mergekit': { recipe: 'merge_method: task_arithmetic\nnumerics: mergekit\ndtype: bfloat16', names: ['a', 'lora'] },
  shards: { recipe: 'merge_method: task_arithmetic', shardSizeBytes: 700 },
};

describe('candidates merged in place', () => {
  test.each(Object.entries(STUDIES))('%s: the bytes of a merge of their own', async (_name, study) => {
    const opened = await openStudy(study);
    const { shardSizeBytes } = study;
    const slot = freshFolder();
    const merger = createCandidateMerger({ ...opened, folder: slot, pool, shardSizeBytes });
    try {
      const seen = new Set<string>();
      for (const coefficients of candidatesOf(opened.dimensions.length, 3).map((all) =>
        all.map((value, index) => Math.max(value, opened.dimensions[index]?.contributor === undefined ? 0.2 : 0)),
      )) {
        await merger.merge(coefficients);
        const wanted = await merged(opened, coefficients, shardSizeBytes);
        const got = weightsIn(slot);
        expect([...got.keys()]).toEqual([...wanted.keys()]);
        for (const [name, bytes] of wanted)
          expect(Buffer.compare(bytes, got.get(name) ?? Buffer.alloc(0)), `${name} at ${coefficients.join()}`).toBe(0);
        seen.add(Buffer.concat([...got.values()]).toString('base64'));
      }
      expect(seen.size).toBeGreaterThan(3);
    } finally {
      await merger.close();
    }
    expect(existsSync(`${slot}.scratch`)).toBe(false);
  });

  test('files are made once, and hold the configuration of the base with the dtype that is stored', async () => {
    const slot = freshFolder();
    mkdirSync(slot);
    writeFileSync(join(slot, 'stranger.gguf'), 'of an earlier process');
    const merger = createCandidateMerger({ ...(await openStudy({ recipe: 'merge_method: task_arithmetic' })), folder: slot, pool });
    await merger.merge([0.1, 0.2, 0.3]);
    expect(readdirSync(slot).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(JSON.parse(readFileSync(join(slot, 'config.json'), 'utf8'))).toEqual({ num_hidden_layers: 3, torch_dtype: 'bfloat16' });
    const weights = statSync(join(slot, 'model.safetensors'));
    const config = statSync(join(slot, 'config.json'));
    await merger.merge([0.3, 0.2, 0.1]);
    expect(statSync(join(slot, 'model.safetensors')).ino).toBe(weights.ino);
    expect(statSync(join(slot, 'config.json')).mtimeMs).toBe(config.mtimeMs);
    await merger.close();
  });

  test('what an evaluator left, cut off or removed is set right', async () => {
    const opened = await openStudy({ recipe: 'merge_method: task_arithmetic' });
    const slot = freshFolder();
    const merger = createCandidateMerger({ ...opened, folder: slot, pool });
    const weights = join(slot, 'model.safetensors');
    const damages = [
      () => writeFileSync(join(slot, 'converted.gguf'), 'of the candidate before'),
      () => truncateSync(weights, 100),
      () => rmSync(weights),
      () => rmSync(join(slot, 'config.json')),
      () => rmSync(slot, { recursive: true }),
    ];
    await merger.merge([1, 1, 1]);
    for (const [index, damage] of damages.entries()) {
      damage();
      const coefficients = [index / 10, 0.5, 0.2];
      await merger.merge(coefficients);
      expect(readdirSync(slot).sort()).toEqual(['config.json', 'model.safetensors']);
      expect(weightsIn(slot)).toEqual(await merged(opened, coefficients));
    }
    await merger.close();
  });

  test('a merge that was stopped leaves nothing behind in the next one', async () => {
    for (const recipe of ['merge_method: task_arithmetic', STUDIES['star, made of matrices']?.recipe ?? '']) {
      const opened = await openStudy({ recipe });
      const slot = freshFolder();
      const merger = createCandidateMerger({ ...opened, folder: slot, pool });
      await merger.merge([0.5, 0.5, 0.5]);
      const stop = new AbortController();
      const stopped = merger.merge([1, 0.2, 0.3], stop.signal);
      stop.abort(new Error('enough'));
      await expectError('INTERRUPTED', () => stopped);
      await merger.merge([0.9, 0.2, 0.3]);
      expect(weightsIn(slot)).toEqual(await merged(opened, [0.9, 0.2, 0.3]));
      await merger.close();
    }
  });

  test('coefficients that the rule cannot take are refused, and the next candidate is whole', async () => {
    const opened = await openStudy({ recipe: 'merge_method: task_arithmetic\nparameters: {normalize: true}' });
    const slot = freshFolder();
    const merger = createCandidateMerger({ ...opened, folder: slot, pool });
    await expectError('RECIPE_INVALID', () => merger.merge([1, -1, 0]));
    await expectError('INTERNAL', () => merger.merge([1, 1]));
    await merger.merge([1, 2, 3]);
    expect(weightsIn(slot)).toEqual(await merged(opened, [1, 2, 3]));
    await merger.close();
  });
});
