/** A merge into an adapter that was stopped while factors were made has its task vector already. */
import { existsSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import type { MergeProgress } from '../../shared/merge/run-merge.js';
import { type AdapterCase, recipeFor, writeAdapterCase } from '../support/adapter-merges.js';
import type { TestAdapter } from '../support/adapters.js';
import { expectError } from '../support/expect-error.js';
import type { Model } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const names = ['layers.0.q', 'layers.1.q', 'layers.2.q'];
const base: Model = Object.fromEntries(
  names.map((name) => [`${name}.weight`, { dtype: 'F32', shape: [20, 10], values: Array.from({ length: 200 }, (_, at) => at % 7) }]),
);
const adapter = (seed: number): TestAdapter => ({
  config: { r: 4, lora_alpha: 4 },
  factors: names.map((module) => ({ module, rank: 4, scale: 1 })),
  seed,
  kind: 'wide',
});

/** @param stop when progress is of factors */
async function merge(one: AdapterCase, name: string, stop: boolean) {
  const controller = new AbortController();
  const seen: MergeProgress[] = [];
  const report = await mergeOffline({
    recipeText: `${recipeFor(one, { recipe: 'merge_method: ties\nparameters: {density: 0.5, weight: 1}' })}output: adapter\n`,
    recipePath: 'r.yml',
    outDir: join(one.folder, name),
    threads: 1,
    version: 'test',
    signal: controller.signal,
    onProgress(progress) {
      seen.push(progress);
      if (stop && progress.matrices !== undefined) controller.abort();
    },
  });
  return { report, vectors: seen.filter(({ matrices }) => matrices === undefined).length };
}

describe('a stopped merge into an adapter', () => {
  it('goes on with what it had made, unless an input has changed', async () => {
    const one = writeAdapterCase(root, base, [adapter(1), adapter(2)]);
    const whole = await merge(one, 'whole', false);
    expect(whole.report.resumed).toBe(false);
    expect(whole.vectors).toBeGreaterThan(0);
    await expectError('INTERRUPTED', () => merge(one, 'stopped', true));
    expect([existsSync(join(one.folder, 'stopped')), existsSync(join(one.folder, '.stopped.tributary-partial', 'vector'))]).toEqual([
      false,
      true,
    ]);
    const resumed = await merge(one, 'stopped', false);
    expect([resumed.vectors, resumed.report.resumed]).toEqual([0, true]);
    const read = (name: string) => readFileSync(join(one.folder, name, 'adapter_model.safetensors'));
    expect(Buffer.compare(read('whole'), read('stopped'))).toBe(0);

    await expectError('INTERRUPTED', () => merge(one, 'changed', true));
    utimesSync(join(one.models[0] ?? '', 'adapter_model.safetensors'), 1, 1);
    expect((await merge(one, 'changed', false)).vectors).toBeGreaterThan(0);
    expect(existsSync(join(one.folder, '.changed.tributary-partial'))).toBe(false);
  });
});
