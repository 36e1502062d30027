import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { taskVectorStatistics } from '../../shared/merge/task-vector-statistics.js';
import { startPool } from '../../shared/workers/pool.js';
import { expectError } from '../support/expect-error.js';
import { type Model, toTensors } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const pool = startPool(3);
afterAll(() => pool.close());
const open = async (name: string, model: Model) => ({
  name,
  tensors: (await openCheckpoint(writeCheckpoint(join(root, name), toTensors(model)))).tensors,
});
const f32 = (...values: number[]) => ({ dtype: 'F32' as const, values });

describe('taskVectorStatistics', () => {
  it('is the norm of the difference, whatever the number of threads', async () => {
    const long = Array.from({ length: 200_001 }, (_, index) => Math.sin(index));
    const base = await open('base', {
      w: f32(1, 1, 1),
      long: { dtype: 'BF16', values: long },
      n: { name: 'n', dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
    });
    const input = await open('input', {
      w: f32(4, 1, -3),
      long: { dtype: 'BF16', values: long.map((value) => value + 1) },
      n: { name: 'n', dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
    });
    const result = await taskVectorStatistics({ base, input: { ...input, kind: 'full' }, pool });
    expect(result.normSquaredByTensor.get('w')).toBe(25);
    expect([...result.normSquaredByTensor.keys()]).toEqual(['w', 'long']);
    expect(result.norm).toBeCloseTo(Math.sqrt(200_001 + 25), 0);
    expect(result.nonFinite).toBeUndefined();
    expect(await taskVectorStatistics({ base, input: { ...input, kind: 'full' }, threads: 1 })).toEqual(result);
    const delta = await taskVectorStatistics({ base, input: { ...input, kind: 'delta' }, pool });
    expect(delta.normSquaredByTensor.get('w')).toBe(26);
  });

  it('says where the first NaN is', async () => {
    const base = await open('finite', { a: f32(...Array(70_000).fill(0)), b: f32(0, 0) });
    const values = Array<number>(70_000).fill(0);
    values[66_000] = Number.NaN;
    values[69_000] = Number.NaN;
    const input = await open('nan', { a: f32(...values), b: f32(Number.NaN, 0) });
    const result = await taskVectorStatistics({ base, input: { ...input, kind: 'full' }, pool });
    expect(result.nonFinite).toEqual({ tensor: 'a', index: 66_000, value: Number.NaN });
    expect(result.norm).toBeNaN();
    await expectError('NON_FINITE', () => taskVectorStatistics({ base: input, input: { ...base, kind: 'full' }, pool }));
  });
});

describe('hashSegments', () => {
  it('hashes lists of ranges over files in the order of the jobs', async () => {
    const paths = Array.from({ length: 70 }, (_, index) => join(root, `chunk-${index}`));
    paths.forEach((path, index) => writeFileSync(path, Buffer.alloc(9_000 + index, index)));
    const whole = paths.map((path) => ({ path, offset: 0, length: readFileSync(path).length }));
    const jobs = [[], whole, [{ path: paths[3] ?? '', offset: 5, length: 7 }], whole.toReversed()];
    const expected = jobs.map((segments) => {
      const hash = createHash('sha256');
      for (const { path, offset, length } of segments) hash.update(readFileSync(path).subarray(offset, offset + length));
      return hash.digest('hex');
    });
    let hashedBytes = 0;
    const digests = await hashSegments(jobs, {
      pool,
      onProgress: (bytes) => {
        hashedBytes = bytes;
      },
    });
    expect(digests.map((digest) => Buffer.from(digest).toString('hex'))).toEqual(expected);
    expect(hashedBytes).toBe(2 * whole.reduce((sum, segment) => sum + segment.length, 0) + 7);
    expect(await hashSegments([])).toEqual([]);
  });

  it('fails when a file is missing or too short', async () => {
    await expectError('IO_ERROR', () => hashSegments([[{ path: join(root, 'nowhere'), offset: 0, length: 1 }]], { threads: 1 }));
    writeFileSync(join(root, 'short'), 'abc');
    await expectError('SAFETENSORS_TRUNCATED', () => hashSegments([[{ path: join(root, 'short'), offset: 0, length: 4 }]], { pool }));
  });
});
