/** Rules with statistics over whole models, continued half-way: statistics come from all tensors, not from those that are left to write. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { planOffline } from '../../client/merge/offline-job.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import { startPool } from '../../shared/workers/pool.js';
import type { Model } from '../support/merge-fixture.js';
import { writeCase } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const pool = startPool(2);
afterAll(() => pool.close());

function model(seed: number): Model {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Object.fromEntries(
    Array.from({ length: 8 }, (_, index) => {
      const size = 10 ** (index - 4);
      return [`layers.${index}.w`, { dtype: 'BF16' as const, values: Array.from({ length: 1000 + index }, () => size * next()) }];
    }),
  );
}

/** Forgets the second half of what was written. */
function forgetHalf(journal: string): void {
  const bytes = readFileSync(journal);
  const first = bytes.indexOf('\n') + 1;
  bytes.fill(0, first + Math.floor((bytes.length - first) / 2));
  writeFileSync(journal, bytes);
}

describe('continuing a merge', () => {
  it.each([
    ['paper TIES', 'merge_method: ties\nparameters: {variant: paper, density: 0.3, weight: 1}'],
    ['PCB', 'merge_method: pcb\nparameters: {ratio: 0.4}'],
    ['Localize-and-Stitch', 'merge_method: localize_and_stitch\nparameters: {sparsity: 0.3}'],
    ['EMR', 'merge_method: emr'],
    ['TALL', 'merge_method: tall'],
    ['LiNeS, alpha: auto', 'merge_method: pcb\nrefine: [lines]'],
  ])('%s: the same bytes', async (_name, recipe) => {
    const written = writeCase(root, { recipe, base: model(1), models: [2, 3, 4].map((seed) => ({ tensors: model(seed) })) });
    const { plan } = await planOffline({
      recipeText: written.recipeText,
      recipePath: 'recipe.yml',
      outDir: join(written.folder, 'out'),
      version: 'test',
    });
    const whole = await runMerge(plan, { outputDir: join(written.folder, 'whole'), pool, durable: false });
    const outputDir = join(written.folder, 'stopped');
    const stop = (): Promise<never> => Promise.reject(new Error('stopped'));
    await expect(runMerge(plan, { outputDir, pool, durable: false, writeExtras: stop })).rejects.toThrow('stopped');
    forgetHalf(join(written.folder, '.stopped.tributary-partial', 'journal'));
    const again = await runMerge(plan, { outputDir, pool, durable: false });
    expect(again.resumedTiles).toBe(4);
    for (const { name } of whole.files)
      expect(Buffer.compare(readFileSync(join(outputDir, name)), readFileSync(join(whole.outputDir, name)))).toBe(0);
  });
});
