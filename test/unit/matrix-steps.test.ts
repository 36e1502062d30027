/** Which tensors steps on matrices take, and what holds whatever they compute: threads, kills, bad numbers, scratch files. */
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { matrixPicker, matrixShape } from '../../shared/merge/matrix-tensors.js';
import { stagingFor } from '../../shared/merge/staging.js';
import { startPool } from '../../shared/workers/pool.js';
import { fastestEngine as choice } from '../support/engine-choices.js';
import { expectError } from '../support/expect-error.js';
import { type Model, mergeCase, type Values } from '../support/merge-fixture.js';
import { stream } from '../support/random-models.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const findEngine = async () => ({ choice, device: 'cpu', library: choice.engine, reason: '', notes: ['a note'] });

function random(seed: number, shape: readonly number[], dtype: Values['dtype'] = 'BF16'): Values {
  const next = stream(seed);
  return { dtype, shape, values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next() * 2 - 1) };
}

const model = (seed: number): Model => ({
  'embed_tokens.weight': random(seed, [6, 4]),
  'layers.0.conv.weight': random(seed + 1, [4, 3, 2, 2]),
  'layers.0.norm.weight': random(seed + 2, [8]),
  'layers.0.row.weight': random(seed + 3, [1, 8]),
  'layers.1.proj.weight': random(seed + 4, [7, 5], 'F32'),
});

const CASE = { base: model(100), contributions: [{ model: model(1) }, { model: model(2) }, { model: model(3) }] };

describe('which tensors are matrices', () => {
  it('takes those inside of layers, or all but embeddings and heads where no name tells layers', () => {
    const layered = ['model.embed_tokens.weight', 'model.layers.0.mlp.up.weight', 'lm_head.weight', 'pooler.weight'];
    expect(layered.filter(matrixPicker('layers', layered))).toEqual(['model.layers.0.mlp.up.weight']);
    expect(layered.filter(matrixPicker('all', layered))).toEqual(layered);
    const flat = ['fc1.weight', 'w', 'token_embedding.weight', 'lm_head.weight', 'wte.weight', 'classifier.weight', 'header.weight'];
    expect(flat.filter(matrixPicker('layers', flat))).toEqual(['fc1.weight', 'w', 'header.weight']);
  });

  it('flattens behind the first dimension, and needs two rows and two columns', () => {
    expect(matrixShape([4, 3, 2, 2])).toEqual({ rows: 4, columns: 12 });
    expect([[], [8], [1, 8], [8, 1], [3, 1, 1]].map(matrixShape)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });
});

describe('a merge with steps on matrices', () => {
  it('leaves vectors and embeddings to the rest of the rule', async () => {
    const pool = startPool(2);
    try {
      const mean = await mergeCase(root, pool, { ...CASE, recipe: 'rule: {combine: mean}' });
      const layers = await mergeCase(root, pool, { ...CASE, recipe: 'merge_method: star\nparameters: {eta: 30}' }, { findEngine });
      const all = await mergeCase(
        root,
        pool,
        { ...CASE, recipe: 'merge_method: star\nparameters: {eta: 30, matrices: all}' },
        { findEngine },
      );
      const same = (one: typeof mean) => Object.keys(model(1)).filter((name) => one.bits(name).join() === mean.bits(name).join());
      expect(same(layers)).toEqual(['embed_tokens.weight', 'layers.0.norm.weight', 'layers.0.row.weight']);
      expect(same(all)).toEqual(['layers.0.norm.weight', 'layers.0.row.weight']);
      expect(layers.outcome.warnings).toContain('a note');
      expect(layers.outcome.engine?.choice).toEqual(choice);
      expect(mean.outcome.engine).toBeUndefined();
    } finally {
      await pool.close();
    }
  });

  it.each(['star', 'tsv_m', 'iso_c', 'iso_cts', 'knots_ties', 'wudi', 'ties\nrefine: [{star: {eta: 50}}]\nparameters: {density: 0.5}'])(
    'gives the same bytes for any number of threads: %s',
    async (rule) => {
      const files: Buffer[] = [];
      for (const threads of [1, 3]) {
        const pool = startPool(threads);
        files.push((await mergeCase(root, pool, { ...CASE, recipe: `merge_method: ${rule}` }, { findEngine, threads })).fileBytes);
        await pool.close();
      }
      expect(Buffer.compare(files[0] as Buffer, files[1] as Buffer)).toBe(0);
    },
  );

  it('names the model and the tensor that is not finite, and leaves nothing', async () => {
    const pool = startPool(1);
    const broken = { ...model(2), 'layers.1.proj.weight': { ...random(6, [7, 5], 'F32'), values: Array<number>(35).fill(Number.NaN) } };
    const error = await expectError('NON_FINITE', () =>
      mergeCase(
        root,
        pool,
        { ...CASE, contributions: [{ model: model(1) }, { model: broken }], recipe: 'merge_method: tsv_m' },
        { findEngine },
      ),
    );
    expect(error.message).toMatch(/b holds NaN in tensor layers\.1\.proj\.weight/);
    await pool.close();
  });

  it('stops when it is told to, and goes on without its scratch files', async () => {
    const pool = startPool(1);
    const outputDir = `${root}/stopped`;
    const abort = new AbortController();
    abort.abort(new Error('enough'));
    const one = { ...CASE, recipe: 'merge_method: iso_c' };
    await expectError('INTERRUPTED', () => mergeCase(root, pool, one, { findEngine, outputDir, signal: abort.signal }));
    expect(existsSync(stagingFor(outputDir).scratch)).toBe(false);
    const whole = await mergeCase(root, pool, one, { findEngine });
    expect(readdirSync(whole.outputDir)).toEqual(['model.safetensors']);
    await pool.close();
  });
});
