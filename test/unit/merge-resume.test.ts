/** Real processes, really killed: whatever the moment, the target is absent or whole, and a later run ends with the same bytes. */
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runKillable } from '../support/killable-merge.js';
import { tempDir } from '../support/temp-dir.js';
import { type TestTensor, writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();

function tensors(seed: number): TestTensor[] {
  return Array.from({ length: 12 }, (_, index) => {
    const values = new Uint16Array(30_000 + index);
    for (let i = 0; i < values.length; i++) values[i] = 0x3c00 + ((Math.imul(i + seed, 2_654_435_761) >>> 20) & 0x3ff);
    return { name: `layers.${index}.w`, dtype: 'BF16' as const, shape: [values.length], bytes: new Uint8Array(values.buffer) };
  });
}

for (const name of ['base', 'a', 'b'])
  writeCheckpoint(join(root, name), tensors(name.charCodeAt(0)), { 'config.json': '{"torch_dtype": "bfloat16"}' });
const recipe = join(root, 'recipe.yml');
writeFileSync(
  recipe,
  `merge_method: task_arithmetic\nbase_model: ${root}/base\nmodels: [{model: ${root}/a, parameters: {weight: 0.3}}, {model: ${root}/b, parameters: {weight: 0.6}}]\n`,
);

const run = (out: string, killAtBytes: number) => runKillable(recipe, join(root, out), killAtBytes);
const read = (out: string) => readFileSync(join(root, out, 'model.safetensors'));

describe('a killed merge', () => {
  it('continues and ends with the same bytes, however often it is killed', async () => {
    await run('whole', Number.POSITIVE_INFINITY);
    let resumed = 0;
    for (const killAt of [1, 200_000, 400_000, 600_000]) {
      const outcome = await run('killed', killAt);
      expect(outcome.killed).toBe(true);
      expect(existsSync(join(root, 'killed'))).toBe(false);
      expect(outcome.resumedBytes).toBeGreaterThanOrEqual(resumed);
      resumed = outcome.resumedBytes;
    }
    const last = await run('killed', Number.POSITIVE_INFINITY);
    expect(last.killed).toBe(false);
    expect(last.resumedBytes).toBeGreaterThan(0);
    expect(last.resumedBytes).toBeGreaterThanOrEqual(resumed);
    expect(Buffer.compare(read('killed'), read('whole'))).toBe(0);
    expect(readdirSync(join(root, 'killed')).sort()).toEqual(['README.md', 'config.json', 'model.safetensors']);
    expect(readdirSync(root).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('starts over when an input has changed meanwhile', async () => {
    await run('changed', 1);
    expect(existsSync(join(root, '.changed.tributary-partial', 'journal'))).toBe(true);
    utimesSync(join(root, 'a', 'model.safetensors'), 1, 1);
    expect((await run('changed', Number.POSITIVE_INFINITY)).resumedBytes).toBe(0);
    expect(Buffer.compare(read('changed'), read('whole'))).toBe(0);
  });
});
