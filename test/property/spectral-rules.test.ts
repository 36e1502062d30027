/**
 * Steps on whole matrices through recipes: STAR in front of a rule is that rule on models whose task vectors were truncated by the definition;
 * a combination of matrices is the definition on layers and the mean elsewhere. A failure prints fast-check's seed.
 */
import fc from 'fast-check';
import { Matrix } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import { fastestEngine as engine } from '../support/engine-choices.js';
import type { Model } from '../support/merge-fixture.js';
import { mergeWritten, type OfflineModel, writeCase } from '../support/offline-merge.js';
import { type RandomModels, randomModels, toReference } from '../support/random-models.js';
import { type ReferenceRuleName, referenceMerge } from '../support/reference/rules.js';
import { isoC, knotsTies, singularValues, star, tsvM, wudi } from '../support/reference/spectral.js';
import type { ReferenceParameter } from '../support/reference/types.js';
import type { ReferenceModel } from '../support/reference/vectors.js';
import { tempDir } from '../support/temp-dir.js';
import '../support/tell-in-time.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

type Tensor = ReferenceModel extends ReadonlyMap<string, infer T> ? T : never;

const isMatrix = (name: string, { shape }: Tensor): boolean => {
  const [rows = 0, ...rest] = shape;
  return name.startsWith('layers.') && rest.length > 0 && rows > 1 && rest.reduce((product, size) => product * size, 1) > 1;
};

const difference = (tensor: Tensor, base: Tensor): Matrix =>
  Matrix.from1DArray(
    tensor.shape[0] ?? 1,
    tensor.values.length / (tensor.shape[0] ?? 1),
    Array.from(tensor.values, (value, index) => value - (base.values[index] ?? 0)),
  );

/** The model with matrices of its task vector replaced. */
function withMatrices(model: ReferenceModel, base: ReferenceModel, change: (matrix: Matrix) => Matrix): ReferenceModel {
  return new Map(
    [...model].map(([name, tensor]) => {
      const from = base.get(name);
      if (from === undefined || !isMatrix(name, tensor)) return [name, tensor];
      const changed = change(difference(tensor, from)).to1DArray();
      return [name, { ...tensor, values: Float64Array.from(changed, (value, index) => value + (from.values[index] ?? 0)) }];
    }),
  );
}

/** Whether a cut would fall between values that rounding may swap, or on the border of the share. */
function isNear(matrix: Matrix, eta: number): boolean {
  const values = singularValues(matrix);
  const all = values.reduce((sum, value) => sum + value, 0);
  if (all === 0) return false;
  let kept = 0;
  return values.some((value, index) => {
    kept += value;
    const crosses = Math.abs(kept - (eta / 100) * all) < 1e-5 * all;
    return crosses || value - (values[index + 1] ?? -1) < 1e-4 * (values[0] ?? 0);
  });
}

function worst(found: (name: string) => readonly number[], expected: ReferenceModel): number {
  let largest = 0;
  for (const [name, { values }] of expected) {
    const own = found(name);
    const scale = Math.max(1, ...values.map(Math.abs));
    values.forEach((value, index) => (largest = Math.max(largest, Math.abs((own[index] ?? Number.NaN) - value) / scale)));
  }
  return largest;
}

/** Undefined where the rule has no result: a norm of zero to divide by. */
function resultOf(merge: () => ReferenceModel): ReferenceModel | undefined {
  try {
    return merge();
  } catch {
    return undefined;
  }
}

const RULES: readonly [ReferenceRuleName, Readonly<Record<string, ReferenceParameter>>, Readonly<Record<string, number>>][] = [
  ['task_arithmetic', { lambda: 0.5 }, { weight: 0.5 }],
  ['fedavg', {}, { samples: 3 }],
  ['median', { lambda: 1.5 }, {}],
  ['trimmed_mean', { trim: 0.3 }, {}],
  ['nan', { norm: 'task_vector' }, {}],
  ['nan', { norm: 'task_vector', per: 'tensor' }, {}],
  ['metagpt', {}, {}],
  ['cclip', { rho: 1.5 }, {}],
  ['geometric_median', { iterations: 5, tol: 0 }, {}],
  ['ties', { density: 1 }, { weight: 1 }],
];

const usable = (models: RandomModels, eta: number): boolean => {
  const base = toReference(models.base);
  return models.models.every((model) =>
    [...toReference(model)].every(
      ([name, tensor]) => !isMatrix(name, tensor) || !isNear(difference(tensor, base.get(name) as Tensor), eta),
    ),
  );
};

const etas = fc.constantFrom(20, 40, 55, 90);
const drawn = (count: number) =>
  fc.record({ models: randomModels({ kind: 'wide', count, dtype: 'F32' }), eta: etas }).filter(({ models, eta }) => usable(models, eta));

describe('star in front of a rule', () => {
  it.each(RULES)('%s %o', async (rule, parameters, beside) => {
    await fc.assert(
      fc.asyncProperty(drawn(4), async ({ models, eta }) => {
        const base = toReference(models.base);
        const inputs = models.models.map((model, index) => ({
          name: `model ${index}`,
          tensors: withMatrices(toReference(model), base, (matrix) => star(matrix, eta)),
          ...beside,
        }));
        const right = resultOf(() => referenceMerge(rule, { inputs, parameters, base, depth: () => undefined }));
        const written = writeCase(root, {
          recipe: `merge_method: ${rule}\nrefine: [{star: {eta: ${eta}}}]`,
          parameters,
          base: models.base,
          models: models.models.map(
            (tensors): OfflineModel => ('weight' in beside ? { tensors, parameters: beside } : { tensors, ...beside }),
          ),
        });
        if (right === undefined) {
          await expect(mergeWritten(written, { pool, engine })).rejects.toThrow();
          return;
        }
        const merged = await mergeWritten(written, { pool, engine });
        expect(worst((name) => merged.values(name), right)).toBeLessThan(rule === 'geometric_median' ? 1e-4 : 2e-5);
      }),
      // The sign that is elected turns on sums near zero, which arithmetic decides: the draws are those that have none.
      { numRuns: 8, ...(rule === 'ties' ? { seed: 1 } : {}) },
    );
  });
});

const COMBINES: readonly [string, (tasks: readonly Matrix[]) => Matrix][] = [
  ['tsv_m', tsvM],
  ['iso_c', (tasks) => isoC(tasks.reduce((sum, task) => Matrix.add(sum, task)))],
  ['wudi', wudi],
  ['knots_ties', (tasks) => knotsTies(tasks, Number.POSITIVE_INFINITY, 1e-5)],
];

describe('a combination of matrices', () => {
  it.each(COMBINES)('%s', async (rule, combine) => {
    await fc.assert(
      fc.asyncProperty(drawn(2), async ({ models }) => {
        const base = toReference(models.base);
        const inputs = models.models.map(toReference);
        const right = new Map(
          [...base].map(([name, from]) => {
            const tensors = inputs.map((input) => input.get(name) as Tensor);
            const vectors = tensors.map((tensor) => difference(tensor, from));
            const mean = vectors.reduce((sum, one) => Matrix.add(sum, one)).mul(1 / vectors.length);
            const merged = isMatrix(name, from) ? combine(vectors) : mean;
            return [name, { ...from, values: Float64Array.from(merged.to1DArray(), (value, index) => value + (from.values[index] ?? 0)) }];
          }),
        );
        const written = writeCase(root, {
          recipe: `merge_method: ${rule}`,
          parameters: rule === 'knots_ties' ? { density: 1 } : {},
          base: models.base,
          models: models.models.map((tensors: Model) => ({ tensors })),
        });
        const merged = await mergeWritten(written, { pool, engine });
        expect(worst((name) => merged.values(name), right)).toBeLessThan(1e-4);
      }),
      { numRuns: 12 },
    );
  });
});
