/**
 * The engine against the slow reference of every deterministic rule, over random small models of mixed dtypes and shapes, and the identities
 * that each rule owes. A failure prints fast-check's seed; rule, parameters and models follow from it.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { type RandomModels, randomModels, toReference } from '../support/random-models.js';
import { differences } from '../support/reference/compare.js';
import { referenceMerge } from '../support/reference/rules.js';
import type { ReferenceModel } from '../support/reference/vectors.js';
import { type Beside, nameOf, RULE_CASES, type RuleCase } from '../support/rule-cases.js';
import { disagreements, type Run, randomRun, reordered, toCase, toRequest } from '../support/rule-runs.js';
import { tempDir } from '../support/temp-dir.js';
import '../support/tell-in-time.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

const merge = (rule: RuleCase, run: Run) => mergeWritten(writeCase(root, toCase(rule, run)), { pool });

/** Undefined where the rule has no result, such as a mean of directions that cancel. */
function expected(rule: RuleCase, run: Run): ReferenceModel | undefined {
  try {
    return referenceMerge(rule.rule, toRequest(rule, run));
  } catch {
    return undefined;
  }
}

/** @param as the run whose result is expected, if another than the one merged */
async function expectReference(rule: RuleCase, run: Run, as: Run = run): Promise<void> {
  const right = expected(rule, as);
  if (right === undefined) await expect(merge(rule, run)).rejects.toThrow();
  else expect(disagreements(rule, toRequest(rule, as), right, await merge(rule, run), run.kind).slice(0, 5)).toEqual([]);
}

const named = (rules: readonly RuleCase[]) => rules.map((rule) => [nameOf(rule), rule] as const);

describe('gives what its reference gives', () => {
  it.each(named(RULE_CASES).flatMap(([name, rule]) => rule.kinds.map((kind) => [name, kind, rule] as const)))(
    '%s, %s numbers',
    async (_name, kind, rule) => {
      await fc.assert(
        fc.asyncProperty(randomRun(rule, kind), (run) => expectReference(rule, run)),
        { numRuns: 12 },
      );
    },
  );
});

describe('gives a model back for copies of it', () => {
  it.each(named(RULE_CASES.filter((rule) => rule.copies !== undefined)))('%s', async (_name, rule) => {
    const { parameters = {}, beside = {} } = rule.copies ?? {};
    const [fewest, most] = rule.counts;
    await fc.assert(
      fc.asyncProperty(
        randomModels({ kind: 'wide', count: 1 }),
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: fewest, maxLength: most }),
        async ({ base, models: [model = base] }, facts) => {
          const run: Run = {
            kind: 'wide',
            models: { base, models: facts.map(() => model) },
            parameters,
            beside: facts.map((): Beside => beside),
            facts,
          };
          const same = toReference(model);
          const merged = await merge(rule, run);
          expect(differences(merged, same, [same, toReference(base)], rule.amplify * facts.length).slice(0, 5)).toEqual([]);
        },
      ),
      { numRuns: 6 },
    );
  });
});

describe('does not depend on the order of the models', () => {
  it.each(named(RULE_CASES.filter((rule) => rule.symmetric && rule.counts[1] > 1)))('%s', async (_name, rule) => {
    await fc.assert(
      fc.asyncProperty(
        randomRun(rule, 'wide').chain((run) => {
          const order = run.models.models.map((_, index) => index);
          return fc.tuple(fc.constant(run), fc.shuffledSubarray(order, { minLength: order.length, maxLength: order.length }));
        }),
        ([run, order]) => expectReference(rule, reordered(run, order), run),
      ),
      { numRuns: 6 },
    );
  });
});

function timesPowerOfTwo({ base, models }: RandomModels, exponent: number): RandomModels {
  const scale = (model: RandomModels['base'], factor: number): RandomModels['base'] =>
    Object.fromEntries(
      Object.entries(model).map(([name, tensor]) => {
        if ('bytes' in tensor) throw new Error('a tensor of bytes has no numbers');
        const { dtype, shape = [], values = [] } = tensor;
        return [name, { dtype, shape, values: values.map((value) => value * factor) }];
      }),
    );
  return { base: scale(base, 0), models: models.map((model) => scale(model, 2 ** exponent)) };
}

describe('scales with the task vectors, bit for bit', () => {
  it.each(named(RULE_CASES.filter((rule) => rule.homogeneous)))('%s', async (_name, rule) => {
    await fc.assert(
      fc.asyncProperty(
        randomRun(rule, 'wide').chain((run) =>
          fc.tuple(fc.constant(run), randomModels({ kind: 'wide', count: run.models.models.length, dtype: 'F32' })),
        ),
        fc.integer({ min: -8, max: 8 }).filter((exponent) => exponent !== 0),
        async ([run, models], exponent) => {
          const scaled = (by: number) => merge(rule, { ...run, models: timesPowerOfTwo(models, by) });
          const [plain, times] = [await scaled(0), await scaled(exponent)];
          for (const name of plain.names()) expect(times.values(name)).toEqual(plain.values(name).map((value) => value * 2 ** exponent));
        },
      ),
      { numRuns: 5 },
    );
  });
});
