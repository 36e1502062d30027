/** Rules whose statistics come first, killed in the middle: what is left is measured again and ends with the same bytes. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runKillable } from '../support/killable-merge.js';
import { tempDir } from '../support/temp-dir.js';
import { type TestTensor, writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const ELEMENTS = 150_016;
const TENSORS = 10;

/** Numbers of both signs between a sixteenth and one, another sequence for each seed; many magnitudes are equal. */
function tensors(seed: number): TestTensor[] {
  return Array.from({ length: TENSORS }, (_, index) => {
    const values = new Uint16Array(ELEMENTS);
    let state = seed * 97 + index + 1;
    for (let i = 0; i < ELEMENTS; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      values[i] = 0x3d80 + ((state >>> 16) % 0x200) + (state & 0x8000);
    }
    return { name: `layers.${index}.w`, dtype: 'BF16' as const, shape: [ELEMENTS / 64, 64], bytes: new Uint8Array(values.buffer) };
  });
}

for (const [seed, name] of ['base', 'a', 'b', 'c'].entries()) writeCheckpoint(join(root, name), tensors(seed));

const RULES = [
  'merge_method: ties\nparameters: {weight: 1, density: 0.4}',
  'merge_method: ties\nparameters: {weight: 1, density: 0.4, variant: paper}',
  'merge_method: della\nparameters: {weight: 1, density: 0.5, epsilon: 0.2}',
  'merge_method: dare_linear\nparameters: {weight: 1, density: 0.5}',
  'merge_method: sce\nparameters: {select_topk: 0.5}',
  'merge_method: model_stock',
  'merge_method: nan\nparameters: {norm: task_vector}',
  'merge_method: emr',
  'merge_method: star',
  'merge_method: iso_c',
  'merge_method: ties\nparameters: {weight: 1, density: 0.4}\nrefine: [{star: {eta: 50}}]',
];

let resumed = 0;
let kills = 0;

describe('a killed merge of a rule that measures first', () => {
  it.each(RULES.map((rule, index) => [rule.slice(14).replace(/\n.*/, ''), rule, index] as const))('%s', async (_name, rule, index) => {
    const recipe = join(root, `recipe-${index}.yml`);
    const models = ['a', 'b', 'c'].map((name) => `{model: ${root}/${name}}`);
    writeFileSync(recipe, `${rule}\nbase_model: ${root}/base\nmodels: [${models.join(', ')}]\n`);
    const [whole, killed] = [join(root, `whole-${index}`), join(root, `killed-${index}`)];
    await runKillable(recipe, whole, Number.POSITIVE_INFINITY);
    for (const share of [0.05, 0.5, Number.POSITIVE_INFINITY]) {
      expect(existsSync(killed)).toBe(false);
      const outcome = await runKillable(recipe, killed, share * TENSORS * ELEMENTS * 2);
      resumed += outcome.resumedBytes;
      kills += outcome.killed ? 1 : 0;
    }
    expect(readdirSync(killed).sort()).toEqual(readdirSync(whole).sort());
    for (const file of readdirSync(whole).filter((name) => name.endsWith('.safetensors')))
      expect(Buffer.compare(readFileSync(join(killed, file)), readFileSync(join(whole, file)))).toBe(0);
  });

  it('was killed, and went on where it was', () => {
    expect(kills).toBeGreaterThan(0);
    expect(resumed).toBeGreaterThan(0);
  });
});
