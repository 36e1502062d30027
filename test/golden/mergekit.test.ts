/**
 * Our merges beside the real mergekit's, recipe by recipe (mergekit/cases; mergekit/generate.py says how the outputs were made).
 *
 * `numerics: mergekit` is held close: bit for bit for 16-bit sums and sign elections, which round where mergekit rounds. Our default rounds once
 * at the end and is held to what rounding after every step can make of the difference. A case's `exact` names where our default leaves mergekit on
 * purpose, and what is expected instead; elements of equal magnitude at a sparsifier's threshold are not compared (interchangeable.ts).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { isMergeDType, type MergeDType } from '../../shared/formats/tensor.js';
import { compareNumbers, toFloats } from '../support/compare-numbers.js';
import { expectError } from '../support/expect-error.js';
import {
  dtypesOf,
  type GoldenCase,
  type GoldenTensor,
  goldenCases,
  goldenResults,
  goldenTensors,
  sampled,
  writeTinyModels,
} from '../support/golden-cases.js';
import { type Numerics, toleranceFor } from '../support/golden-tolerances.js';
import { interchangeable } from '../support/interchangeable.js';
import { decode, encode } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';
import { tinyLlama } from '../support/tiny-llama.js';

const root = tempDir();
const results = goldenResults();
const cases = goldenCases();
const every = results.sampleEvery;

const WIDTH: Readonly<Record<MergeDType, number>> = { F32: 3, F16: 2, BF16: 1 };
const coarser = (a: MergeDType, b: MergeDType): MergeDType => (WIDTH[a] <= WIDTH[b] ? a : b);
const DTYPES: Readonly<Record<string, MergeDType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

interface ReadRecipe {
  readonly merge_method: string;
  readonly base_model?: string;
  readonly dtype?: string;
  readonly models?: readonly { readonly model: string }[];
}

let merges = 0;
async function merge(one: GoldenCase, dtype: MergeDType, numerics: Numerics): Promise<Map<string, GoldenTensor>> {
  merges += 1;
  const outDir = join(root, `out-${merges}`);
  const recipe = one.recipe.replaceAll('@', `${root}/${dtype}/`).replaceAll('$', `${root}/`);
  const recipeText = numerics === 'mergekit' ? `${recipe}numerics: mergekit\n` : recipe;
  await mergeOffline({ recipeText, recipePath: `${one.name}.yml`, outDir, threads: 1, version: 'test' });
  const found = new Map<string, GoldenTensor>();
  for (const [name, { segments, shape, dtype: stored }] of (await openCheckpoint(outDir)).tensors) {
    const bytes = Buffer.concat(segments.map(({ path, offset, length }) => readFileSync(path).subarray(offset, offset + length)));
    if (!isMergeDType(stored)) throw new Error(`${name} is ${stored}`);
    found.set(name, { dtype: stored, shape, sample: sampled(toFloats(stored, bytes), shape, every) });
  }
  return found;
}

function baseTensors(dtype: MergeDType): Map<string, GoldenTensor> {
  return new Map(
    tinyLlama('base', dtype).map(({ name, shape, bytes }) => [
      name,
      { dtype, shape, sample: sampled(toFloats(dtype, bytes), shape, every) },
    ]),
  );
}

function expectedTensors(one: GoldenCase, dtype: MergeDType, numerics: Numerics): Map<string, GoldenTensor> {
  const exact = numerics === 'exact' || one.refused !== undefined ? one.exact : undefined;
  const golden = one.refused === undefined ? goldenTensors(one.name, dtype) : new Map<string, GoldenTensor>();
  if (exact?.as === undefined) return golden;
  const other = exact.as === 'base' ? baseTensors(dtype) : goldenTensors(exact.as, dtype);
  for (const [name, tensor] of other) {
    if (exact.tensors !== undefined && !name.includes(exact.tensors)) continue;
    golden.set(name, { ...tensor, sample: tensor.sample.map((value) => value / (exact.factor ?? 1)) });
  }
  return golden;
}

/** Sampled elements that are not to be compared, by tensor. */
function skipped(one: GoldenCase, dtype: MergeDType, numerics: Numerics, got: ReadonlyMap<string, GoldenTensor>): Map<string, Uint8Array> {
  const marks = new Map<string, Uint8Array>();
  const recipe = parse(one.recipe) as ReadRecipe;
  if (one.cuts !== undefined) {
    const names = recipe.models?.map(({ model }) => model).filter((model) => model !== recipe.base_model) ?? [];
    const models = names.map((model) => tinyLlama(model.slice(1), dtype));
    for (const [index, base] of tinyLlama('base', dtype).entries()) {
      const own = models.flatMap((tensors) => tensors[index] ?? []);
      const found = interchangeable(one.cuts, base, own, DTYPES[recipe.dtype ?? ''] ?? dtype, numerics === 'exact');
      marks.set(base.name, sampled(found, base.shape, every));
    }
  }
  if (numerics === 'exact' && one.exact?.clamped === true)
    for (const [name, { sample }] of baseTensors(dtype)) {
      marks.set(
        name,
        Uint8Array.from(sample, (value, index) => (got.get(name)?.sample[index] === value ? 1 : 0)),
      );
    }
  return marks;
}

const rounded = (from: Float32Array, stored: MergeDType, to: MergeDType): Float32Array =>
  stored === to ? from : from.map((value) => decode(to, encode(to, value)));

async function check(one: GoldenCase, dtype: MergeDType, numerics: Numerics): Promise<void> {
  const got = await merge(one, dtype, numerics);
  if (one.refused !== undefined && one.exact?.as === undefined) return;
  const expected = expectedTensors(one, dtype, numerics);
  const skip = skipped(one, dtype, numerics, got);
  const recipe = parse(one.recipe) as ReadRecipe;
  expect([...got.keys()].sort()).toEqual([...expected.keys()].sort());
  const problems: string[] = [];
  const total = { count: 0, unequal: 0, beyond: 0 };
  for (const [name, golden] of expected) {
    const ours = got.get(name) ?? golden;
    expect(`${name} ${ours.shape.join('x')} ${ours.dtype}`).toBe(
      `${name} ${golden.shape.join('x')} ${one.storedAs === undefined || (dtype === 'F32' && golden.dtype === 'F32') ? golden.dtype : one.storedAs}`,
    );
    const compared = coarser(ours.dtype, golden.dtype);
    const unit = coarser(compared, DTYPES[recipe.dtype ?? ''] ?? compared);
    const tolerance = toleranceFor(recipe.merge_method, unit, numerics);
    const [a, b] = [rounded(ours.sample, ours.dtype, compared), rounded(golden.sample, golden.dtype, compared)];
    const marks = skip.get(name);
    const difference = compareNumbers(unit, a, b, marks);
    total.count += difference.count;
    total.unequal += difference.unequal;
    if (difference.maxUlps <= tolerance.ulps) continue;
    const at = difference.worst;
    const alone = (index: number): number => compareNumbers(unit, a.subarray(index, index + 1), b.subarray(index, index + 1)).maxUlps;
    const beyond = a.reduce((sum, _, index) => sum + (marks?.[index] !== 1 && alone(index) > tolerance.ulps ? 1 : 0), 0);
    total.beyond += beyond;
    problems.push(
      `${name}: ${difference.maxUlps.toFixed(2)} ulps of ${unit} at sampled element ${at}, where ours is ${a[at]} and mergekit's ${b[at]}; ${((100 * difference.unequal) / difference.count).toFixed(2)} % unequal, ${beyond} of ${difference.count} beyond ${tolerance.ulps} ulps`,
    );
  }
  const allowed = toleranceFor(recipe.merge_method, coarser(dtype, DTYPES[recipe.dtype ?? ''] ?? dtype), numerics);
  const report = `${one.name}/${dtype}, numerics: ${numerics}, ${((100 * total.unequal) / total.count).toFixed(3)} % unequal\n${problems.join('\n')}`;
  expect(total.beyond / total.count, report).toBeLessThanOrEqual(one.mayDiffer ?? allowed.flips);
  expect(total.unequal / total.count, report).toBeLessThanOrEqual(one.mayDiffer ?? allowed.unequal);
}

beforeAll(() => {
  for (const dtype of ['F32', 'BF16', 'F16'] as const)
    for (const [key, digest] of Object.entries(writeTinyModels(root, dtype)))
      expect(`${key} ${digest}`).toBe(`${key} ${results.inputs[key]}`);
});

describe.each(['mergekit', 'exact'] as const)('numerics: %s', (numerics) => {
  for (const one of cases) {
    if (one.ours !== undefined || (one.refused !== undefined && (one.exact === undefined || numerics === 'mergekit'))) continue;
    for (const dtype of dtypesOf(one)) it(`${one.name}, ${dtype}`, () => check(one, dtype, numerics));
  }
});

describe('what only one of the two merges', () => {
  it('has a result for every case', () => {
    const keys = cases.flatMap((one) => dtypesOf(one).map((dtype) => `${one.name}/${dtype}`));
    expect(Object.keys(results.cases).sort()).toEqual(keys.sort());
    for (const one of cases) for (const dtype of dtypesOf(one)) expect(results.cases[`${one.name}/${dtype}`]?.refused).toBe(one.refused);
  });

  it.each(cases.filter(({ ours }) => ours !== undefined))('we refuse $name: $ours.why', async (one) => {
    await expectError((one.ours?.error ?? '') as 'RECIPE_INVALID', () => merge(one, 'F32', 'exact'));
  });

  it.each(cases.filter(({ refused, exact }) => refused !== undefined && exact === undefined))(
    'both refuse $name: $refused',
    async (one) => {
      await expect(merge(one, 'F32', 'exact')).rejects.toThrow(/RECIPE_|SHAPE|TENSOR|CHECKPOINT|MISMATCH|SLICE/i);
    },
  );
});
