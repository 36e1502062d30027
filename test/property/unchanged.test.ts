/** Tensors that are the base's own are not read where their vectors are zero: the results are those of reading them, to the last bit. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openModels } from '../../client/merge/open-models.js';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import type { StoredTensor, TensorMap } from '../../shared/formats/tensor.js';
import { planMerge } from '../../shared/merge/plan.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput, MergePlan } from '../../shared/merge/types.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { startPool } from '../../shared/workers/pool.js';
import type { Model } from '../support/merge-fixture.js';
import { writeCase } from '../support/offline-merge.js';
import { nameOf, RULE_CASES, type RuleCase } from '../support/rule-cases.js';
import { type Run, randomRun, toCase } from '../support/rule-runs.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(1, { callerHelps: true });
afterAll(() => pool.close());

/** The run with some tensors of some models taken from the base; bits of `same` say which. */
function withSame(run: Run, same: number): { run: Run; isSame: (model: number, tensor: string) => boolean } {
  const { base } = run.models;
  const names = Object.keys(base);
  const isSame = (model: number, tensor: string): boolean => ((same >> ((model * names.length + names.indexOf(tensor)) % 20)) & 1) === 1;
  const models = run.models.models.map(
    (model, index): Model =>
      Object.fromEntries(Object.entries(model).map(([name, tensor]) => [name, isSame(index, name) ? (base[name] ?? tensor) : tensor])),
  );
  return { run: { ...run, models: { base, models } }, isSame };
}

let merges = 0;

/** The bytes of the result, or the code of the error. */
async function outcome(plan: () => MergePlan): Promise<Buffer | string> {
  merges += 1;
  const outputDir = join(root, `out-${merges}`);
  try {
    await runMerge(plan(), { outputDir, pool, durable: false });
    return readFileSync(join(outputDir, 'model.safetensors'));
  } catch (error) {
    return toTributaryError(error).code;
  }
}

async function compare(rule: RuleCase, random: Run, same: number): Promise<void> {
  const { run, isSame } = withSame(random, same);
  const { recipeText } = writeCase(root, toCase(rule, run));
  const recipe = parseRecipe(recipeText, { fileName: 'recipe.yml' });
  const { base, inputs, models } = await openModels(recipe);
  const taken = inputs.map((input, index): MergeInput => {
    const tensors: TensorMap = new Map(
      [...input.tensors].map(([name, tensor]): [string, StoredTensor] => [
        name,
        isSame(index, name) ? (base?.tensors.get(name) ?? tensor) : tensor,
      ]),
    );
    return { ...input, tensors };
  });
  const slow = await outcome(() => planMerge({ recipe, base, inputs, models }));
  const fast = await outcome(() => planMerge({ recipe, base, inputs: taken, models }));
  if (typeof slow === 'string' || typeof fast === 'string') expect(fast).toBe(slow);
  else expect(Buffer.compare(fast, slow)).toBe(0);
}

describe('tensors of the base among those of models', () => {
  it.each(RULE_CASES.filter((rule) => rule.base).map((rule) => [nameOf(rule), rule] as const))('%s', async (_, rule) => {
    const runs = fc.constantFrom(...rule.kinds).chain((kind) => randomRun(rule, kind));
    const same = fc.oneof(fc.integer({ min: 0, max: 2 ** 20 - 1 }), fc.constant(2 ** 20 - 1));
    await fc.assert(
      fc.asyncProperty(runs, same, (run, bits) => compare(rule, run, bits)),
      { numRuns: 8 },
    );
  });
});
