/** Rules with one model for each task: the file of masks beside the merged model, and the models that come back from it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runOfflineJob } from '../../client/merge/offline-job.js';
import { rebuildTask } from '../../client/merge/rebuild-task.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { openTaskMasks } from '../../shared/merge/rebuild-task.js';
import { TASK_MASKS_FILE, taskNames } from '../../shared/merge/task-masks.js';
import { startPool } from '../../shared/workers/pool.js';
import oracles from '../golden/oracles.json' with { type: 'json' };
import { expectError } from '../support/expect-error.js';
import type { Model } from '../support/merge-fixture.js';
import { type WrittenCase, writeCase } from '../support/offline-merge.js';
import { emrModels, tallModels } from '../support/reference/tasks.js';
import type { ReferenceModel } from '../support/reference/vectors.js';
import { decode, encode } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

type DType = 'F32' | 'BF16';
const SHAPES: Readonly<Record<string, readonly number[]>> = { 'a.w': [263, 257], 'b.w': [7, 11], 'c.bias': [13], 'd.empty': [0] };

function model(dtype: DType, seed: number, size: number, from?: Model): Model {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => {
      const base = from?.[name];
      const values = Array.from({ length: shape.reduce((product, one) => product * one, 1) }, (_, index) => {
        const change = next() < -0.4 ? 0 : size * next();
        return (base !== undefined && 'values' in base ? (base.values?.[index] ?? 0) : 0) + change;
      });
      return [name, { dtype, shape, values }];
    }),
  );
}

/** As stored; without tensors of no elements, which have no mean. */
function stored(one: Model): ReferenceModel {
  return new Map(
    Object.entries(one).flatMap(([name, tensor]) => {
      if (!('values' in tensor) || tensor.values?.length === 0) return [];
      const { dtype, shape = [], values = [] } = tensor;
      return [[name, { shape, values: Float64Array.from(values, (value) => decode(dtype, encode(dtype, value))) }]];
    }),
  );
}

async function valuesOf(folder: string, name: string): Promise<number[]> {
  const tensor = (await openCheckpoint(folder)).tensors.get(name);
  const segment = tensor?.segments[0];
  if (tensor === undefined || segment === undefined) return [];
  const bytes = Uint8Array.from(readFileSync(segment.path).subarray(segment.offset, segment.offset + segment.length));
  const dtype = tensor.dtype as DType;
  return [...(dtype === 'F32' ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer))].map((bits) => decode(dtype, bits));
}

let outputs = 0;
async function merge({ folder, recipeText }: WrittenCase) {
  const outDir = join(folder, `out-${++outputs}`);
  const report = await runOfflineJob({ recipeText, recipePath: 'recipe.yml', outDir, version: 'test' }, pool);
  return { outDir, report };
}

const rebuild = (written: WrittenCase, mergedDir: string, task: string) =>
  rebuildTask({ mergedDir, baseDir: join(written.folder, 'base'), task, outDir: join(written.folder, `${task}-${++outputs}`), threads: 1 });

describe.each(['F32', 'BF16'] as const)('models of tasks: %s', (dtype) => {
  const base = model(dtype, 1, 1);
  const models = [2, 3, 4].map((seed) => model(dtype, seed, 0.1 * seed, base));

  it.each([
    ['emr', {}, emrModels],
    ['emr', { lambda: 0.5 }, emrModels],
    ['tall', { mask_lambda: 0.3, alpha: 0.4 }, tallModels],
  ] as const)('%s %j: each comes back', async (rule, parameters, reference) => {
    const written = writeCase(root, { recipe: `merge_method: ${rule}`, parameters, base, models: models.map((tensors) => ({ tensors })) });
    const { outDir, report } = await merge(written);
    expect(report.files).toContain(TASK_MASKS_FILE);
    expect((await openTaskMasks(join(outDir, TASK_MASKS_FILE))).tasks).toEqual(['a', 'b', 'c']);
    expect([...(await openCheckpoint(outDir)).tensors.keys()].sort()).toEqual(Object.keys(SHAPES));
    const expected = reference({
      base: stored(base),
      inputs: models.map((tensors, index) => ({ name: `${index}`, tensors: stored(tensors) })),
      parameters,
    });
    for (const [index, task] of ['a', 'b', 'c'].entries()) {
      const { outDir: own, tensors } = await rebuild(written, outDir, task);
      expect(tensors).toBe(4);
      for (const [name, { values }] of expected[index] ?? []) {
        const found = await valuesOf(own, name);
        expect(found.length).toBe(values.length);
        const worst = Math.max(0, ...values.map((value, at) => Math.abs(value - (found[at] ?? Number.NaN))));
        // The merged model is rounded, and a rescaler multiplies that.
        expect(worst, name).toBeLessThan(dtype === 'F32' ? 1e-6 : 0.012);
      }
    }
  });
});

describe('emr', () => {
  const shapes: readonly (readonly [string, readonly number[]])[] = [
    ['w', [3, 3]],
    ['b', [3]],
  ];
  const layOut = (values: readonly number[]): Model => {
    let start = 0;
    return Object.fromEntries(
      shapes.map(([name, shape]) => {
        const from = start;
        start += shape.reduce((product, one) => product * one, 1);
        return [name, { dtype: 'F32' as const, shape, values: values.slice(from, start) }];
      }),
    );
  };
  const zeros = layOut(Array<number>(12).fill(0));

  it('has the rescalers and the unified vector of the official code', async () => {
    const written = writeCase(root, {
      recipe: 'merge_method: emr',
      base: zeros,
      models: oracles.fixture.taus.map((tau) => ({ tensors: layOut(tau) })),
    });
    const { outDir } = await merge(written);
    expect([...(await valuesOf(outDir, 'w')), ...(await valuesOf(outDir, 'b'))]).toEqual(oracles.emrUnified.value);
    const masks = await openTaskMasks(join(outDir, TASK_MASKS_FILE));
    const bytes = readFileSync(masks.path);
    const found = masks.tasks.map((task) => bytes.readFloatLE(masks.tensors.get(`${task}/rescaler`)?.offset ?? 0));
    found.forEach((value, index) => expect(value).toBeCloseTo(oracles.emrRescalersOfficial.value[index] ?? Number.NaN, 5));
  });

  it('a task without a change is the base, with a warning', async () => {
    const written = writeCase(root, {
      recipe: 'merge_method: emr',
      base: zeros,
      models: [{ tensors: layOut(oracles.fixture.taus[0] ?? []) }, { tensors: zeros }],
    });
    const { outDir, report } = await merge(written);
    expect(report.warnings.join()).toContain('is empty');
    const { outDir: own, warnings } = await rebuild(written, outDir, 'b');
    expect(warnings).toHaveLength(1);
    expect([...(await valuesOf(own, 'w')), ...(await valuesOf(own, 'b'))]).toEqual(Array<number>(12).fill(0));
  });

  it('has the same masks row by row, where rows end within bytes', async () => {
    const own: Model = { w: { dtype: 'F32', shape: [3001, 77], values: Array.from({ length: 3001 * 77 }, (_, index) => Math.sin(index)) } };
    const zero: Model = { w: { dtype: 'F32', shape: [3001, 77], values: Array<number>(3001 * 77).fill(0) } };
    const files = [];
    for (const rule of ['merge_method: emr', 'rule: {transform: [{della: {density: 1, rescale: 1/p}}], combine: emr}']) {
      const { outDir } = await merge(writeCase(root, { recipe: rule, base: zero, models: [{ tensors: own }, { tensors: zero }] }));
      const { path, tensors } = await openTaskMasks(join(outDir, TASK_MASKS_FILE));
      const { offset = 0, sizeBytes = 0 } = tensors.get('a/w') ?? {};
      files.push(readFileSync(path).subarray(offset, offset + sizeBytes));
    }
    expect(files[0]?.length).toBe(Math.ceil((3001 * 77) / 8));
    expect(files[1]?.equals(files[0] ?? Buffer.alloc(0))).toBe(true);
  });

  it('knows its tasks by name', async () => {
    expect(taskNames(['models/alice', './x/alice/', 'C:\\m\\bob', 'a b/..', '/'])).toEqual(['alice', 'alice-2', 'bob', 'a_b', 'task']);
    const written = writeCase(root, {
      recipe: 'merge_method: emr',
      base: zeros,
      models: [{ tensors: layOut(oracles.fixture.taus[0] ?? []) }],
    });
    const { outDir } = await merge(written);
    await expectError('USAGE', () => rebuild(written, outDir, 'nobody'));
    await expectError('CHECKPOINT_NOT_FOUND', () => rebuild(written, join(written.folder, 'a'), 'a'));
  });
});
