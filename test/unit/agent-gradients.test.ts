/** Closed-form derivatives of a candidate's weights, held against differences of merged candidates: sums are linear, so these are exact but for rounding. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradientSource } from '../../client/agent/gradient-source.js';
import type { LocalInputs } from '../../client/agent/open-study.js';
import { openAdapter } from '../../shared/formats/adapter.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { compileKernels, instantiateKernels, type Kernels } from '../../shared/kernels/kernels.js';
import { createCandidateMerger } from '../../shared/merge/candidate-merger.js';
import { roundInput } from '../../shared/merge/contributions.js';
import { readValues } from '../../shared/merge/read-values.js';
import { studySpecOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { startPool, type WorkerPool } from '../../shared/workers/pool.js';
import { SHAPES, tinyFederation } from '../support/agent-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
let kernels: Kernels;
let pool: WorkerPool;
beforeAll(async () => {
  kernels = instantiateKernels(await compileKernels());
  pool = startPool(1);
});
afterAll(() => pool.close());

async function open(recipe: string, map: string): Promise<LocalInputs> {
  const { models } = tinyFederation(mkdtempSync(join(root, 'federation-')), { recipe: 'merge_method: task_arithmetic' });
  const parsed = parseRecipe(`${recipe}\nmap:\n  tasks: {legal: {metric: accuracy}}\n${map}`, { fileName: 'recipe' });
  const baseFolder = models.get('base')?.folder ?? '';
  const base = { name: 'base', tensors: (await openCheckpoint(baseFolder)).tensors };
  const names = ['alice', 'bob', 'carol'];
  const inputs = [];
  for (const contributor of names) {
    const { folder = '', kind = 'full' } = models.get(`rounds/spring/${contributor}`) ?? {};
    const opened = kind === 'lora' ? await openAdapter(folder) : { ...(await openCheckpoint(folder)), configBytes: new Uint8Array(0) };
    inputs.push(
      roundInput(parsed, base, {
        contributor,
        kind,
        tensors: opened.tensors,
        adapterConfig: opened.configBytes,
        weightsDigest: contributor,
      }),
    );
  }
  return { recipe: parsed, dimensions: studySpecOf(parsed, names).dimensions, base, baseFolder, inputs, sidecars: [], numHiddenLayers: 2 };
}

async function candidate(local: LocalInputs, coefficients: readonly number[]): Promise<Map<string, Float32Array>> {
  const folder = mkdtempSync(join(root, 'candidate-'));
  const merger = createCandidateMerger({ ...local, folder, pool });
  await merger.merge(coefficients);
  const { tensors } = await openCheckpoint(folder);
  const values = new Map([...tensors].map(([name, tensor]) => [name, readValues(kernels, tensor)]));
  await merger.close();
  return values;
}

async function expectDerivatives(local: LocalInputs, at: readonly number[]): Promise<void> {
  const source = gradientSource({ round: 'spring', local }, at);
  expect(source?.dimensions).toBe(local.dimensions.length);
  for (const [dimension] of local.dimensions.entries()) {
    const moved = await candidate(
      local,
      at.map((value, index) => value + (index === dimension ? 0.5 : 0)),
    );
    const back = await candidate(
      local,
      at.map((value, index) => value - (index === dimension ? 0.5 : 0)),
    );
    for (const name of Object.keys(SHAPES)) {
      const derivative = await source?.derivative(dimension, name);
      const wanted = moved.get(name)?.map((value, index) => value - (back.get(name)?.[index] ?? Number.NaN)) ?? new Float32Array(0);
      expect(derivative).toHaveLength(wanted.length);
      derivative?.forEach((value, index) =>
        expect(Math.abs(value - (wanted[index] ?? 0)), `${dimension} ${name} ${index}`).toBeLessThan(2e-6),
      );
      if (name.includes('mlp'))
        expect(derivative?.some((value) => Math.abs(value) > 0.01) || wanted.every((value) => Math.abs(value) < 1e-6)).toBe(true);
    }
  }
}

describe('derivatives by the coefficients', () => {
  test('of a sum with a lambda of its own', async () => {
    const local = await open('merge_method: task_arithmetic\nparameters: {lambda: 0.7}', '');
    await expectDerivatives(local, [0.3, 0.6, 0.2]);
    await expectDerivatives(local, [0, 0, 0]);
  });

  test('of layer groups, by the share that a layer has of each anchor', async () => {
    await expectDerivatives(
      await open('merge_method: task_arithmetic', '  coefficients: {layer_groups: 3}'),
      [0.1, 0.5, 0.9, 0.3, 0.2, 0.4, 0.8, 0.6, 0.7],
    );
  });

  test('by lambda beside the weights', async () => {
    await expectDerivatives(await open('merge_method: task_arithmetic', '  parameters: {lambda: [0.1, 2]}'), [0.3, 0.6, 0.2, 1.1]);
  });

  test('are not claimed of rules that are not linear, nor of served candidates', async () => {
    const at = [0.3, 0.6, 0.2];
    for (const recipe of [
      'merge_method: ties\nparameters: {density: 0.5}',
      'merge_method: linear',
      'merge_method: dare_linear\nparameters: {density: 0.5}',
    ])
      expect(gradientSource({ round: 'spring', local: await open(recipe, '') }, at)).toBeUndefined();
    const mean = await open('merge_method: task_arithmetic\nparameters: {normalize: true}', '');
    expect(await gradientSource({ round: 'spring', local: mean }, at)?.derivative(0, 'model.embed.weight')).toBeUndefined();
    expect(gradientSource({ round: 'spring', local: undefined }, at)).toBeUndefined();
  });

  test('are not there of what does not exist', async () => {
    const source = gradientSource({ round: 'spring', local: await open('merge_method: task_arithmetic', '') }, [1, 1, 1]);
    expect(await source?.derivative(3, 'model.embed.weight')).toBeUndefined();
    expect(await source?.derivative(0, 'no.such.weight')).toBeUndefined();
  });
});
