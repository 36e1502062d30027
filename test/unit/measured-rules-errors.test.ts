/** Inputs that a rule with statistics cannot merge: an error that names the tensor, nothing left behind, never a model of NaN. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const ELEMENTS = 70_000;
const BAD = 66_001;

function write(name: string, seed: number, bad?: number): string {
  const values = Float32Array.from({ length: ELEMENTS }, (_, i) => Math.fround(Math.sin(i * 0.7 + seed)));
  if (bad !== undefined) values[BAD] = bad;
  return writeCheckpoint(join(root, name), [
    { name: 'layers.0.w', dtype: 'F32', shape: [ELEMENTS / 100, 100], bytes: new Uint8Array(values.buffer) },
  ]);
}
const base = write('base', 0);
const [a, b, c] = [write('a', 1), write('b', 2), write('c', 3)] as const;
const broken = [write('nan', 4, Number.NaN), write('infinite', 5, Number.NEGATIVE_INFINITY)];

const merge = (rule: string, models: readonly string[]) =>
  mergeOffline({
    recipeText: `${rule}\nbase_model: ${base}\nmodels: [${models.map((model) => `{model: ${model}}`).join(', ')}]\n`,
    recipePath: 'recipe.yml',
    outDir: join(root, 'out'),
    threads: 2,
    version: 'test',
  });

const RULES = [
  'ties\nparameters: {weight: 1, density: 0.3}',
  'ties\nparameters: {weight: 1, density: 0.3, variant: paper}',
  'breadcrumbs\nparameters: {weight: 1, density: 0.3}',
  'dare_ties\nparameters: {weight: 1, density: 0.3}',
  'della\nparameters: {weight: 1, density: 0.5}',
  'sce\nparameters: {select_topk: 0.5}',
  'median',
  'trimmed_mean',
  'geometric_median',
  'krum\nparameters: {byzantine: 0}',
  'cclip',
  'nan',
  'metagpt',
  'model_stock',
  'karcher',
  'multislerp\nparameters: {weight: 1}',
  'emr',
  'pcb',
  'localize_and_stitch',
  'consensus_ta',
  'fedgma',
];

describe('NaN and infinity in an input', () => {
  it.each(RULES)('%s', async (rule) => {
    for (const bad of broken) {
      const error = await expectError('NON_FINITE', () => merge(`merge_method: ${rule}`, [a, b, bad, c]));
      expect(error.message).toContain('layers.0.w');
      expect(error.message).toContain(bad);
      expect(error.message).toContain(String(BAD));
      expect(existsSync(join(root, 'out'))).toBe(false);
      expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual([]);
    }
  });
});

describe('a vector of norm zero', () => {
  it('is named where the rule divides by norms', async () => {
    const error = await expectError('ZERO_NORM', () => merge('merge_method: nan\nparameters: {norm: task_vector}', [a, write('same', 0)]));
    expect(error.message).toContain(join(root, 'same'));
    const perTensor = () => merge('merge_method: nan\nparameters: {norm: task_vector, per: tensor}', [a, join(root, 'same')]);
    expect((await expectError('ZERO_NORM', perTensor)).message).toContain('layers.0.w');
    expect(existsSync(join(root, 'out'))).toBe(false);
  });
});
