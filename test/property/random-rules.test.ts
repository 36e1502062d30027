/**
 * DARE and DELLA: what is kept, how often, what it depends on and what it does not, and the exact result given what is kept. Statistics are
 * held to five standard deviations. What a model keeps is read off a merge of that model alone.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { startPool } from '../../shared/workers/pool.js';
import type { Model } from '../support/merge-fixture.js';
import { mergeFolders, writeModels } from '../support/offline-merge.js';
import { stream, toReference } from '../support/random-models.js';
import { differences } from '../support/reference/compare.js';
import { type ReferenceRuleName, referenceMerge } from '../support/reference/rules.js';
import { dellaProbabilities } from '../support/reference/selection.js';
import { at, elementsOf, minus, sum, type Vector } from '../support/reference/vectors.js';
import { tempDir } from '../support/temp-dir.js';
import '../support/tell-in-time.js';

const root = tempDir();
const pools = [1, 3, 8].map((threads) => startPool(threads));
const [pool = startPool(1)] = pools;
afterAll(() => Promise.all(pools.map((one) => one.close())));

/** More than a statistics unit, an odd matrix, a convolution of 8 input channels, a vector. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed.weight': [1095, 64],
  'layers.0.weight': [33, 31],
  'layers.1.conv': [2000, 8, 2, 1],
  'layers.1.bias': [77],
};

/** Every element differs from the base's, by 0.05 to 0.5. */
function modelOf(seed: number | undefined): Model {
  const base = stream(1);
  const own = stream(seed ?? 0);
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const values = Array.from({ length: elementsOf(shape) }, () => {
        const from = Math.fround(2 * base() - 1);
        const size = 0.05 + 0.45 * own();
        return Math.fround(seed === undefined ? from : from + (own() < 0.5 ? -size : size));
      });
      return [name, { dtype: 'F32' as const, shape, values }];
    }),
  );
}

const BASE = modelOf(undefined);
const MODELS = [2, 3, 4].map(modelOf);
const [base, ...folders] = writeModels(root, [BASE, ...MODELS]) as [string, ...string[]];
const [first = '', second = ''] = folders;
const references = MODELS.map(toReference);
const baseReference = toReference(BASE);
const valuesOf = (model: ReturnType<typeof toReference>, name: string): Vector => model.get(name)?.values ?? new Float64Array();
const tau = (model: number, name: string): Vector =>
  minus(valuesOf(references[model] ?? baseReference, name), valuesOf(baseReference, name));

interface Settings {
  readonly density: number;
  readonly epsilon?: number;
  readonly rescale?: 'l1' | '1/p' | 'off';
  readonly seed?: number;
}

function recipeOf(method: string, models: readonly string[], { seed = 7, ...settings }: Settings, more: object = {}): string {
  const recipe = {
    merge_method: method,
    base_model: base,
    seed,
    models: models.map((model) => ({ model, parameters: { weight: 1 } })),
    parameters: { rescale: 'off', ...settings, ...more },
  };
  return JSON.stringify(recipe);
}

type Merged = Awaited<ReturnType<typeof mergeFolders>>;
const merge = (method: string, models: readonly string[], settings: Settings, more: object = {}, options: object = {}): Promise<Merged> =>
  mergeFolders(root, recipeOf(method, models, settings, more), { pool, ...options });

const deltaOf = (merged: Merged, name: string): Vector => minus(Float64Array.from(merged.values(name)), valuesOf(baseReference, name));
const keptOf = (merged: Merged, name: string): Uint8Array => Uint8Array.from(deltaOf(merged, name), (value) => (value === 0 ? 0 : 1));
const NAMES = Object.keys(SHAPES);
const rulesOfOne = (method: 'dare' | 'della') => `${method}_linear` as const;

/** |successes - expected| within five deviations, each element kept with its own probability. */
function expectShare(kept: ArrayLike<number>, probabilities: ArrayLike<number>): void {
  const expected = sum(Array.from(probabilities));
  const variance = sum(Array.from(probabilities, (p) => p * (1 - p)));
  expect(Math.abs(sum(Array.from(kept)) - expected)).toBeLessThan(5 * Math.sqrt(variance) + 1);
}

describe('how often elements are kept', () => {
  it.each([0.1, 0.5, 0.9])('DARE, density %d', async (density) => {
    const merged = await merge('dare_linear', [first], { density });
    for (const name of NAMES) {
      const kept = keptOf(merged, name);
      expectShare(kept, new Float64Array(kept.length).fill(density));
    }
  });

  it.each([
    [0.5, 0.45],
    [0.3, 0.15],
  ])('DELLA, density %d, epsilon %d: overall and by rank', async (density, epsilon) => {
    const merged = await merge('della_linear', [first], { density, epsilon });
    for (const [name, shape] of Object.entries(SHAPES)) {
      const kept = keptOf(merged, name);
      const probabilities = dellaProbabilities(tau(0, name), shape, density, epsilon);
      expectShare(kept, probabilities);
      for (let part = 0; part < 4; part++) {
        const low = density - epsilon + (part * epsilon) / 2;
        const chosen = [...probabilities.keys()].filter(
          (index) => at(probabilities, index) >= low && at(probabilities, index) <= low + epsilon / 2,
        );
        expectShare(
          chosen.map((index) => at(kept, index)),
          chosen.map((index) => at(probabilities, index)),
        );
      }
    }
  });
});

describe('what is made of the rest', () => {
  const settings = { density: 0.3, epsilon: 0.2 };
  it.each(['dare', 'della'] as const)('%s divides by the probability, and keeps the mean', async (method) => {
    const merged = await merge(rulesOfOne(method), [first], { ...(method === 'dare' ? { density: 0.3 } : settings), rescale: '1/p' });
    for (const [name, shape] of Object.entries(SHAPES)) {
      const own = tau(0, name);
      const p = method === 'dare' ? own.map(() => 0.3) : dellaProbabilities(own, shape, settings.density, settings.epsilon);
      const delta = deltaOf(merged, name);
      const deviation = Math.sqrt(sum(own.map((value, index) => (value * value * (1 - at(p, index))) / at(p, index))));
      expect(Math.abs(sum(delta) - sum(own))).toBeLessThan(5 * deviation);
      const worst = Math.max(0, ...delta.map((value, index) => (value === 0 ? 0 : Math.abs((value * at(p, index)) / at(own, index) - 1))));
      expect(worst).toBeLessThan(1e-4);
    }
  });

  it.each(['dare', 'della'] as const)('%s brings the L1 norm of each tensor back', async (method) => {
    const merged = await merge(rulesOfOne(method), [first], { ...(method === 'dare' ? { density: 0.3 } : settings), rescale: 'l1' });
    for (const name of NAMES) {
      const [was, is] = [tau(0, name), deltaOf(merged, name)].map((values) => sum(values.map(Math.abs)));
      expect((is ?? 0) / (was ?? 1)).toBeCloseTo(1, 5);
    }
  });
});

describe('what the mask depends on', () => {
  const settings = { dare: { density: 0.4 }, della: { density: 0.4, epsilon: 0.2 } };
  const mask = async (method: 'dare' | 'della', model: string, more: object = {}) =>
    keptOf(await merge(rulesOfOne(method), [model], { ...settings[method], ...more }), 'embed.weight');

  it.each(['dare', 'della'] as const)('%s: neither threads nor tiles', async (method) => {
    const expected = await merge(rulesOfOne(method), folders, settings[method]);
    for (const [index, one] of pools.entries()) {
      const other = await merge(rulesOfOne(method), folders, settings[method], {}, { pool: one, tileElements: [999, 4_096, 64][index] });
      expect(Buffer.compare(other.fileBytes, expected.fileBytes)).toBe(0);
    }
  });

  it.each(['dare', 'della'] as const)('%s: not on who else takes part, nor on the order', async (method) => {
    const [still = ''] = writeModels(root, [{ ...BASE, 'layers.0.weight': MODELS[1]?.['layers.0.weight'] ?? { dtype: 'F32' } }]);
    const alone = await mask(method, first);
    for (const models of [
      [first, still],
      [still, first],
    ])
      expect(keptOf(await merge(rulesOfOne(method), models, settings[method]), 'embed.weight')).toEqual(alone);
  });

  it.each(['dare', 'della'] as const)('%s: on the seed and on the model', async (method) => {
    const masks = [await mask(method, first), await mask(method, second), await mask(method, first, { seed: 8 })];
    expect(await mask(method, first)).toEqual(masks[0]);
    const [a = new Uint8Array(), ...others] = masks;
    for (const b of others) {
      const both = a.map((kept, index) => kept & at(b, index));
      const p = 0.4 * 0.4;
      expect(Math.abs(sum(both) - p * a.length)).toBeLessThan(5 * Math.sqrt(p * (1 - p) * a.length) + 0.01 * a.length);
    }
  });
});

describe('given what is kept, the result is the reference', () => {
  const rules: ReferenceRuleName[] = ['dare_linear', 'dare_ties', 'della_linear', 'della'];
  it.each(rules)('%s', async (rule) => {
    const method = rule.startsWith('dare') ? ('dare' as const) : ('della' as const);
    const more = fc.record({ rescale: fc.constantFrom('l1', '1/p', 'off'), normalize: fc.boolean(), lambda: fc.constantFrom(1, 0.5) });
    const settings = method === 'dare' ? { density: 0.6 } : { density: 0.6, epsilon: 0.3 };
    const masks = await Promise.all(
      folders.map(async (folder) => {
        const alone = await mergeFolders(root, recipeOf(rulesOfOne(method), [folder], settings), { pool });
        return new Map(NAMES.map((name) => [name, keptOf(alone, name)]));
      }),
    );
    for (const parameters of fc.sample(more, { numRuns: 3, seed: 11 })) {
      const merged = await merge(rule, folders, settings, parameters);
      const inputs = references.map((tensors, index) => ({ name: '', tensors, weight: 1, masks: masks[index] ?? new Map() }));
      const expected = referenceMerge(rule, { base: baseReference, inputs, parameters: { ...settings, ...parameters } });
      expect(differences(merged, expected, [baseReference, ...references], 16).slice(0, 5)).toEqual([]);
    }
  });
});
