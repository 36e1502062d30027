/** Merges whose result is an adapter: read back and merged into the base, it gives what the merge of whole models gives. */
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { openAdapter } from '../../shared/formats/adapter.js';
import { type TestAdapter, writeAdapter } from '../support/adapters.js';
import { fastestEngine } from '../support/engine-choices.js';
import { type Model, toTensors } from '../support/merge-fixture.js';
import { mergeFolders } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const base: Model = {
  'm.q.weight': { dtype: 'F32', shape: [12, 8], values: Array.from({ length: 96 }, (_, i) => Math.sin(i)) },
  'm.v.weight': { dtype: 'F32', shape: [6, 8], values: Array.from({ length: 48 }, (_, i) => Math.cos(i)) },
  'm.norm.weight': { dtype: 'F32', shape: [8], values: Array.from({ length: 8 }, () => 1) },
};
const adapter = (seed: number, rank: number): TestAdapter => ({
  config: { r: rank, lora_alpha: 2 * rank },
  factors: [
    { module: 'm.q', rank, scale: 2 },
    { module: 'm.v', rank, scale: 2 },
  ],
  seed,
  kind: 'wide',
});
const findEngine = async () => ({ choice: fastestEngine, device: 'cpu', library: 'test', reason: '', notes: [] });

describe('output: adapter', () => {
  it('works', async () => {
    const folder = mkdtempSync(join(root, 'case-'));
    const b = writeCheckpoint(join(folder, 'base'), toTensors(base));
    const a1 = writeAdapter(join(folder, 'a1'), base, adapter(1, 2));
    const a2 = writeAdapter(join(folder, 'a2'), base, adapter(2, 3));
    for (const rule of ['task_arithmetic', 'ties', 'linear', 'star', 'median']) {
      const recipe = `merge_method: ${rule}\nbase_model: ${b}\nmodels: [{model: ${a1}, parameters: {weight: 0.3}}, {model: ${a2}, parameters: {weight: 0.7}}]\n`;
      const outDir = join(folder, rule);
      const report = await mergeOffline({
        recipeText: `${recipe}output: adapter\n`,
        recipePath: 'r.yml',
        outDir,
        version: 't',
        threads: 1,
        findEngine,
      });
      console.log(rule, JSON.stringify(report.adapter), report.warnings);
      console.log(readdirSync(outDir), readFileSync(join(outDir, 'adapter_config.json'), 'utf8').slice(0, 100));
      const whole = await mergeFolders(folder, recipe, { engine: fastestEngine });
      const again = await mergeFolders(
        folder,
        `merge_method: task_arithmetic\nbase_model: ${b}\nmodels: [{model: ${outDir}, parameters: {weight: 1}}]\n`,
        {},
      );
      for (const name of whole.names()) {
        const [x, y] = [whole.values(name), again.values(name)];
        console.log(name, Math.max(...x.map((v, i) => Math.abs(v - y[i]!))));
      }
      expect(existsSync(join(outDir, 'model.safetensors'))).toBe(false);
      expect((await openAdapter(outDir)).config.rank).toBeGreaterThan(0);
    }
  });
});
