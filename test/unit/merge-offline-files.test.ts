/** What stands beside the weights of an offline merge, and where its layers come from. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline, type OfflineMergeOptions } from '../../client/merge/merge-offline.js';
import { planOffline } from '../../client/merge/offline-job.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { expectError } from '../support/expect-error.js';
import { type Model, toTensors } from '../support/merge-fixture.js';
import { decode } from '../support/scalar-reference.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();
const CONFIG = {
  model_type: 'llama',
  num_hidden_layers: 3,
  vocab_size: 2,
  layer_types: ['full', 'sliding', 'last'],
  torch_dtype: 'float32',
};

function model(name: string, value: number, rows = 2, files: Readonly<Record<string, string>> = {}): void {
  const full = (count: number): number[] => Array.from({ length: count }, () => value);
  const tensors: Model = {
    'model.embed_tokens.weight': { dtype: 'F32', values: full(rows * 2), shape: [rows, 2] },
    ...Object.fromEntries([0, 1, 2].map((layer) => [`model.layers.${layer}.w`, { dtype: 'F32', values: [value + layer / 10] }])),
    'model.norm.weight': { dtype: 'F32', values: [value] },
  };
  writeCheckpoint(join(root, name), toTensors(tensors), {
    'config.json': JSON.stringify({ ...CONFIG, vocab_size: rows }),
    'tokenizer.json': '{"vocab": 1}',
    'tokenizer_config.json': JSON.stringify({ of: name, chat_template: name === 'base' ? 'plain' : 'other' }),
    ...files,
  });
}
model('base', 1);
model('a', 2);
model('b', 4);
model('foreign', 4, 2, { 'tokenizer.json': '{"vocab": 2}' });
model('larger', 8, 3);

let count = 0;
async function merge(recipe: string, options: Partial<OfflineMergeOptions> = {}) {
  count += 1;
  const outDir = join(root, `out-${count}`);
  const recipeText = recipe.replaceAll('@', `${root}/`);
  const report = await mergeOffline({ recipeText, recipePath: 'r.yml', outDir, threads: 1, version: '1', ...options });
  const { tensors } = await openCheckpoint(outDir);
  const first = (name: string): number => {
    const segment = tensors.get(name)?.segments[0];
    return segment === undefined ? Number.NaN : decode('F32', readFileSync(segment.path).readUInt32LE(segment.offset));
  };
  const text = (name: string): string => readFileSync(join(outDir, name), 'utf8');
  return { report, text, files: readdirSync(outDir).sort(), names: [...tensors.keys()], first };
}
const LINEAR = 'merge_method: linear\nmodels: [{model: "@a", parameters: {weight: 1}}, {model: "@b", parameters: {weight: 1}}]\n';

describe('slices on disk', () => {
  it('stacks layers, and configures as many', async () => {
    const { names, first, text } = await merge(
      'merge_method: passthrough\nslices:\n  - sources: [{model: "@a", layer_range: [1, 3]}]\n  - sources: [{model: "@b", layer_range: [0, 2], parameters: {scale: 0.5}}]\n',
    );
    expect(names.sort()).toEqual([
      'model.embed_tokens.weight',
      ...[0, 1, 2, 3].map((layer) => `model.layers.${layer}.w`),
      'model.norm.weight',
    ]);
    const values = names.map(first);
    [2, 2.1, 2.2, 2, 2.05, 2].forEach((value, index) => expect(values[index]).toBeCloseTo(value, 6));
    expect(JSON.parse(text('config.json'))).toMatchObject({ num_hidden_layers: 4, layer_types: ['sliding', 'last', 'full', 'sliding'] });
  });

  it('says in the configuration how many rows of embeddings are left', async () => {
    const { text, report, first } = await merge(
      'merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: "@larger"}, {model: "@a"}]',
    );
    expect(JSON.parse(text('config.json'))).toMatchObject({ vocab_size: 2 });
    expect(report.warnings).toEqual([expect.stringContaining('has 3 rows in')]);
    expect(first('model.embed_tokens.weight')).toBe(5);
  });

  it('opens the base of a slice, and refuses folders that are one', async () => {
    const { first } = await merge(
      'merge_method: slerp\nbase_model: "@base"\nparameters: {t: 0}\nslices:\n  - {base_model: "@a", sources: [{model: "@b", layer_range: [0, 2]}]}\n  - {sources: [{model: "@b", layer_range: [2, 3]}]}\n',
    );
    expect(['model.layers.1.w', 'model.layers.2.w', 'model.norm.weight'].map((name) => Math.round(first(name) * 10))).toEqual([21, 12, 10]);
    await expectError('RECIPE_INVALID', () =>
      merge(
        'merge_method: linear\nparameters: {weight: 1}\nslices: [{sources: [{model: "@a", layer_range: [0, 1]}, {model: "@b/../a", layer_range: [0, 1]}]}]',
      ),
    );
  });
});

describe('the tokenizer', () => {
  it('is copied from the first model or the base, or not at all', async () => {
    expect(JSON.parse((await merge(LINEAR)).text('tokenizer_config.json'))).toEqual({ of: 'a', chat_template: 'other' });
    expect((await merge(LINEAR, { copyTokenizer: false })).files).toEqual(['README.md', 'config.json', 'model.safetensors']);
    expect((await merge(LINEAR, { writeModelCard: false })).files).not.toContain('README.md');
  });

  it('comes from a named model when all have the same vocabulary', async () => {
    for (const key of ['tokenizer_source: "@b"', 'tokenizer: {source: "@b"}'])
      expect(JSON.parse((await merge(`${LINEAR}${key}`)).text('tokenizer_config.json'))).toMatchObject({ of: 'b' });
    expect(JSON.parse((await merge(`${LINEAR}base_model: "@base"\ntokenizer_source: base`)).text('tokenizer_config.json'))).toMatchObject({
      of: 'base',
    });
    expect(JSON.parse((await merge(`${LINEAR}tokenizer: {}`)).text('tokenizer_config.json'))).toMatchObject({ of: 'a' });
  });

  it('is not merged', async () => {
    const foreign = LINEAR.replace('@b', '@foreign');
    const error = await expectError('RECIPE_UNSUPPORTED', () => merge(`${foreign}tokenizer_source: union`));
    expect(error.message).toContain('vocabularies');
    await expectError('RECIPE_UNSUPPORTED', () => merge(`${LINEAR}tokenizer: {tokens: {x: {source: "@a"}}}`));
    await expectError('RECIPE_UNSUPPORTED', () => merge(`${LINEAR}tokenizer: {pad_to_multiple_of: 64}`));
    await expectError('RECIPE_INVALID', () => merge(`${LINEAR}tokenizer_source: base`));
    await expectError('RECIPE_INVALID', () => merge(`${LINEAR}tokenizer_source: "@foreign"`));
    await expectError('RECIPE_INVALID', () => merge(`${LINEAR}tokenizer_source: union\ntokenizer: {source: union}`));
    await merge(`${foreign}`);
  });

  it('gets the chat template that the recipe names, writes, or most models have', async () => {
    const template = async (key: string) => {
      const { text } = await merge(`${LINEAR}base_model: "@base"\nchat_template: ${key}`);
      expect((JSON.parse(text('tokenizer_config.json')) as { chat_template: string }).chat_template).toBe(text('chat_template.jinja'));
      return text('chat_template.jinja');
    };
    expect(await template('chatml')).toContain('<|im_start|>');
    expect(await template('"{% for m in messages %}{{ m }}{% endfor %}"')).toBe('{% for m in messages %}{{ m }}{% endfor %}');
    expect(await template('auto')).toBe('other');
    expect(await template('llama3')).toContain('<|start_header_id|>');
    expect(await template('mistral')).toContain('[INST]');
    await expectError('RECIPE_INVALID', () => merge(`${LINEAR}chat_template: chatmll`));
  });
});

describe('the rest', () => {
  it('takes another seed than the recipe says, and says so in the card', async () => {
    const dare =
      `merge_method: dare_linear\nbase_model: "@base"\nparameters: {weight: 1, density: 0.5}\nmodels: [{model: "@larger"}]\nseed: 3`.replace(
        'larger',
        'a',
      );
    expect((await merge(dare)).text('README.md')).toContain('| Seed | 3 |');
    expect((await merge(dare, { seed: 4 })).text('README.md')).toContain('| Seed | 4 |');
  });

  it('says in the card what the merge was made of', async () => {
    const { text } = await merge(
      'merge_method: ties\nbase_model: "@base"\nparameters: {weight: 1, density: 0.5, variant: paper}\nmodels: [{model: "@a"}]',
    );
    for (const part of ['trim -> weighting given -> sign_consensus of task vectors -> scale', '| Variant | paper |', 'numerics: exact'])
      expect(text('README.md')).toContain(part);
  });

  it('plans without writing or reading weights', async () => {
    const recipeText = `merge_method: dare_ties\nbase_model: ${root}/base\nparameters: {weight: 1}\nmodels: [{model: ${root}/a}]`;
    const outDir = join(root, 'never');
    const { plan } = await planOffline({ recipeText, recipePath: 'r.yml', outDir, version: '1' });
    expect(plan.totals).toMatchObject({ tensors: 5, writeBytes: expect.any(Number) as number });
    expect(readdirSync(root)).not.toContain('never');
  });

  it('refuses rules that need rounds', async () => {
    const error = await expectError('RECIPE_INVALID', () =>
      merge('merge_method: fedadam\nbase_model: "@base"\nmodels: [{model: "@a", samples: 1}]'),
    );
    expect(error.message).toContain('round');
  });
});
