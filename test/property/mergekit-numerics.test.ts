/**
 * `numerics: mergekit`: the reference with a rounding after every operation and mergekit's quirks, bit for bit, for the rules whose result
 * depends on no long sum. (test/golden/mergekit holds the same to mergekit's own outputs.)
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { startPool } from '../../shared/workers/pool.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { randomModels } from '../support/random-models.js';
import { referenceMerge } from '../support/reference/rules.js';
import type { ReferenceModel } from '../support/reference/vectors.js';
import type { Parameters, RuleCase } from '../support/rule-cases.js';
import { type Run, toCase, toRequest } from '../support/rule-runs.js';
import { decode, encode } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

type Choices = Record<string, readonly (number | boolean)[]>;
const COMMON: Choices = { lambda: [1, 0.3, 0.9, 1.5], normalize: [true, false] };
const DENSITY: Choices = { density: [0.3, 0.5, 0.7, 1] };
const RULES: readonly (readonly [rule: RuleCase['rule'], parameters: Choices])[] = [
  ['linear', { normalize: [true, false] }],
  ['task_arithmetic', COMMON],
  ['ties', { ...COMMON, ...DENSITY }],
  ['breadcrumbs', { ...COMMON, ...DENSITY, gamma: [0, 0.01, 0.1, 0.2] }],
  ['breadcrumbs_ties', { ...COMMON, ...DENSITY, gamma: [0, 0.1] }],
];

const choose = (choices: Choices): fc.Arbitrary<Parameters> =>
  fc.record(Object.fromEntries(Object.entries(choices).map(([name, values]) => [name, fc.constantFrom(...values)])));

/** Undefined where mergekit stops with an error. */
function outcome(make: () => ReferenceModel): ReferenceModel | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

describe('rounds where mergekit rounds', () => {
  it.each(RULES)('%s', async (name, choices) => {
    const rule: RuleCase = {
      rule: name,
      counts: [1, 4],
      base: name !== 'linear',
      kinds: [],
      parameters: choose(choices),
      symmetric: false,
      homogeneous: false,
      amplify: 1,
    };
    const runs = fc
      .record({
        dtype: fc.constantFrom('F32' as const, 'BF16' as const, 'F16' as const),
        kind: fc.constantFrom('grid' as const, 'wide' as const),
      })
      .chain(({ dtype, kind }) =>
        fc.tuple(
          fc.constant(dtype),
          fc.integer({ min: 1, max: 4 }).chain((count) =>
            fc.record({
              kind: fc.constant(kind),
              models: randomModels({ kind, count, dtype }),
              parameters: rule.parameters,
              beside: fc.array(fc.record({ weight: fc.constantFrom(0.3, 0.5, 0.9, 1, 1.7) }), { minLength: count, maxLength: count }),
              facts: fc.constant([]),
            }),
          ),
        ),
      );
    await fc.assert(
      fc.asyncProperty(runs, async ([dtype, run]: [MergeDType, Run]) => {
        const one = toCase(rule, run);
        const merge = () => mergeWritten(writeCase(root, { ...one, recipe: `${one.recipe}\nnumerics: mergekit` }), { pool });
        const request = { ...toRequest(rule, run), arithmetic: dtype, quirks: 'mergekit' as const };
        const expected = outcome(() => referenceMerge(name, request));
        if (expected === undefined) {
          await expect(merge()).rejects.toThrow();
          return;
        }
        const merged = await merge();
        for (const [tensor, { values }] of expected)
          expect(merged.values(tensor)).toEqual([...values].map((value) => decode(dtype, encode(dtype, value))));
      }),
      { numRuns: 25 },
    );
  });
});
