/**
 * Whatever came before (other candidates, merges that were stopped, files that an evaluator damaged), the folder of a candidate holds what a merge
 * of its own makes, for random models, rules and coefficients.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { createCandidateMerger } from '../../shared/merge/candidate-merger.js';
import { planMerge } from '../../shared/merge/plan.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { candidateRecipe, studySpecOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { startPool, type WorkerPool } from '../../shared/workers/pool.js';
import { toTensors } from '../support/merge-fixture.js';
import { type Kind, randomModels } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const folder = tempDir();
const NAMES = ['a', 'b', 'c'];
let pool: WorkerPool;
beforeAll(() => {
  pool = startPool(2);
});
afterAll(() => pool.close());

const RECIPES = [
  'merge_method: task_arithmetic',
  'merge_method: task_arithmetic\nparameters: {normalize: true, lambda: 0.7}',
  'merge_method: linear',
  'merge_method: ties\nparameters: {density: 0.5}',
  'merge_method: dare_linear\nparameters: {density: 0.4}\nseed: 11',
  'merge_method: della\nparameters: {density: 0.5, epsilon: 0.1}\nseed: 2',
  'merge_method: breadcrumbs_ties\nparameters: {density: 0.6, gamma: 0.1}',
  'merge_method: multislerp',
];

/** Steps that leave the folder in a state of their own. */
type Step =
  | { readonly kind: 'merge' | 'stopped'; readonly coefficients: readonly number[] }
  | { readonly kind: 'stranger' | 'cut' | 'gone' };

const coefficient = fc.oneof(fc.constantFrom(0, 1, 1 / 3), fc.double({ min: 0.05, max: 1, noNaN: true }));
const coefficients = fc.array(coefficient, { minLength: NAMES.length, maxLength: NAMES.length });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('merge' as const), coefficients }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stopped' as const), coefficients }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('stranger' as const, 'cut' as const, 'gone' as const) }) },
);

test('a candidate is what a merge of its own makes, whatever came before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...RECIPES),
      fc.constantFrom<Kind>('grid', 'wide').chain((kind) => randomModels({ kind, count: NAMES.length })),
      fc.array(step, { minLength: 1, maxLength: 6 }),
      async (text, models, steps) => {
        const root = mkdtempSync(join(folder, 'run-'));
        const open = async (name: string, model: typeof models.base) =>
          (await openCheckpoint(writeCheckpoint(join(root, name), toTensors(model)))).tensors;
        const base = { name: 'base', tensors: await open('base', models.base) };
        const inputs: MergeInput[] = [];
        for (const [index, name] of NAMES.entries())
          inputs.push({ name, kind: 'full', tensors: await open(name, models.models[index] ?? {}), weightsDigest: name });
        const recipe = parseRecipe(`${text}\nmap: {tasks: {one: {metric: accuracy}}}`, { fileName: 'recipe' });
        const { dimensions } = studySpecOf(recipe, NAMES);
        const slot = join(root, 'slot');
        const weights = join(slot, 'model.safetensors');
        const merger = createCandidateMerger({ base, inputs, recipe, dimensions, folder: slot, pool });
        const wantedOf = async (at: readonly number[]): Promise<Buffer> => {
          const outputDir = mkdtempSync(join(root, 'own-'));
          const plan = planMerge({ recipe: candidateRecipe(recipe, dimensions, at), base, inputs, inRound: true });
          await runMerge(plan, { outputDir, pool, durable: false });
          return readFileSync(join(outputDir, 'model.safetensors'));
        };
        let made = false;
        for (const one of steps) {
          if (one.kind === 'merge') {
            await merger.merge(one.coefficients);
            made = true;
            expect(Buffer.compare(readFileSync(weights), await wantedOf(one.coefficients))).toBe(0);
          } else if (one.kind === 'stopped') {
            const stop = new AbortController();
            const stopped = merger.merge(one.coefficients, stop.signal);
            stop.abort();
            await stopped.catch(() => undefined);
          } else if (made && one.kind === 'stranger') writeFileSync(join(slot, 'cache.bin'), 'x');
          else if (made && one.kind === 'cut') truncateSync(weights, 9);
          else if (made) rmSync(slot, { recursive: true, force: true });
          made &&= one.kind === 'merge' || one.kind === 'stranger';
        }
        await merger.close();
        rmSync(root, { recursive: true });
      },
    ),
    { numRuns: 60 },
  );
}, 120_000);
