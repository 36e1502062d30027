/**
 * Every deterministic rule on tensors of several statistics units (65,536 elements): the reference's numbers, and the same bytes for any number
 * of threads and any tile size.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { largeModels } from '../support/random-models.js';
import { referenceMerge } from '../support/reference/rules.js';
import { type Beside, nameOf, RULE_CASES } from '../support/rule-cases.js';
import { disagreements, type Run, toCase, toRequest } from '../support/rule-runs.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pools = [1, 3, 8].map((threads) => startPool(threads));
const [single = startPool(1), three = single, eight = single] = pools;
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

const SEED = 20_260;

const modelsOf = new Map([1, 2, 3, 4, 5].map((count) => [count, largeModels(count, SEED)]));

describe.each(RULE_CASES.map((rule, index) => [nameOf(rule), rule, index] as const))('%s', (_name, rule, index) => {
  const count = Math.min(rule.counts[1], Math.max(rule.counts[0], 3));
  const pick = <Value>(values: fc.Arbitrary<Value>, number: number): Value[] => fc.sample(values, { numRuns: number, seed: SEED + index });
  const run: Run = {
    kind: 'wide',
    models: modelsOf.get(count) ?? largeModels(count, SEED),
    parameters: pick(rule.parameters, 1)[0] ?? {},
    beside: pick(rule.beside ?? fc.constant<Beside>({}), count).map((one) =>
      'weight' in one ? { ...one, weight: Math.abs(one['weight'] ?? 1) } : one,
    ),
    facts: pick(fc.integer({ min: 1, max: 1000 }), count),
  };

  it(`${JSON.stringify(run.parameters)}`, async () => {
    const written = writeCase(root, toCase(rule, run));
    const merged = await mergeWritten(written, { pool: single });
    const request = toRequest(rule, run);
    expect(disagreements(rule, request, referenceMerge(rule.rule, request), merged, 'wide').slice(0, 5)).toEqual([]);
    for (const [pool, tileElements] of [
      [three, 999],
      [eight, 4_096],
      [single, 60_000],
    ] as const) {
      const other = await mergeWritten(written, { pool, tileElements });
      expect(Buffer.compare(other.fileBytes, merged.fileBytes), `${tileElements} elements a tile`).toBe(0);
    }
  });
});
