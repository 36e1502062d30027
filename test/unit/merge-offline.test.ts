import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { expectError } from '../support/expect-error.js';
import { toTensors } from '../support/merge-fixture.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const names = ['model.embed_tokens.weight', 'model.layers.0.w', 'model.layers.1.w'];
const CONFIG = '{"model_type": "llama", "num_hidden_layers": 3, "torch_dtype": "float16", "text_config": {"dtype": "float16"}}';

for (const [name, value] of [
  ['base', 1],
  ['a', 2],
  ['b', 4],
] as const) {
  const tensors = toTensors(Object.fromEntries(names.map((tensor) => [tensor, { dtype: 'BF16' as const, values: [value, value] }])));
  writeCheckpoint(join(root, name), tensors, { 'config.json': CONFIG, 'tokenizer.json': `{"of": "${name}"}`, 'README.md': 'not ours' });
}

let count = 0;
async function merge(recipeText: string, options: { shardSizeBytes?: number; force?: boolean; outDir?: string } = {}) {
  count += 1;
  const outDir = options.outDir ?? join(root, `out-${count}`);
  const seen: string[] = [];
  const report = await mergeOffline({
    ...options,
    recipeText: recipeText.replaceAll('@', `${root}/`),
    recipePath: 'r.yml',
    outDir,
    threads: 2,
    version: '1.2.3',
    onWarning: (warning) => seen.push(warning),
  });
  expect(seen).toEqual(report.warnings);
  const { tensors } = await openCheckpoint(outDir);
  const first = (name: string): number => {
    const segment = tensors.get(name)?.segments[0];
    const bits = segment === undefined ? 0 : readFileSync(segment.path).readUInt16LE(segment.offset);
    return Buffer.from(Uint32Array.of(bits << 16).buffer).readFloatLE();
  };
  return { outDir, report, values: names.map(first), card: readFileSync(join(outDir, 'README.md'), 'utf8') };
}

const TA =
  'merge_method: task_arithmetic\nbase_model: @base\nmodels:\n  - model: @base\n  - {model: @a, parameters: {weight: 0.5}}\n  - {model: @b, samples: 7, parameters: {weight: [0, 1]}}\n';

describe('mergeOffline', () => {
  it('merges folders, with layers counted by config.json, and brings configuration, tokenizer and card along', async () => {
    const { outDir, report, values, card } = await merge(TA);
    expect(values).toEqual([1.5, 1.5, 3]);
    expect(report).toMatchObject({
      method: 'task_arithmetic',
      models: 2,
      tensors: 3,
      files: ['model.safetensors'],
      resumed: false,
      warnings: [],
    });
    expect(readdirSync(outDir).sort()).toEqual(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json']);
    expect(JSON.parse(readFileSync(join(outDir, 'config.json'), 'utf8'))).toEqual({
      model_type: 'llama',
      num_hidden_layers: 3,
      torch_dtype: 'bfloat16',
      text_config: { dtype: 'bfloat16' },
    });
    expect(readFileSync(join(outDir, 'tokenizer.json'), 'utf8')).toBe('{"of": "base"}');
    expect(card).toContain(`---\nbase_model:\n- ${JSON.stringify(`${root}/base`)}`);
    for (const part of [
      'library_name: transformers',
      '- merge\n- tributary\n- task_arithmetic',
      'base + lambda x sum of weight_i (x_i - base)',
      TA.replaceAll('@', `${root}/`),
      'Tributary 1.2.3',
      'bfloat16',
    ])
      expect(card).toContain(part);
    expect(card).toMatch(/\| .*\/b \| \[0, 1\] \| 7 \|/);
  });

  it('writes shards with an index', async () => {
    const { outDir, values } = await merge(TA, { shardSizeBytes: 8 });
    expect(values).toEqual([1.5, 1.5, 3]);
    expect(JSON.parse(readFileSync(join(outDir, 'model.safetensors.index.json'), 'utf8'))).toEqual({
      metadata: { total_size: 12 },
      weight_map: {
        'model.embed_tokens.weight': 'model-00001-of-00002.safetensors',
        'model.layers.0.w': 'model-00001-of-00002.safetensors',
        'model.layers.1.w': 'model-00002-of-00002.safetensors',
      },
    });
  });

  it('linear: a base beside the models counts nothing, a listed one its weight', async () => {
    const models = 'models:\n  - {model: @a, parameters: {weight: 1}}\n  - {model: @b, parameters: {weight: 1}}\n';
    expect((await merge(`merge_method: linear\n${models}`)).values).toEqual([3, 3, 3]);
    const beside = await merge(`merge_method: linear\nbase_model: @base\n${models}`);
    expect(beside.values).toEqual([3, 3, 3]);
    expect(beside.report.warnings).toEqual([expect.stringContaining('weight 0')]);
    expect((await merge(`merge_method: linear\nbase_model: @base\n${models}  - {model: @base, parameters: {weight: 2}}\n`)).values).toEqual(
      [2, 2, 2],
    );
  });

  it('warns that dtype is not what is stored', async () => {
    const { report } = await merge(`${TA}dtype: float32\n`);
    expect(report.warnings).toEqual([expect.stringContaining('Set out_dtype')]);
    expect((await merge(`${TA}dtype: bfloat16\n`)).report.warnings).toEqual([]);
  });

  it('replaces an earlier merge only with force', async () => {
    const { outDir } = await merge(TA);
    await expectError('OUTPUT_EXISTS', () => merge(TA, { outDir }));
    await merge(TA, { outDir, force: true });
    await expectError('OUTPUT_EXISTS', () => merge(TA, { outDir: join(root, 'a'), force: true }));
  });

  it('refuses what belongs to rounds and what cannot be merged, and leaves no output', async () => {
    await expectError('RECIPE_INVALID', () =>
      merge('merge_method: task_arithmetic\nbase_model: base:llama\nmodels: [{model: @a, parameters: {weight: 1}}]'),
    );
    await expectError('RECIPE_INVALID', () => merge('merge_method: linear\ncontributors: {a: {}}'));
    await expectError('RECIPE_INVALID', () => merge('merge_method: linear'));
    await expectError('RECIPE_INVALID', () => merge('merge_method: linear\nmodels: [{model: @a}]'));
    await expectError('RECIPE_INVALID', () => merge('merge_method: task_arithmetic\nbase_model: @base\nmodels: [{model: @base}]'));
    await expectError('RECIPE_INVALID', () =>
      merge('merge_method: linear\nmodels: [{model: @a, parameters: {weight: 1}}, {model: @b/../a, parameters: {weight: 1}}]'),
    );
    await expectError('SAMPLES_MISSING', () => merge('merge_method: fedavg\nbase_model: @base\nmodels: [{model: @a}]'));
    await expectError('CHECKPOINT_NOT_FOUND', () => merge('merge_method: linear\nmodels: [{model: @nowhere, parameters: {weight: 1}}]'));
    expect(existsSync(join(root, `out-${count}`))).toBe(false);
  });
});
