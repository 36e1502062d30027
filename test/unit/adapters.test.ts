/** Adapters on disk: what makes a folder one, what of it contradicts itself or its base, and what a merge's plan makes of the rest. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { planOffline } from '../../client/merge/offline-job.js';
import { expandAdapter, openAdapter } from '../../shared/formats/adapter.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { compilePart, layOutTiles } from '../../shared/merge/compile-job.js';
import { compileMatrices } from '../../shared/merge/compile-matrices.js';
import { planDigest } from '../../shared/merge/journal.js';
import { adapted, type TestAdapter, type TestFactors, writeAdapter, writeAdapterFiles } from '../support/adapters.js';
import { expectError } from '../support/expect-error.js';
import { type Model, toTensors, type Values } from '../support/merge-fixture.js';
import { mergeFolders } from '../support/offline-merge.js';
import { tempDir } from '../support/temp-dir.js';
import { writeCheckpoint } from '../support/write-checkpoint.js';

const root = tempDir();

const zeros = (shape: readonly number[], dtype: MergeDType = 'F32'): Values => ({
  dtype,
  shape,
  values: Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, index) => (index % 7) / 8),
});
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'embed_tokens.weight': [10, 4],
  'layers.0.q.weight': [6, 4],
  'layers.0.q.bias': [6],
  'layers.0.square.weight': [4, 4],
  'layers.0.c_attn.weight': [4, 12],
  'layers.0.conv.weight': [6, 2, 3, 3],
  'layers.0.experts.weight': [3, 6, 4],
  'norm.weight': [4],
};
const base: Model = {
  ...Object.fromEntries(Object.entries(SHAPES).map(([name, shape]) => [name, zeros(shape)])),
  positions: { name: 'positions', dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
};
const basePath = writeCheckpoint(join(root, 'base'), toTensors(base));
const PREFIX = 'base_model.model.';

const folderOf = (): string => mkdtempSync(join(root, 'adapter-'));
const factors = (module: string, rank = 2, rest: Partial<TestFactors> = {}): TestFactors => ({ module, rank, scale: 2, ...rest });
const adapter = (one: Partial<TestAdapter>): TestAdapter => ({
  config: { r: 2, lora_alpha: 4 },
  factors: [factors('layers.0.q')],
  seed: 1,
  ...one,
});
const write = (one: Partial<TestAdapter>): string => writeAdapter(folderOf(), base, adapter(one));

async function expand(path: string) {
  const { tensors } = await openCheckpoint(basePath);
  return { expanded: expandAdapter(await openAdapter(path), { name: 'base', tensors }), tensors };
}

/** An adapter of single tensors. */
const odd = (tensors: Model, config: object = {}): string =>
  writeAdapterFiles(
    folderOf(),
    { peft_type: 'LORA', r: 2, lora_alpha: 4, ...config },
    toTensors(Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [PREFIX + name, tensor]))),
  );
const A = 'layers.0.q.lora_A.weight';
const B = 'layers.0.q.lora_B.weight';
const right = { [A]: zeros([2, 4]), [B]: zeros([6, 2]) };

describe('a folder of an adapter', () => {
  it('becomes a complete model in the names of its base', async () => {
    const { expanded, tensors } = await expand(write({}));
    expect([...expanded.keys()]).toEqual([...tensors.keys()]);
    for (const [name, tensor] of expanded)
      if (name !== 'layers.0.q.weight') expect(tensor).toBe(tensors.get(name));
      else {
        expect(tensor).toMatchObject({ dtype: 'F32', shape: [6, 4], sizeBytes: 96, segments: [], difference: true });
        expect(tensor.product).toMatchObject({ rank: 2, scale: 2, transposed: false, left: { shape: [6, 2] }, right: { shape: [2, 4] } });
      }
  });

  it('is no checkpoint, and says what to do', async () => {
    const path = write({});
    for (const one of [path, join(path, 'adapter_model.safetensors')]) {
      const error = await expectError('RECIPE_UNSUPPORTED', () => openCheckpoint(one));
      expect(error.message).toMatch(/MODEL\+ADAPTER/);
    }
  });

  it('needs both of its files, and no other weights', async () => {
    const pickle = write({});
    rmSync(join(pickle, 'adapter_model.safetensors'));
    await expectError('CHECKPOINT_NOT_FOUND', () => openAdapter(pickle));
    writeFileSync(join(pickle, 'adapter_model.bin'), 'PK');
    await expectError('PICKLE_REFUSED', () => openAdapter(pickle));
    const bare = write({});
    rmSync(join(bare, 'adapter_config.json'));
    expect((await expectError('ADAPTER_INVALID', () => openAdapter(bare))).message).toMatch(/adapter_config\.json/);
    const both = write({});
    writeCheckpoint(both, toTensors(base));
    expect((await expectError('ADAPTER_INVALID', () => openAdapter(both))).message).toMatch(/both an adapter and a model/);
    const large = write({});
    writeFileSync(join(large, 'adapter_config.json'), ' '.repeat(2 ** 20 + 1));
    await expectError('ADAPTER_INVALID', () => openAdapter(large));
    const damaged = write({});
    writeFileSync(join(damaged, 'adapter_config.json'), Buffer.from([0x7b, 0xff, 0x7d]));
    await expectError('ADAPTER_INVALID', () => openAdapter(damaged));
  });

  it.each<[string, string, () => string, RegExp]>([
    ['another rank', 'ADAPTER_INVALID', () => write({ config: { r: 4, lora_alpha: 4 } }), /rank/],
    ['a rank of rank_pattern', 'ADAPTER_INVALID', () => write({ config: { r: 2, lora_alpha: 4, rank_pattern: { q: 4 } } }), /rank/],
    ['one factor', 'ADAPTER_INVALID', () => odd({ [A]: zeros([2, 4]) }), /but one factor/],
    ['factors of another size', 'ADAPTER_INVALID', () => odd({ ...right, [A]: zeros([2, 5]) }), /do not fit/],
    ['factors of vectors', 'ADAPTER_INVALID', () => odd({ ...right, [A]: zeros([2]) }), /rank/],
    [
      'an absent module',
      'ADAPTER_INVALID',
      () => write({ factors: [factors('layers.0.q', 2, { key: 'layers.1.q' })], config: { r: 2, lora_alpha: 4, target_modules: ['q'] } }),
      /layers\.1\.q\.weight is not in the base/,
    ],
    [
      'a module of another name',
      'ADAPTER_INVALID',
      () => write({ config: { r: 2, lora_alpha: 4, target_modules: ['v'] } }),
      /says that it has none/,
    ],
    [
      'an absent whole tensor',
      'ADAPTER_INVALID',
      () => odd({ ...right, 'score.weight': zeros([4]) }, { modules_to_save: ['score'] }),
      /score\.weight is not in the base/,
    ],
    [
      'a whole tensor of another shape',
      'ADAPTER_INVALID',
      () => odd({ ...right, 'norm.weight': zeros([5]) }, { modules_to_save: ['norm'] }),
      /another shape/,
    ],
    ['enlarged embeddings', 'ADAPTER_INVALID', () => odd({ ...right, 'embed_tokens.weight': zeros([12, 4]) }), /enlarged/],
    [
      'a whole tensor nothing speaks of',
      'ADAPTER_INVALID',
      () => odd({ ...right, 'norm.weight': zeros([4]) }),
      /nothing in the configuration/,
    ],
    ['a bias without bias', 'ADAPTER_INVALID', () => odd({ ...right, 'layers.0.q.bias': zeros([6]) }), /nothing in the configuration/],
    ['nothing', 'ADAPTER_INVALID', () => odd({}), /changes nothing/],
    ['an empty tensor', 'ADAPTER_INVALID', () => odd({ ...right, [A]: zeros([0, 4]) }), /is empty/],
    [
      'two adapters',
      'ADAPTER_INVALID',
      () => odd({ 'layers.0.q.lora_A.one.weight': zeros([2, 4]), 'layers.0.q.lora_B.two.weight': zeros([6, 2]) }),
      /several adapters/,
    ],
    [
      'the same factor twice',
      'ADAPTER_INVALID',
      () => odd({ ...right, 'layers.0.q.base_layer.lora_A.weight': zeros([2, 4]) }),
      /more than two factors/,
    ],
    ['a magnitude', 'ADAPTER_UNSUPPORTED', () => odd({ ...right, 'layers.0.q.lora_magnitude_vector': zeros([6]) }), /DoRA/],
    ['a bias of B', 'ADAPTER_UNSUPPORTED', () => odd({ ...right, 'layers.0.q.lora_B.bias': zeros([6]) }), /variant/],
    [
      'tokens',
      'ADAPTER_UNSUPPORTED',
      () => odd({ ...right, 'embed_tokens.token_adapter.trainable_tokens_delta': zeros([2, 4]) }),
      /rows of the embeddings/,
    ],
    [
      'a convolution in groups',
      'ADAPTER_UNSUPPORTED',
      () => odd({ 'layers.0.conv.lora_A.weight': zeros([2, 4, 3, 3]), 'layers.0.conv.lora_B.weight': zeros([6, 1, 1, 1]) }),
      /groups/,
    ],
    [
      'several matrices in one',
      'ADAPTER_UNSUPPORTED',
      () => odd({ 'layers.0.experts.lora_A.weight': zeros([2, 4]), 'layers.0.experts.lora_B.weight': zeros([6, 2]) }),
      /several matrices/,
    ],
    [
      'an unclear square',
      'ADAPTER_INVALID',
      () => write({ factors: [factors('layers.0.square'), factors('layers.0.c_attn', 2, { transposed: true })] }),
      /is unclear/,
    ],
  ])('with %s is refused', async (_, code, path, message) => {
    const error = await expectError(code as 'ADAPTER_INVALID', () => expand(path()));
    expect(error.message).toMatch(message);
  });

  it('with factors in a dtype without arithmetic is refused', async () => {
    const bytes = new Uint8Array(64);
    const path = odd({ ...right, [A]: { name: A, dtype: 'F64', shape: [2, 4], bytes } });
    await expectError('UNSUPPORTED_DTYPE', () => expand(path));
  });

  it('takes the embeddings whole when they are there without factors', async () => {
    const { expanded } = await expand(odd({ ...right, 'embed_tokens.weight': zeros([10, 4]) }));
    expect(expanded.get('embed_tokens.weight')?.segments[0]?.path).toMatch(/adapter_model/);
  });

  it('has the orientation of its shape, whatever fan_in_fan_out says', async () => {
    const { expanded } = await expand(write({ factors: [factors('layers.0.c_attn', 2, { transposed: true }), factors('layers.0.q')] }));
    expect(expanded.get('layers.0.c_attn.weight')?.product?.transposed).toBe(true);
    expect(expanded.get('layers.0.q.weight')?.product?.transposed).toBe(false);
  });
});

describe('a recipe with adapters', () => {
  const recipe = (lines: string): Promise<unknown> => mergeFolders(root, lines);
  const one = write({});
  const models = (...all: string[]): string => `models: ${JSON.stringify(all.map((model) => ({ model, parameters: { weight: 1 } })))}`;

  it('says when the base is missing, an adapter itself, or unclear', async () => {
    const alone = await expectError('RECIPE_INVALID', () => recipe(`merge_method: linear\n${models(one)}`));
    expect(alone.message).toMatch(/does not say on which model/);
    await expectError('RECIPE_INVALID', () => recipe(`merge_method: task_arithmetic\nbase_model: ${one}\n${models(basePath)}`));
    await expectError('RECIPE_INVALID', () => recipe(`merge_method: linear\n${models(`${one}+${write({})}`)}`));
    await expectError('RECIPE_INVALID', () =>
      recipe(`merge_method: task_arithmetic\nbase_model: ${basePath}+${one}\n${models(write({}))}`),
    );
  });

  it('says when an adapter repeats other weights than the base has', async () => {
    const path = write({
      factors: [factors('embed_tokens', 2, { embedding: true, transposed: true })],
      full: { 'embed_tokens.weight': { ...zeros([10, 4]), values: Array.from({ length: 40 }, () => 9) } },
      fileNames: { 'embed_tokens.weight': 'embed_tokens.base_layer.weight' },
    });
    const error = await expectError('ADAPTER_INVALID', () =>
      recipe(`merge_method: task_arithmetic\nbase_model: ${basePath}\n${models(path)}`),
    );
    expect(error.message).toMatch(/embed_tokens/);
  });

  it('is planned without reading what is unchanged', async () => {
    const recipeText = `merge_method: ties\nparameters: {density: 0.5}\nbase_model: ${basePath}\n${models(one, write({ seed: 2 }))}`;
    const { plan } = await planOffline({ recipeText, recipePath: 'recipe.yml', outDir: join(root, 'no'), version: 'test' });
    for (const { name, uses, base: taken, program } of plan.tensors) {
      if (name === 'layers.0.q.weight') expect([uses.length, program?.combine.kind, taken !== undefined]).toEqual([2, 'consensus', true]);
      else expect([uses.map(({ input }) => input), program, taken]).toEqual([[-1], undefined, undefined]);
    }
    const whole = toTensors(base).reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(plan.totals.readBytes).toBe(whole + 2 * (6 + 4) * 2 * 4);
  });

  it('is another merge when the scale, the rank or a factor is another', async () => {
    const digest = async (path: string): Promise<string> => {
      const recipeText = `merge_method: task_arithmetic\nbase_model: ${basePath}\n${models(path)}`;
      const { plan } = await planOffline({ recipeText, recipePath: 'recipe.yml', outDir: join(root, 'no'), version: 'test' });
      const compiled = compilePart(plan.tensors, 0, layOutTiles(plan.tensors, 4096));
      return planDigest(plan, compiled, { ...compileMatrices([], (one) => one), engine: '' }, 'the same');
    };
    const path = write({});
    const before = await digest(path);
    expect(await digest(path)).toBe(before);
    const config = join(path, 'adapter_config.json');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace('"lora_alpha":4', '"lora_alpha":5'));
    expect(await digest(path)).not.toBe(before);
    writeFileSync(config, text);
    expect(await digest(path)).toBe(before);
  });

  it('takes the tokenizer of an adapter that has one', async () => {
    const path = write({});
    const text = '{"chat_template": "{{ messages and more of it }}"}';
    writeFileSync(join(path, 'tokenizer_config.json'), text);
    const outDir = join(root, 'with-tokenizer');
    const recipeText = `merge_method: task_arithmetic\nbase_model: ${basePath}\n${models(path)}\ntokenizer_source: ${JSON.stringify(path)}`;
    await mergeOffline({ recipeText, recipePath: 'recipe.yml', outDir, threads: 1, version: 'test' });
    expect(readFileSync(join(outDir, 'tokenizer_config.json'), 'utf8')).toBe(text);
    expect(readFileSync(join(outDir, 'README.md'), 'utf8')).toContain(`| ${path} | LoRA adapter, rank 2 |`);
  });

  it('cuts the vocabulary of an adapter like that of a checkpoint', async () => {
    const small = write({ factors: [factors('embed_tokens', 2, { embedding: true, transposed: true })] });
    const fewer: Model = { ...base, 'embed_tokens.weight': zeros([8, 4]) };
    const other = writeCheckpoint(join(root, 'fewer'), toTensors(fewer));
    const full = writeCheckpoint(
      join(root, 'fewer-full'),
      toTensors(adapted(base, adapter({ factors: [factors('embed_tokens', 2, { embedding: true, transposed: true })] }))),
    );
    const linear = (model: string): string =>
      `merge_method: linear\nparameters: {weight: 1}\nmodels: ${JSON.stringify([{ model }, { model: other }])}`;
    const [got, expected] = [await mergeFolders(root, linear(`${basePath}+${small}`)), await mergeFolders(root, linear(full))];
    expect(got.values('embed_tokens.weight')).toEqual(expected.values('embed_tokens.weight'));
    expect(got.values('embed_tokens.weight').length).toBe(32);
  });
});
