/** The papers' numbers for rules on whole matrices, through recipes as users write them: F32 checkpoints on disk in, a merged folder out. */
import { describe, expect, it } from 'vitest';
import { engineChoices } from '../support/engine-choices.js';
import type { Model } from '../support/merge-fixture.js';
import { mergeWritten, writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';
import oracles from './oracles.json' with { type: 'json' };

const root = tempDir();

type Numbers = readonly number[];
const taus: readonly Numbers[] = oracles.fixture.taus;

const tensor = (shape: Numbers, values: Numbers) => ({ dtype: 'F32' as const, shape, values });
const fixture = (tau: Numbers): Model => ({ w: tensor([3, 3], tau.slice(0, 9)), b: tensor([3], tau.slice(9)) });
const square = (values: Numbers): Model => ({ w: tensor([Math.sqrt(values.length), Math.sqrt(values.length)], values) });
const diagonal = (values: Numbers): Model =>
  square(values.flatMap((value, row) => values.map((_, column) => (row === column ? value : 0))));
const zeros = (model: Model): Model =>
  Object.fromEntries(
    Object.entries(model).map(([name, { shape = [] }]) => [name, tensor(shape, Array<number>(shape.reduce((a, c) => a * c, 1)).fill(0))]),
  );
const means = taus[0]?.map((_, index) => taus.reduce((sum, tau) => sum + (tau[index] ?? 0), 0) / taus.length) ?? [];
const b = means.slice(9);

type Oracle = readonly [name: string, models: readonly Model[], recipe: string, expected: Numbers];
const FIXTURE = taus.map(fixture);

const ORACLES: readonly Oracle[] = [
  ['star', FIXTURE, 'merge_method: star', [...oracles.starEta40W.average, ...b]],
  [
    'star of diagonals',
    [diagonal([4, 3, 2, 1]), diagonal([1, 1, 1, 5])],
    'merge_method: star',
    [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
  ],
  ['star of one', [square([3, 0, 4, 5])], 'merge_method: star', [2, 2, 6, 6]],
  ['star, eta 80', [square([3, 0, 4, 5])], 'merge_method: star\nparameters: {eta: 80}', [3, 0, 4, 5]],
  ['star, eta 100', FIXTURE, 'merge_method: star\nparameters: {eta: 100}', means],
  [
    'star in front of a sum',
    FIXTURE,
    'rule: {transform: [{star: {eta: 40}}], combine: sum}',
    [...oracles.starEta40W.average, ...b].map((value) => 3 * value),
  ],
  ['tsv_m', FIXTURE, 'merge_method: tsv_m', [...oracles.tsvmW.value, ...b]],
  ['iso_c', FIXTURE, 'merge_method: iso_c', [...oracles.isoCW.value, ...b]],
  ['iso_cts', FIXTURE, 'merge_method: iso_cts', [...oracles.isoCtsW.fraction80, ...b]],
  [
    'iso_cts without common space',
    FIXTURE,
    'merge_method: iso_cts\nparameters: {common_space_fraction: 0}',
    [...oracles.isoCtsW.fraction0, ...b],
  ],
  ['wudi', FIXTURE, 'merge_method: wudi', [...oracles.wudiW.value, ...b]],
  ['half of wudi', FIXTURE, 'merge_method: wudi\nparameters: {lambda: 0.5}', [...oracles.wudiW.value, ...b].map((value) => value / 2)],
];

describe.each(engineChoices())('rules on whole matrices by $engine', (engine) => {
  it.each(ORACLES)('%s', async (_name, models, recipe, expected) => {
    const [first = {}] = models;
    const merged = await mergeWritten(writeCase(root, { recipe, base: zeros(first), models: models.map((tensors) => ({ tensors })) }), {
      engine,
    });
    const found = Object.keys(first).flatMap((name) => merged.values(name));
    const worst = Math.max(...expected.map((value, index) => Math.abs((found[index] ?? Number.NaN) - value)));
    expect(worst, `${found.join(', ')} for ${expected.join(', ')}`).toBeLessThan(4e-6);
  });
});
