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
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
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
import { type Numerics, type Tolerance, toleranceFor } from '../support/golden-tolerances.js';
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

const rounded = ({ sample, dtype }: GoldenTensor, to: MergeDType): Float32Array =>
  dtype === to ? sample : sample.map((value) => decode(to, encode(to, value)));

function toleranceOf(one: GoldenCase, { merge_method }: ReadRecipe, dtype: MergeDType, numerics: Numerics): Tolerance {
  const tolerance = toleranceFor(merge_method, dtype, numerics);
  return numerics === 'exact' ? tolerance : { ...tolerance, ...one.within };
}

interface Pair {
  readonly unit: MergeDType;
  readonly name: string;
  readonly ours: Float32Array;
  readonly golden: Float32Array;
  /** 1 for elements that are not compared. */
  readonly marks: Uint8Array | undefined;
}

function compareTensor({ unit, name, ours, golden, marks }: Pair, { ulps, floor }: Tolerance) {
  const difference = compareNumbers(unit, ours, golden, { floor, skip: marks });
  if (difference.maxUlps <= ulps) return { difference, beyond: 0, text: undefined };
  const others = new Uint8Array(ours.length);
  let beyond = 0;
  for (let index = 0; index < ours.length; index++) {
    if (marks?.[index] === 1) continue;
    others.fill(1)[index] = 0;
    if (compareNumbers(unit, ours, golden, { floor, skip: others }).maxUlps > ulps) beyond += 1;
  }
  const { worst, maxUlps, unequal, count } = difference;
  const where = `sampled element ${worst}, ours ${ours[worst]}, mergekit ${golden[worst]}`;
  const share = ((100 * unequal) / count).toFixed(2);
  const text = `${name}: up to ${maxUlps.toFixed(2)} ulps of ${unit} (${where}); ${share} % unequal, ${beyond} of ${count} beyond ${ulps} ulps`;
  return { difference, beyond, text };
}

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
    const stored = dtype === 'F32' ? golden.dtype : (one.storedAs ?? golden.dtype);
    expect(`${name} ${ours.shape.join('x')} ${ours.dtype}`).toBe(`${name} ${golden.shape.join('x')} ${stored}`);
    const compared = coarser(ours.dtype, golden.dtype);
    const unit = coarser(compared, DTYPES[recipe.dtype ?? ''] ?? compared);
    const marks = skip.get(name);
    const pair = { unit, name, marks, ours: rounded(ours, compared), golden: rounded(golden, compared) };
    const { difference, beyond, text } = compareTensor(pair, toleranceOf(one, recipe, unit, numerics));
    total.count += difference.count;
    total.unequal += difference.unequal;
    total.beyond += beyond;
    if (text !== undefined) problems.push(text);
  }
  const { flips, unequal } = toleranceOf(one, recipe, coarser(dtype, DTYPES[recipe.dtype ?? ''] ?? dtype), numerics);
  const report = `${one.name}/${dtype}, numerics: ${numerics}: ${((100 * total.unequal) / total.count).toFixed(3)} % of ${total.count} unequal\n${problems.join('\n')}`;
  expect(total.beyond / total.count, report).toBeLessThanOrEqual(one.mayDiffer ?? flips);
  expect(total.unequal / total.count, report).toBeLessThanOrEqual(Math.max(one.mayDiffer ?? 0, unequal));
}

beforeAll(() => {
  for (const dtype of ['F32', 'BF16', 'F16'] as const)
    for (const [key, digest] of Object.entries(writeTinyModels(root, dtype)))
      expect(`${key} ${digest}`).toBe(`${key} ${results.inputs[key]}`);
});

describe.each(['mergekit', 'exact'] as const)('numerics: %s', (numerics) => {
  for (const one of cases) {
    if (one.ours !== undefined || (one.refused !== undefined && (one.exact === undefined || numerics === 'mergekit'))) continue;
    const error = numerics === 'exact' ? one.exact?.error : undefined;
    for (const dtype of dtypesOf(one))
      it(`${one.name}, ${dtype}`, async () => {
        if (error === undefined) await check(one, dtype, numerics);
        else await expectError(error as ErrorCode, () => merge(one, dtype, numerics));
      });
  }
});

describe('what only one of the two merges', () => {
  it('has a result for every case', () => {
    const keys = cases.flatMap((one) => dtypesOf(one).map((dtype) => `${one.name}/${dtype}`));
    expect(Object.keys(results.cases).sort()).toEqual(keys.sort());
    for (const one of cases) for (const dtype of dtypesOf(one)) expect(results.cases[`${one.name}/${dtype}`]?.refused).toBe(one.refused);
  });

  it.each(cases.filter(({ ours }) => ours !== undefined))('we refuse $name: $ours.why', async (one) => {
    await expectError((one.ours?.error ?? '') as ErrorCode, () => merge(one, 'F32', 'exact'));
  });

  it.each(cases.filter(({ refused, exact }) => refused !== undefined && exact === undefined))(
    'both refuse $name: $refused',
    async (one) => {
      await expect(merge(one, 'F32', 'exact')).rejects.toBeInstanceOf(TributaryError);
    },
  );
});
