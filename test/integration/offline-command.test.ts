/** `merge`, `plan` and `rules` as people and mergekit's scripts type them. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cliOk, errorOf, runCli } from '../support/cli.js';
import { killLeftovers } from '../support/processes.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, writeCheckpoint } from '../support/write-checkpoint.js';

const home = tempDir();
const json = { home };
const people = { home, format: 'table' as const };
for (const [name, value] of [
  ['base', 0],
  ['a', 1],
  ['b', 3],
] as const)
  writeCheckpoint(
    join(home, name),
    [0, 1].map((layer) => f32Tensor(`layers.${layer}.w`, [value, layer])),
  );
const recipe = join(home, 'r.yml');
writeFileSync(
  recipe,
  `merge_method: ties\nbase_model: ${home}/base\nparameters: {density: 0.5, weight: 1}\nmodels: [{model: ${home}/a}, {model: ${home}/b}]\n`,
);

describe('tributary merge', () => {
  afterAll(killLeftovers);

  it("accepts mergekit's command line, and says which flags mean nothing here", async () => {
    const out = join(home, 'out');
    const flags =
      '--copy-tokenizer --allow-crimes --transformers-cache x --lora-merge-cache y --cuda --low-cpu-memory --lazy-unpickle --trust-remote-code --random-seed 7 --write-model-card --clone-tensors --safe-serialization --async-write --write-threads 2 --read-to-gpu --multi-gpu --no-gpu-rich -v --out-shard-size 1GB';
    const { code, stderr } = await runCli(['merge', recipe, out, ...flags.split(' ')], people);
    expect([code, existsSync(join(out, 'model.safetensors'))]).toEqual([0, true]);
    expect(stderr).toContain('--cuda has no effect here: merging runs on the processor');
    expect(stderr).not.toContain('--gpu-rich');
    expect(stderr).not.toContain('random-seed');
  });

  it('refuses flags that would change the output', async () => {
    expect(errorOf(await runCli(['merge', recipe, join(home, 'no'), '--no-safe-serialization'], json)).code).toBe('USAGE');
    expect(errorOf(await runCli(['merge', recipe, join(home, 'no'), '--gptq'], json)).code).toBe('USAGE');
  });

  it('says what it would do, and does nothing', async () => {
    const planned = await cliOk<{ totals: { tensors: number }; tensors: { name: string; inputs: string[] }[] }>(['plan', recipe], json);
    expect(planned.totals.tensors).toBe(2);
    expect(planned.tensors.map((tensor) => tensor.name)).toEqual(['layers.0.w', 'layers.1.w']);
    const { stdout } = await runCli(['merge', recipe, '--dry-run'], people);
    for (const part of ['ties', 'trim -> weighting given', 'read ', 'write ', 'memory', 'time', 'layers.0-1.w'])
      expect(stdout).toContain(part);
    expect(existsSync(join(home, 'merged'))).toBe(false);
    writeFileSync(recipe.replace('r.yml', 'bad.yml'), 'merge_method: ties\nmodels: []');
    expect(errorOf(await runCli(['plan', recipe.replace('r.yml', 'bad.yml')], json)).code).toBe('RECIPE_INVALID');
  });
});

describe('tributary rules', () => {
  it('lists, explains, and prints compositions', async () => {
    const list = await cliOk<{ name: string }[]>(['rules'], json);
    expect(list.length).toBeGreaterThan(30);
    expect((await runCli(['rules'], people)).stdout).toMatch(/ties +task vectors +base +no/);
    const { stdout } = await runCli(['rules', 'show', 'fednova'], people);
    for (const part of ['arXiv', 'base, steps', 'works under secure aggregation', 'lambda']) expect(stdout).toContain(part);
    expect((await runCli(['rules', 'slerp'], people)).stdout).toContain('required');
    expect((await runCli(['rules', 'show', 'ties', '--format', 'yaml'], people)).stdout).toContain('transform: [{trim:');
  });

  it('knows typing errors, and where YAML makes no sense', async () => {
    expect(errorOf(await runCli(['rules', 'show', 'tise'], json)).details.fix).toContain('ties');
    expect((await runCli(['rules', '--format', 'yaml'], people)).code).toBe(2);
    expect((await runCli(['plan', recipe, '--format', 'yaml'], people)).code).toBe(2);
  });
});
