/** `merge` with an adapter as its output, and `extract-lora`, as people type them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { AdapterReport } from '../../client/merge/adapter-report.js';
import { recipeFor, writeAdapterCase } from '../support/adapter-merges.js';
import { adapted, type TestAdapter } from '../support/adapters.js';
import { cliOk, errorOf, runCli } from '../support/cli.js';
import type { Model } from '../support/merge-fixture.js';
import { killLeftovers } from '../support/processes.js';
import { tempDir } from '../support/temp-dir.js';

const home = tempDir();
const json = { home };
const people = { home, format: 'table' as const };
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => Math.sin(index));
const base: Model = {
  'layers.0.q.weight': { dtype: 'F32', shape: [12, 8], values: numbers(96) },
  'layers.1.q.weight': { dtype: 'F32', shape: [12, 8], values: numbers(96) },
  'norm.weight': { dtype: 'F32', shape: [8], values: numbers(8) },
};
const adapter = (seed: number, rank: number): TestAdapter => ({
  config: { r: rank, lora_alpha: rank },
  factors: ['layers.0.q', 'layers.1.q'].map((module) => ({ module, rank, scale: 1 })),
  seed,
  kind: 'wide',
});
const tuned: Model = { ...adapted(base, adapter(3, 2)), 'norm.weight': { dtype: 'F32', shape: [8], values: numbers(9).slice(1) } };
const one = writeAdapterCase(home, base, [adapter(1, 2), adapter(2, 3)]);
const fine = writeAdapterCase(home, base, [tuned]);
const recipe = join(home, 'recipe.yml');
const out = (name: string): string => join(home, name);
afterAll(killLeftovers);

describe('merge, output: adapter', () => {
  writeFileSync(
    recipe,
    `${recipeFor(one, { recipe: 'merge_method: task_arithmetic\nparameters: {weight: 0.5}' })}output: {adapter: {rank: 4}}\n`,
  );

  it('says ranks and error', async () => {
    const { code, stdout } = await runCli(['merge', recipe, '--out', out('a'), '--engine', 'portable'], people);
    expect(code).toBe(0);
    for (const part of [
      'merged  2 models with task_arithmetic',
      'a LoRA adapter',
      'rank 4 in 2 modules',
      'of the norm of all changes',
      'portable',
    ])
      expect(stdout).toContain(part);
    expect(JSON.parse(readFileSync(join(out('a'), 'adapter_config.json'), 'utf8'))).toMatchObject({ r: 4, lora_alpha: 4 });
    const report = await cliOk<{ adapter: AdapterReport; files: string[] }>(['merge', recipe, '--out', out('b')], json);
    expect(report.files).toEqual(['adapter_model.safetensors', 'adapter_config.json']);
    expect(report.adapter.tensors).toHaveLength(2);
    expect(report.adapter.error).toBeGreaterThan(1e-3);
  });

  it('says beforehand what it would do', async () => {
    const planned = await cliOk<{ adapter: { rank: number; products: string[]; made: string[] } }>(['plan', recipe], json);
    expect(planned.adapter).toEqual({ rank: 4, products: ['layers.0.q.weight', 'layers.1.q.weight'], made: [] });
    expect((await runCli(['merge', recipe, '--dry-run'], people)).stdout).toContain('a LoRA adapter of rank 4 at most');
  });
});

describe('extract-lora', () => {
  const from = ['extract-lora', fine.models[0] ?? '', '--base', fine.base, '--out'];

  it('makes an adapter, and says what it is like', async () => {
    const { code, stdout } = await runCli([...from, out('c'), '--rank', '2', '--modules-to-save', 'norm', '--dtype', 'bfloat16'], people);
    expect(code).toBe(0);
    for (const part of ['extracted', 'rank 2 in 2 modules', 'whole', 'norm']) expect(stdout).toContain(part);
    const report = await cliOk<AdapterReport & { outDir: string }>([...from, out('d'), '--energy', '0.999', '--leave-rest'], json);
    expect(report.left.map(({ tensor }) => tensor)).toEqual(['norm.weight']);
    expect(report.outDir).toBe(out('d'));
    expect(report.rank.most).toBeLessThanOrEqual(2);
  });

  it('refuses what would be lost, and what is no flag of it', async () => {
    const refused = errorOf(await runCli([...from, out('e')], json));
    expect([refused.code, refused.details.got]).toEqual(['ADAPTER_UNSUPPORTED', 'norm.weight']);
    expect(existsSync(out('e'))).toBe(false);
    for (const flags of [
      ['--energy', '2'],
      ['--rank', '0'],
      ['--modules', '('],
      ['--dtype', 'int8'],
    ])
      expect((await runCli([...from, out('f'), ...flags], people)).code, flags.join(' ')).toBe(2);
  });
});
