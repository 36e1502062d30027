/** Adapters that the real PEFT saved (peft/generate.py): merged, they are the models that PEFT makes of them; what is no product is refused. */
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openAdapter } from '../../shared/formats/adapter.js';
import { adapterParts } from '../../shared/formats/adapter-parts.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { readSafetensorsFile } from '../../shared/formats/safetensors-file.js';
import { startPool } from '../../shared/workers/pool.js';
import { toFloats } from '../support/compare-numbers.js';
import { expectError } from '../support/expect-error.js';
import { mergeFolders } from '../support/offline-merge.js';
import { tensorsOf } from '../support/read-checkpoint.js';
import { tempDir } from '../support/temp-dir.js';

const folder = fileURLToPath(new URL('../../../test/golden/peft', import.meta.url));
const basePath = join(folder, 'base.safetensors');
const pathOf = (name: string): string => join(folder, 'cases', name);
const cases = readdirSync(join(folder, 'cases'));
const isMerged = (name: string): boolean => readdirSync(pathOf(name)).includes('merged.safetensors');

const root = tempDir();
const pool = startPool(1, { callerHelps: true });
afterAll(() => pool.close());

/** PEFT multiplies and adds in fp32, in an order of its own. */
const TOLERANCE = 4e-7;
/** The singular vectors that PiSSA took from the base are in fp32 as well. */
const MOVED_TOLERANCE = 4e-6;

describe('what PEFT saved', () => {
  it('is all there', () => {
    expect(cases.length).toBeGreaterThan(20);
  });

  it.each(cases.filter(isMerged))('%s: the model that PEFT makes of it', async (name) => {
    const out = mkdtempSync(join(root, 'merge-'));
    const lines = `merge_method: task_arithmetic\nbase_model: ${basePath}\nmodels: [{model: ${JSON.stringify(pathOf(name))}, parameters: {weight: 1}}]\n`;
    const merged = await mergeFolders(out, lines, { pool });
    const before = new Map((await tensorsOf(basePath)).map((tensor) => [tensor.name, toFloats('F32', tensor.bytes)]));
    const after = new Map(
      (await tensorsOf(join(pathOf(name), 'merged.safetensors'))).map((tensor) => [tensor.name, toFloats('F32', tensor.bytes)]),
    );
    expect(after.size).toBeGreaterThan(0);
    for (const [tensor, unchanged] of before) {
      const expected = after.get(tensor) ?? unchanged;
      const tolerance = name === 'pissa_converted' ? MOVED_TOLERANCE : TOLERANCE;
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      merged.values(tensor).forEach((value, index) => {
        const error = Math.abs(value - (expected[index] ?? Number.NaN));
        if (!(error <= (after.has(tensor) ? tolerance * largest : 0)))
          throw new Error(`${tensor}[${index}]: ${value} for ${expected[index]}`);
      });
    }
  });

  it.each(cases.filter((name) => !isMerged(name) && name !== 'attention'))('%s: refused', async (name) => {
    await expectError('ADAPTER_UNSUPPORTED', () => openAdapter(pathOf(name)));
  });

  it.each(['attention', 'dora', 'lora_bias', 'trainable_tokens'])('%s: refused by its tensors and the base', async (name) => {
    const config = { ...(await openAdapter(pathOf('plain'))).config, targets: undefined };
    const { tensors } = await readSafetensorsFile(join(pathOf(name), 'adapter_model.safetensors'));
    const content = { config, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), where: name };
    const base = { name: 'base', tensors: (await openCheckpoint(basePath)).tensors };
    await expectError('ADAPTER_UNSUPPORTED', () => adapterParts(content, base));
  });
});
