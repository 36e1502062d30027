/** Merges into adapters, really killed: the folder is absent or whole, and a later run ends with the same bytes. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recipeFor, writeAdapterCase } from '../support/adapter-merges.js';
import type { TestAdapter } from '../support/adapters.js';
import { runKillable } from '../support/killable-merge.js';
import type { Model } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const names = Array.from({ length: 12 }, (_, layer) => `layers.${layer}.q`);
const base: Model = Object.fromEntries(
  names.map((name) => [`${name}.weight`, { dtype: 'F32', shape: [200, 150], values: Array.from({ length: 30_000 }, (_, at) => at % 7) }]),
);
const adapter = (seed: number): TestAdapter => ({
  config: { r: 4, lora_alpha: 4 },
  factors: names.map((module) => ({ module, rank: 4, scale: 1 })),
  seed,
  kind: 'wide',
});

describe('a killed merge into an adapter', () => {
  it.each([
    ['while vectors are made', 'merge_method: ties\nparameters: {density: 0.5, weight: 1}', [1, 100_000, 400_000]],
    ['while factors are made', 'merge_method: task_arithmetic\nparameters: {weight: 1}', [1, 600_000]],
  ])('%s', async (_, text, moments) => {
    const one = writeAdapterCase(root, base, [adapter(1), adapter(2)]);
    const recipe = join(one.folder, 'recipe.yml');
    writeFileSync(recipe, `${recipeFor(one, { recipe: text })}output: adapter\n`);
    const out = (name: string): string => join(one.folder, name);
    const read = (name: string) => readFileSync(join(out(name), 'adapter_model.safetensors'));
    await runKillable(recipe, out('whole'), Number.POSITIVE_INFINITY);
    let killed = 0;
    for (const moment of [...moments, Number.POSITIVE_INFINITY]) {
      const outcome = await runKillable(recipe, out('killed'), moment);
      if (!outcome.killed) break;
      killed += 1;
      expect(existsSync(out('killed'))).toBe(false);
    }
    expect(killed).toBeGreaterThan(0);
    expect(Buffer.compare(read('killed'), read('whole'))).toBe(0);
    expect(readdirSync(one.folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
