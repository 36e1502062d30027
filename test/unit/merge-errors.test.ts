import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runMerge } from '../../shared/merge/run-merge.js';
import { stagingFor } from '../../shared/merge/staging.js';
import { startPool } from '../../shared/workers/pool.js';
import { expectError } from '../support/expect-error.js';
import { type Case, type Model, mergeCase, planCase } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

const f32 = (...values: number[]) => ({ dtype: 'F32' as const, values });
const bytes = (dtype: 'I64' | 'F64' | 'F8_E4M3' | 'U8', ...values: number[]) => ({
  name: '',
  dtype,
  shape: [values.length / (dtype.endsWith('64') ? 8 : 1)],
  bytes: Uint8Array.from(values),
});
const TA = 'merge_method: task_arithmetic';
const merge = (base: Model, ...models: Model[]): Case => ({ recipe: TA, base, contributions: models.map((model) => ({ model })) });

describe('planMerge refuses', () => {
  it('missing and extra tensors, naming tensor and contribution', async () => {
    const error = await expectError('TENSOR_MISSING', () =>
      planCase(root, merge({ x: f32(1), y: f32(1), z: f32(1) }, { x: f32(1), y: f32(1), z: f32(1) }, { x: f32(1) })),
    );
    expect(error.details).toMatchObject({
      what: 'a tensor is missing (also z)',
      where: 'b: y',
      expected: 'F32 [1] as in base',
      got: 'nothing',
    });
    await expectError('TENSOR_EXTRA', () => planCase(root, merge({ x: f32(1) }, { x: f32(1), y: f32(1) })));
  });

  it('other shapes and other kinds of numbers', async () => {
    const error = await expectError('SHAPE_MISMATCH', () => planCase(root, merge({ x: f32(1, 2) }, { x: f32(1) })));
    expect(error.details).toMatchObject({ where: 'a: x', expected: 'F32 [2] as in base', got: 'F32 [1]' });
    await expectError('DTYPE_MISMATCH', () => planCase(root, merge({ x: f32(1) }, { x: bytes('I64', 0, 0, 0, 0, 0, 0, 0, 0) })));
    await expectError('DTYPE_MISMATCH', () =>
      planCase(
        root,
        merge(
          { x: bytes('U8', 0, 0, 0, 0, 0, 0, 0, 0) },
          { x: { ...bytes('I64', 0, 0, 0, 0, 0, 0, 0, 0), shape: [8], bytes: new Uint8Array(64) } },
        ),
      ),
    );
    await expectError('UNSUPPORTED_DTYPE', () => planCase(root, merge({ x: f32(1) }, { x: bytes('F64', 0, 0, 0, 0, 0, 0, 0, 0) })));
  });

  it('a task-vector rule without base, nothing to merge, silent samples and weights of zero', async () => {
    const model = { x: f32(1) };
    await expectError('RECIPE_INVALID', () => planCase(root, { recipe: TA, contributions: [{ model }] }));
    await expectError('NO_CONTRIBUTIONS', () => planCase(root, { recipe: TA, base: model, contributions: [] }));
    const silent = { base: model, contributions: [{ model, samples: 3 }, { model }] };
    expect((await expectError('SAMPLES_MISSING', () => planCase(root, { recipe: 'merge_method: fedavg', ...silent }))).message).toContain(
      'b does not say',
    );
    await expectError('RECIPE_INVALID', () =>
      planCase(root, { recipe: 'merge_method: fedavg\ncontributors: {a: {parameters: {weight: 1}}}', ...silent }),
    );
    const zero = await expectError('RECIPE_INVALID', () =>
      planCase(root, { recipe: 'merge_method: linear\ncontributors: {a: {parameters: {weight: -1}}}', ...silent }),
    );
    expect(zero.message).toContain('tensor x add up to zero');
  });
});

describe('runMerge', () => {
  it('names who brought a NaN or infinity, and where', async () => {
    const good = { x: f32(1, 2, 3), y: f32(...Array(100).fill(0)) };
    const values = Array<number>(100).fill(0);
    values[77] = Number.POSITIVE_INFINITY;
    const error = await expectError('NON_FINITE', () =>
      mergeCase(root, pool, merge(good, good, { ...good, y: f32(...values) }), { tileElements: 20 }),
    );
    expect(error.details).toMatchObject({ where: 'b: y, element 77', got: 'Infinity' });
    const inBase = await expectError('NON_FINITE', () =>
      mergeCase(root, pool, merge({ x: f32(1, Number.NaN, 3) }, { x: f32(1, 2, 3) }, { x: f32(1, 2, 3) })),
    );
    expect(inBase.details.where).toBe('base: x, element 1');
  });

  it('tells an overflow of finite inputs from a bad input', async () => {
    const half = (value: number): Model => ({ x: { dtype: 'F16', values: [0, value] } });
    const error = await expectError('NON_FINITE', () => mergeCase(root, pool, merge(half(0), half(40_000), half(40_000))));
    expect(error.message).toContain('every input is finite');
    expect(error.details.where).toBe('x, element 1');
  });

  it('leaves nothing behind after a refusal', async () => {
    const { plan, folder, outputDir } = await planCase(root, merge({ x: f32(1) }, { x: f32(Number.NaN) }));
    await expectError('NON_FINITE', () => runMerge(plan, { outputDir, pool, durable: false }));
    expect(readdirSync(folder).sort()).toEqual(['a', 'base']);
  });

  it('passes integers through from the base and warns when they differ; other floats only when identical', async () => {
    const base = { n: bytes('I64', 1, 0, 0, 0, 0, 0, 0, 0), d: bytes('F64', 1, 2, 3, 4, 5, 6, 7, 8), x: f32(1) };
    const merged = await mergeCase(root, pool, merge(base, base, { ...base, n: bytes('I64', 2, 0, 0, 0, 0, 0, 0, 0) }));
    expect(merged.outcome.warnings).toEqual(['n (I64) differs between models; it is taken from base']);
    expect(merged.fileBytes.subarray(-20, -4)).toEqual(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]));
    await expectError('UNSUPPORTED_DTYPE', () => mergeCase(root, pool, merge(base, { ...base, d: bytes('F64', 9, 2, 3, 4, 5, 6, 7, 8) })));
  });

  it('refuses an output folder that holds something, and replaces its own with force only', async () => {
    const { plan, outputDir } = await planCase(root, merge({ x: f32(1) }, { x: f32(2) }));
    const run = (force: boolean) =>
      runMerge(plan, {
        outputDir,
        pool,
        durable: false,
        force,
        writeExtras: async (folder) => writeFileSync(join(folder, 'README.md'), '---\ntags:\n- merge\n- tributary\n---\n'),
      });
    mkdirSync(outputDir);
    await run(false);
    await expectError('OUTPUT_EXISTS', () => run(false));
    await run(true);
    writeFileSync(join(outputDir, 'README.md'), 'a book');
    await expectError('OUTPUT_EXISTS', () => run(true));
    expect(existsSync(stagingFor(outputDir).root)).toBe(false);
    await expectError('OUTPUT_EXISTS', () => runMerge(plan, { outputDir: join(outputDir, 'README.md'), pool, durable: false }));
  });

  it('refuses to share an output with a merge that is running', async () => {
    const { plan, outputDir } = await planCase(root, merge({ x: f32(1) }, { x: f32(2) }));
    const run = (inside?: () => Promise<void>) =>
      runMerge(plan, { outputDir, pool: startPool(1), durable: false, ...(inside === undefined ? {} : { writeExtras: inside }) });
    await run(async () => {
      await expectError('OUTPUT_EXISTS', () => run());
    });
    expect(readdirSync(outputDir)).toEqual(['model.safetensors']);
  });

  it('stops when told to, and continues later', async () => {
    const { plan, outputDir } = await planCase(root, merge({ x: f32(...Array(4000).fill(1)) }, { x: f32(...Array(4000).fill(2)) }));
    const early = AbortSignal.abort();
    await expectError('INTERRUPTED', () => runMerge(plan, { outputDir, pool, durable: false, signal: early }));
    expect(existsSync(outputDir)).toBe(false);
    await runMerge(plan, { outputDir, pool, durable: false });
  });
});

describe('contributors in a recipe', () => {
  it('override the samples of a push, and a name that takes no part is a warning', async () => {
    const recipe = 'merge_method: fedavg\ncontributors: {a: {samples: 3}, zoe: {samples: 1}}';
    const merged = await mergeCase(root, pool, {
      recipe,
      base: { x: f32(0) },
      contributions: [
        { model: { x: f32(4) }, samples: 1 },
        { model: { x: f32(8) }, samples: 1 },
      ],
    });
    expect(merged.values('x')).toEqual([5]);
    const { plan } = await planCase(root, { recipe, base: { x: f32(0) }, contributions: [{ model: { x: f32(4) } }] });
    expect(plan.warnings).toEqual(['contributors.zoe has no effect: no such contribution takes part']);
  });
});
