/**
 * Rules that need statistics of rows, of columns or of whole models, on tensors of several units and odd lengths: the slow references'
 * numbers, and the same bytes for any number of threads.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import type { Model } from '../support/merge-fixture.js';
import { mergeWritten, type OfflineModel, writeCase } from '../support/offline-merge.js';
import { REFERENCE_RULES, type ReferenceRuleName } from '../support/reference/rules.js';
import type { ReferenceModel } from '../support/reference/vectors.js';
import { decode, encode } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';
import '../support/tell-in-time.js';

const root = tempDir();
const pools = [1, 3].map((threads) => startPool(threads));
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'model.embed.weight': [701, 299],
  'model.layers.0.conv': [9, 5, 7],
  'model.layers.0.narrow': [4099, 1],
  'model.layers.1.wide': [3, 70_001],
  'model.layers.1.bias': [71],
  'model.norm': [1],
};

type DType = 'F32' | 'BF16';

/** Numbers that differ from tensor to tensor; those of equal `shared` have a part in common. */
function model(dtype: DType, seed: number, size: number): Model {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const count = shape.reduce((product, one) => product * one, 1);
      return [name, { dtype, shape, values: Array.from({ length: count }, () => size * next() * (1 + 4 * next() ** 2)) }];
    }),
  );
}

/** As stored, so that the references see the same numbers. */
function stored(one: Model): ReferenceModel {
  return new Map(
    Object.entries(one).map(([name, tensor]) => {
      if (!('values' in tensor)) throw new Error('values are wanted');
      const { dtype, shape = [], values = [] } = tensor;
      return [name, { shape, values: Float64Array.from(values, (value) => decode(dtype, encode(dtype, value))) }];
    }),
  );
}

function added(a: Model, b: Model): Model {
  return Object.fromEntries(
    Object.entries(a).map(([name, tensor]) => {
      const other = b[name];
      if (!('values' in tensor) || other === undefined || !('values' in other)) throw new Error('values are wanted');
      return [name, { ...tensor, values: (tensor.values ?? []).map((value, index) => value + (other.values?.[index] ?? 0)) }];
    }),
  );
}

interface RuleCase {
  readonly rule: ReferenceRuleName;
  readonly parameters?: Readonly<Record<string, number | boolean | string>>;
  readonly inputs: number;
  readonly base: boolean;
  readonly weights?: readonly number[];
}

const CASES: readonly RuleCase[] = [
  { rule: 'nuslerp', parameters: { nuslerp_flatten: false, nuslerp_row_wise: true }, inputs: 2, base: false, weights: [0.3, 0.6] },
  { rule: 'nuslerp', parameters: { nuslerp_flatten: false, nuslerp_row_wise: true }, inputs: 2, base: true, weights: [1, 2] },
  { rule: 'arcee_fusion', inputs: 1, base: true },
  { rule: 'pcb', inputs: 3, base: true },
  { rule: 'pcb', parameters: { ratio: 0.7, lambda: 1.2 }, inputs: 2, base: true },
];

/** Share of the elements that may be on the other side of a threshold, whose key is a number of 32 bits. */
const FLIPS = 2e-5;
const TOLERANCE: Readonly<Record<DType, number>> = { F32: 1e-6, BF16: 2 ** -7 };

describe.each(['F32', 'BF16'] as const)('rules of rows, columns and whole models: %s', (dtype) => {
  it.each(CASES.map((one) => ({ ...one, name: `${one.rule} ${JSON.stringify(one.parameters ?? {})}${one.base ? ' with a base' : ''}` })))(
    '$name',
    async ({ rule, parameters = {}, inputs, base, weights }) => {
      const from = model(dtype, 1, 1);
      const models = Array.from({ length: inputs }, (_, index) => added(from, model(dtype, index + 2, 0.1 * (index + 1))));
      const offline = models.map(
        (tensors, index): OfflineModel => ({ tensors, ...(weights === undefined ? {} : { parameters: { weight: weights[index] ?? 1 } }) }),
      );
      const written = writeCase(root, { recipe: `merge_method: ${rule}`, parameters, base: base ? from : undefined, models: offline });
      const [merged, again] = await Promise.all(pools.map((pool) => mergeWritten(written, { pool })));
      expect(Buffer.compare(merged?.fileBytes ?? Buffer.alloc(0), again?.fileBytes ?? Buffer.alloc(1))).toBe(0);
      const expected = REFERENCE_RULES[rule]({
        ...(base ? { base: stored(from) } : {}),
        inputs: models.map((tensors, index) => ({
          name: `${index}`,
          tensors: stored(tensors),
          ...(weights === undefined ? {} : { weight: weights[index] ?? 1 }),
        })),
        parameters,
      });
      for (const [name, { values }] of expected) {
        const found = merged?.values(name) ?? [];
        expect(found.length).toBe(values.length);
        let beyond = 0;
        values.forEach((value, index) => {
          if (!(Math.abs(value - (found[index] ?? Number.NaN)) <= TOLERANCE[dtype] * Math.max(0.05, Math.abs(value)))) beyond += 1;
        });
        expect(beyond / values.length, `${name}: ${beyond} of ${values.length}`).toBeLessThanOrEqual(FLIPS);
      }
    },
  );
});
