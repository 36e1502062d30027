/** What a compressed contribution holds: which tensors as factors, in which dtype, what is left whole or out, and how near it comes. */
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CompressOptions } from '../../client/push/compress-folder.js';
import { LEFT_SUFFIX, lowRankParts, RIGHT_SUFFIX } from '../../shared/formats/low-rank.js';
import type { MergeDType } from '../../shared/formats/tensor.js';
import type { Matrix, Reals } from '../../shared/linalg/linear-algebra.js';
import { BASE_DIGEST_KEY } from '../../shared/transfer/artifact.js';
import { compressForTest, storedMatrix, storedTensor, tunedBy, valuesOf, vectorOf } from '../support/compressed.js';
import { expectError } from '../support/expect-error.js';
import { frobenius, product, withSingularValues } from '../support/linalg-matrices.js';
import { type Model, toTensors, type Values } from '../support/merge-fixture.js';
import { star } from '../support/reference/spectral.js';
import { apart, decaying, fromMl, gaussian, lowRank, matrix, times, toMl, zero } from '../support/spectral-matrices.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
let seed = 1;

const plain = (dtype: MergeDType, shape: readonly number[], scale = 0.5): Values => {
  const [rows = 1, ...rest] = shape;
  return valuesOf(
    dtype,
    shape,
    times(
      gaussian(
        rows,
        rest.reduce((a, b) => a * b, 1),
        seed++,
      ),
      scale,
    ).data,
  );
};

/** A base of `dtype`, and a fine-tune of it by the differences given for some tensors. */
function pair(
  shapes: Readonly<Record<string, readonly number[]>>,
  differences: Readonly<Record<string, Matrix>>,
  dtype: MergeDType = 'F32',
) {
  const base: Record<string, Values> = {};
  const tuned: Record<string, Values> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const before = plain(dtype, shape);
    const difference = differences[name];
    base[name] = before;
    tuned[name] = difference === undefined ? before : tunedBy(before, difference);
  }
  return { base, tuned };
}

const write = (model: Model, files: Readonly<Record<string, string>> = {}): string =>
  writeCheckpoint(mkdtempSync(join(root, 'model-')), toTensors(model), files);

async function compress(models: { base: Model; tuned: Model }, eta: number, options: Partial<CompressOptions> = {}) {
  return compressForTest(root, write(models.tuned, { 'config.json': '{}' }), write(models.base), eta, options);
}

const reference = (a: Matrix<Reals>, eta: number): Matrix => fromMl(star(toMl(a), eta));

/** 24 x 24, all directions alike but one, of which 99.9 % of the nuclear norm can do without. */
function nearlyFull(scale: number, from: number): Matrix {
  const values = Array.from({ length: 24 }, (_, index) => (index < 23 ? scale : scale / 100));
  return { rows: 24, columns: 24, data: Float32Array.from(withSingularValues(24, 24, values, from).data) };
}

/** BF16 keeps eight digits of a number: a difference whose numbers have no more. */
function inBf16(difference: Matrix): Matrix {
  return { ...difference, data: Float32Array.from(valuesOf('BF16', [], difference.data).values ?? []) };
}

describe('a compressed contribution', () => {
  it('has factors for matrices inside of layers, whole tensors for the rest, and nothing for what is unchanged', async () => {
    const models = pair(
      {
        'embed_tokens.weight': [6, 5],
        'layers.0.conv.weight': [12, 4, 3, 3],
        'layers.0.norm.weight': [16],
        'layers.0.same.weight': [20, 20],
        'layers.1.norm.weight': [16],
        'layers.1.proj.weight': [40, 24],
        'lm_head.weight': [6, 5],
      },
      {
        'embed_tokens.weight': gaussian(6, 5, 50),
        'layers.0.conv.weight': decaying(12, 36, 0.5, 51),
        'layers.0.norm.weight': gaussian(16, 1, 52),
        'layers.1.proj.weight': decaying(40, 24, 0.6, 53),
      },
    );
    const { described, baseDigest, compression } = await compress(models, 60);
    const factors = (name: string): string[] => [name + LEFT_SUFFIX, name + RIGHT_SUFFIX];
    const { artifact } = described;
    expect([...artifact.tensors.keys()]).toEqual([
      'embed_tokens.weight',
      ...factors('layers.0.conv.weight'),
      'layers.0.norm.weight',
      ...factors('layers.1.proj.weight'),
    ]);
    expect(artifact.kind).toBe('low_rank');
    expect(artifact.files.map(({ path }) => path)).toEqual(['model.safetensors']);
    expect(artifact.metadata.get(BASE_DIGEST_KEY)).toBe(baseDigest);
    expect(Array.from(storedTensor(described, 'layers.0.norm.weight').values())).toEqual(models.tuned['layers.0.norm.weight']?.values);
    const baseTensors = new Map(toTensors(models.base).map((tensor) => [tensor.name, tensor]));
    const parts = lowRankParts(artifact.tensors, { name: 'base', tensors: baseTensors }, 'contribution');
    expect([...parts.values()].map(({ kind }) => kind)).toEqual(['full', 'product', 'full', 'product']);
    expect(compression).toMatchObject({
      matrices: { factors: 2, rounded: 0, whole: 0, unchanged: 0 },
      rank: { least: expect.any(Number) as number, most: expect.any(Number) as number },
      eta: 60,
    });
    expect(compression.newBytes).toBeLessThan(compression.fullBytes / 3);
    expect(compression.newBytes).toBe([...artifact.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  });

  it.each([
    ['F32', 30],
    ['F32', 75],
    ['BF16', 50],
    ['F16', 50],
  ] as const)('is STAR of the task vector: %s at %d %%', async (dtype, eta) => {
    const models = pair(
      { 'a.weight': [48, 30], 'b.weight': [20, 64] },
      { 'a.weight': decaying(48, 30, 0.8, 60), 'b.weight': decaying(20, 64, 0.7, 61) },
      dtype,
    );
    const { described, compression } = await compress(models, eta);
    const [vectors, errors] = [[] as Matrix<Reals>[], [] as number[]];
    for (const name of ['a.weight', 'b.weight']) {
      const vector = vectorOf(models.tuned[name] as Values, models.base[name] as Values);
      const expected = reference(vector, eta);
      const sent = product(storedMatrix(described, name + LEFT_SUFFIX), storedMatrix(described, name + RIGHT_SUFFIX));
      expect(apart(sent, expected)).toBeLessThan(1e-3);
      vectors.push(vector);
      errors.push(apart(expected, vector));
    }
    const norms = vectors.map(frobenius);
    const together = (values: readonly number[]): number =>
      Math.hypot(...values.map((value, index) => value * (norms[index] ?? 0))) / Math.hypot(...norms);
    expect(compression.error).toBeCloseTo(together(errors), 5);
    expect(compression.worst?.error).toBeCloseTo(Math.max(...errors), 5);
    expect(compression.rounding).toBeGreaterThan(0);
    expect(compression.rounding).toBeLessThan(1e-3);
  });

  it('says what rounding the factors to F16 did', async () => {
    const models = pair({ 'a.weight': [60, 40] }, { 'a.weight': lowRank(60, 40, 5, 70) });
    const { described, compression } = await compress(models, 80);
    const expected = reference(vectorOf(models.tuned['a.weight'] as Values, models.base['a.weight'] as Values), 80);
    const sent = product(storedMatrix(described, `a.weight${LEFT_SUFFIX}`), storedMatrix(described, `a.weight${RIGHT_SUFFIX}`));
    expect(compression.factors).toEqual({ F16: 1 });
    expect(compression.rounding / apart(sent, expected)).toBeGreaterThan(0.8);
    expect(compression.rounding / apart(sent, expected)).toBeLessThan(1.25);
  });

  it.each([
    ['overflows', 1e12, 'F32', 50, 'F32'],
    ['vanishes', 1e-12, 'F32', 50, 'F32'],
    ['overflows, in a base of half precision', 1e12, 'BF16', 50, 'F32'],
    ['would count beside a cut that takes next to nothing', 1, 'F32', 99.999, 'F32'],
    ['does not count in a base of half precision', 1, 'BF16', 99.9, 'F16'],
    ['does not count beside the cut', 1, 'F32', 50, 'F16'],
  ] as const)('takes F32 factors where F16 %s', async (_, scale, dtype, eta, expected) => {
    const difference = times(decaying(80, 60, 0.3, 80), scale);
    const base = { 'a.weight': valuesOf(dtype, [80, 60], zero(80, 60).data) };
    const tuned = { 'a.weight': tunedBy(base['a.weight'], dtype === 'F32' ? difference : inBf16(difference)) };
    const { described, compression } = await compress({ base, tuned }, eta);
    expect(compression.factors).toEqual({ [expected]: 1 });
    expect(storedTensor(described, `a.weight${LEFT_SUFFIX}`).dtype).toBe(expected);
    if (expected === 'F32') expect(compression.rounding).toBe(0);
  });

  it('sends base plus truncated vector where factors would be no smaller', async () => {
    const models = pair({ 'a.weight': [24, 24] }, { 'a.weight': nearlyFull(1, 90) });
    const { described, compression } = await compress(models, 99.9);
    expect(compression.matrices).toEqual({ factors: 0, rounded: 1, whole: 0, unchanged: 0 });
    expect(compression.rank).toBeNull();
    const { dtype, shape } = storedTensor(described, 'a.weight');
    expect({ dtype, shape }).toEqual({ dtype: 'F32', shape: [24, 24] });
    const base = models.base['a.weight'] as Values;
    const sent = vectorOf({ ...base, values: [...storedTensor(described, 'a.weight').values()] }, base);
    const vector = vectorOf(models.tuned['a.weight'] as Values, base);
    expect(apart(sent, reference(vector, 99.9))).toBeLessThan(1e-5);
    expect(apart(sent, vector)).toBeGreaterThan(1e-3);
  });

  it('sends the fine-tuned matrix itself where the sum would be beyond the dtype', async () => {
    const base = valuesOf('F16', [24, 24], zero(24, 24).data);
    const diagonal = matrix(
      24,
      24,
      Array.from({ length: 576 }, (_, at) => (at % 25 > 0 ? 0 : at < 575 ? 65_504 : 655)),
    );
    const tuned = tunedBy(base, diagonal);
    const { described, compression } = await compress({ base: { 'a.weight': base }, tuned: { 'a.weight': tuned } }, 99.9);
    expect(compression.matrices.whole).toBe(1);
    expect(Array.from(storedTensor(described, 'a.weight').values())).toEqual(tuned.values);
    expect(compression.rounding).toBeGreaterThan(0);
  });

  it('is the fine-tuned tensors themselves at 100, without an engine', async () => {
    const models = pair(
      { 'a.weight': [24, 20], 'b.weight': [9, 9], 'c.bias': [4] },
      { 'a.weight': lowRank(24, 20, 2, 92), 'c.bias': gaussian(4, 1, 93) },
      'BF16',
    );
    const findEngine = () => Promise.reject(new Error('nobody needs one'));
    const { described, compression, scratchDir } = await compress(models, 100, { findEngine });
    expect([...described.artifact.tensors.keys()]).toEqual(['a.weight', 'c.bias']);
    for (const name of ['a.weight', 'c.bias'])
      expect(Array.from(storedTensor(described, name).values())).toEqual(models.tuned[name]?.values);
    expect(compression.engine).toBeNull();
    expect(compression.newBytes).toBe(24 * 20 * 2 + 8);
    expect(readdirSync(scratchDir)).toEqual([]);
  });

  it('is valid when nothing changed', async () => {
    const models = pair({ 'a.weight': [24, 20], 'b.bias': [4] }, {});
    const { described, compression } = await compress(models, 40);
    expect([...described.artifact.tensors.keys()]).toEqual(['b.bias']);
    expect(compression).toMatchObject({ newBytes: 0, fullBytes: 2, error: 0, rounding: 0 });
  });
});

describe('the same contribution', () => {
  const models = pair(
    { 'layers.0.a.weight': [70, 50], 'layers.1.a.weight': [50, 70], 'layers.2.a.weight': [60, 60], 'norm.weight': [5] },
    {
      'layers.0.a.weight': gaussian(70, 50, 1),
      'layers.1.a.weight': gaussian(50, 70, 2),
      'layers.2.a.weight': lowRank(60, 60, 3, 3),
      'norm.weight': gaussian(5, 1, 4),
    },
  );

  it('has the same bytes each time, for any number of threads', async () => {
    const digests = [];
    for (const threads of [1, 2, 2]) digests.push((await compress(models, 45, { threads })).described.artifact.manifestDigest);
    expect(new Set(digests).size).toBe(1);
  });

  it('counts matrices as they are done, and passes on what the engine says', async () => {
    const progress: string[] = [];
    const notes: string[] = [];
    await compress(models, 45, {
      onMatrices: ({ done, total, doneBytes, totalBytes }) => progress.push(`${done}/${total} ${doneBytes <= totalBytes}`),
      onNote: (note) => notes.push(note),
    });
    expect(progress).toEqual(['1/3 true', '2/3 true', '3/3 true']);
    expect(notes).toEqual(['a note']);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    await expect(compress(models, 45, { signal: stop.signal, onMatrices: () => stop.abort(reason) })).rejects.toThrow(
      /stopped before the end/,
    );
  });
});

describe('what cannot be compressed', () => {
  it('is a checkpoint that does not fit the base', async () => {
    const models = pair({ 'a.weight': [8, 8], 'b.weight': [8, 8] }, { 'a.weight': gaussian(8, 8, 5) });
    const { 'b.weight': gone, ...rest } = models.tuned;
    expect(gone).toBeDefined();
    await expectError('TENSOR_MISSING', () => compress({ base: models.base, tuned: rest }, 40));
    await expectError('SHAPE_MISMATCH', () =>
      compress({ base: models.base, tuned: { ...models.tuned, 'b.weight': plain('F32', [4, 8]) } }, 40),
    );
  });

  it('is a matrix with a number that is none', async () => {
    const models = pair({ 'a.weight': [8, 8] }, { 'a.weight': gaussian(8, 8, 6) });
    const values = [...(models.tuned['a.weight']?.values ?? [])];
    values[10] = Number.NaN;
    const error = await expectError('NON_FINITE', () =>
      compress({ base: models.base, tuned: { 'a.weight': { dtype: 'F32', shape: [8, 8], values } } }, 40),
    );
    expect(error.details.where).toMatch(/a\.weight, element 10$/);
  });
});
