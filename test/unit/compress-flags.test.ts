/** The command line of a compressed push: values of --compress, what goes together, and what its result says. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compressionText, ratioOf } from '../../client/cli/compression-text.js';
import { parseCompression } from '../../client/cli/push-compressed.js';
import { type NamedMatrix, summarise } from '../../client/push/compression.js';
import { writeAdapterFiles } from '../support/adapters.js';
import { errorOf, runCli } from '../support/cli.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, writeCheckpoint } from '../support/write-checkpoint.js';

describe('--compress', () => {
  it.each([
    ['star:40', 40],
    ['star:100', 100],
    ['star:0.5', 0.5],
    ['star:99.9', 99.9],
  ])('%s keeps %d %%', (text, eta) => {
    expect(parseCompression(text)).toBe(eta);
  });

  it.each([
    '',
    'star',
    'star:',
    'star:0',
    'star:0.0',
    'star:101',
    'star:100.1',
    'star:-5',
    'star:4e1',
    'star:forty',
    'star:40%',
    'svd:40',
    '40',
    'star: 40',
  ])('refuses %j', async (text) => {
    const { details } = await expectError('USAGE', () => parseCompression(text));
    expect(details).toMatchObject({ where: '--compress', got: text });
  });
});

describe('tributary push --compress', () => {
  const folder = tempDir();
  const home = join(folder, 'home');
  const scratch = join(folder, 'scratch');
  for (const dir of [home, scratch]) mkdirSync(dir);
  const base = writeCheckpoint(join(folder, 'base'), [f32Tensor('a.weight', [1, 2, 3, 4], [2, 2])]);
  const tuned = writeCheckpoint(join(folder, 'tuned'), [f32Tensor('a.weight', [1, 2, 3, 5], [2, 2])]);
  const other = writeCheckpoint(join(folder, 'other'), [f32Tensor('b.weight', [1, 2, 3, 5], [2, 2])]);
  const adapter = writeAdapterFiles(join(folder, 'adapter'), { peft_type: 'LORA' }, [f32Tensor('a', [1])]);
  // Nobody listens there: whatever is wrong is found before anything is sent.
  const push = (flags: readonly string[], what = tuned) =>
    runCli(['--patience', '0', 'push', what, '--round', 'r', ...flags], { home, server: '127.0.0.1:9', env: { TMPDIR: scratch } });

  it.each([
    [['--compress', 'star:40'], 'USAGE', /tributary pull BASE --out base/],
    [['--compress', 'star:40', '--base', 'llama'], 'USAGE', /tributary pull llama --out base/],
    [['--compress', 'star:40', '--base', base, '--kind', 'delta'], 'USAGE', /fine-tuned weights/],
    [['--compress', 'star:140', '--base', base], 'USAGE', /star:40/],
    [['--compress', 'star:40', '--base', other], 'TENSOR_MISSING', /./],
  ])('%j is refused with %s', async (flags, code, fix) => {
    const result = await push(flags);
    const error = errorOf(result);
    expect(error.code).toBe(code);
    expect(error.details.fix).toMatch(fix);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('does not take adapters', async () => {
    const error = errorOf(await push(['--compress', 'star:40', '--base', base], adapter));
    expect(error).toMatchObject({ code: 'USAGE', details: { fix: 'Push it without --compress.' } });
  });

  it('leaves nothing behind when it is stopped', async () => {
    const result = await push(['--compress', 'star:100', '--base', base]);
    expect(errorOf(result).code).toBe('COORDINATOR_UNAVAILABLE');
    expect(readdirSync(scratch)).toEqual([]);
    expect(existsSync(tuned)).toBe(true);
  });
});

describe('what a compressed push says', () => {
  const about = { eta: 40, engine: 'lapack', newBytes: 1000, fullBytes: 20_000 };
  const one = (matrix: Partial<NamedMatrix>): NamedMatrix => ({
    name: 'a',
    kind: 'factors',
    rank: 3,
    dtype: 'F16',
    norm: 5,
    keptNorm: 5,
    cutNorm: 3,
    roundingNorm: 0.001,
    ...matrix,
  });

  it('adds up all matrices by their norms', () => {
    const matrices = [
      one({}),
      one({ name: 'b', rank: 9, dtype: 'F32', norm: 12, cutNorm: 4, keptNorm: 12, roundingNorm: 0 }),
      one({ name: 'c', kind: 'rounded', dtype: undefined, rank: 50, norm: 0, keptNorm: 0, cutNorm: 0, roundingNorm: 0 }),
    ];
    const summary = summarise(matrices, about);
    expect(summary).toMatchObject({
      matrices: { factors: 2, rounded: 1, whole: 0, unchanged: 0 },
      factors: { F16: 1, F32: 1 },
      rank: { least: 3, most: 9 },
      worst: { tensor: 'a', error: 0.6 },
    });
    expect(summary.error).toBeCloseTo(5 / 13, 12);
    expect(summary.rounding).toBeCloseTo(0.001 / 13, 12);
    expect(ratioOf(summary)).toBe(20);
    expect(compressionText(summary)).toBe(
      [
        'compressed  star:40: 1.00 kB instead of 20.0 kB (20.0 times smaller)',
        '  matrices  3: 1 as F16 factors, 1 as F32 factors, 1 truncated and whole, ranks 3 to 9',
        '  error     38 % away from the task vectors (most: 60 % in a), rounding 0.0077 %',
      ].join('\n'),
    );
  });

  it('has nothing to say of matrices where there are none', () => {
    const summary = summarise([], { ...about, newBytes: 0, fullBytes: 0 });
    expect(summary).toMatchObject({ rank: null, worst: null, error: 0, rounding: 0 });
    expect(compressionText(summary)).toBe('compressed  star:40: 0 B instead of 0 B (1.0 times smaller)');
  });
});
