import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import type { StoredTensor } from '../../shared/formats/tensor.js';
import type { OpenedModel } from '../../shared/merge/merge-part.js';
import { outputTensors } from '../../shared/merge/output-tensors.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { createParameterReader } from '../../shared/recipe/evaluate.js';
import { layerPositions } from '../../shared/recipe/layers.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { expectError } from '../support/expect-error.js';

const parse = (text: string) => parseRecipe(text, { fileName: 'r.yml' });

function model(name: string, shapes: Readonly<Record<string, readonly number[]>>): Map<string, StoredTensor> {
  let offset = 0;
  return new Map(
    Object.entries(shapes).map(([tensor, shape]) => {
      const sizeBytes = shape.reduce((product, one) => product * one, 2);
      offset += sizeBytes;
      const segments = [{ path: name, offset: offset - sizeBytes, length: sizeBytes }];
      return [tensor, { name: tensor, dtype: 'BF16' as const, shape, sizeBytes, segments }];
    }),
  );
}

function llama(name: string, layers: number, more: Readonly<Record<string, readonly number[]>> = {}): Map<string, StoredTensor> {
  const blocks = Array.from({ length: layers }, (_, index) => [`model.layers.${index}.w`, [2, 2]] as const);
  return model(name, {
    'model.embed_tokens.weight': [5, 2],
    ...Object.fromEntries(blocks),
    'model.norm.weight': [2],
    'lm_head.weight': [5, 2],
    ...more,
  });
}

/** Plans a recipe over models by name; models that are only a base are no inputs. */
function plan(text: string, tensors: Readonly<Record<string, Map<string, StoredTensor>>>) {
  const recipe = parse(text);
  const { baseModel } = recipe;
  const names = [...new Set([...recipe.models, ...recipe.slices.flatMap((slice) => slice.sources)].map((one) => one.model))].filter(
    (name) => recipe.description.baseAsModel || name !== baseModel,
  );
  const inputs = names.map(
    (name): MergeInput => ({
      name,
      kind: 'full',
      tensors: tensors[name] ?? new Map(),
      parameters: recipe.models.find((one) => one.model === name)?.parameters,
      isBase: name === baseModel,
    }),
  );
  const models = new Map(
    Object.entries(tensors).map(([name, map]): [string, OpenedModel] => [
      name,
      { name, tensors: map, input: names.includes(name) ? names.indexOf(name) : undefined },
    ]),
  );
  const base = baseModel === undefined ? undefined : { name: baseModel, tensors: tensors[baseModel] ?? new Map() };
  return { recipe, inputs, ...outputTensors({ recipe, inputs, base, models }) };
}

const STACK = `
merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 2]}]
  - sources: [{model: b, layer_range: [1, 4], parameters: {scale: [{filter: layers.3., value: 0.5}, {value: 1}]}}]
    parameters: {scale: 7}
`;

describe('slices', () => {
  it('numbers layers anew, takes the front from the first slice and the back from the last', () => {
    const { tensors, layersFrom, recipe, inputs } = plan(STACK, { a: llama('a', 4), b: llama('b', 4) });
    expect(tensors.map(({ name, t, sources }) => [name, t, sources.map((source) => `${source.input} ${source.inputName}`)])).toEqual([
      ['model.embed_tokens.weight', 0, ['0 model.embed_tokens.weight']],
      ['model.layers.0.w', 0, ['0 model.layers.0.w']],
      ['model.layers.1.w', 1, ['0 model.layers.1.w']],
      ['model.layers.2.w', 0, ['1 model.layers.1.w']],
      ['model.layers.3.w', 0.5, ['1 model.layers.2.w']],
      ['model.layers.4.w', 1, ['1 model.layers.3.w']],
      ['model.norm.weight', 0, ['1 model.norm.weight']],
      ['lm_head.weight', 0, ['1 lm_head.weight']],
    ]);
    expect(layersFrom).toEqual([0, 1, 1, 2, 3]);
    const read = createParameterReader(recipe, inputs, layerPositions([]));
    expect(tensors.map((tensor) => read(tensor).model('scale', tensor.sources[0]?.input ?? 0))).toEqual([1, 1, 1, 1, 1, 0.5, 1, 1]);
  });

  it('looks up parameters in source, slice and top; one layer has t 1', () => {
    const { tensors, recipe, inputs } = plan(
      'merge_method: slerp\nbase_model: a\nslices:\n  - sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [2, 3]}]\n    parameters: {t: [0, 0.25]}\n  - sources: [{model: b, layer_range: [0, 2]}, {model: a, layer_range: [1, 3]}]\nparameters: {t: [{filter: layers.2., value: 0.75}, {value: 0.5}]}',
      { a: llama('a', 3), b: llama('b', 3) },
    );
    const read = createParameterReader(recipe, inputs, layerPositions([]));
    expect(tensors.map((tensor) => [tensor.name, tensor.base?.name, tensor.sources[0]?.inputName, read(tensor).global('t')])).toEqual([
      ['model.embed_tokens.weight', 'model.embed_tokens.weight', 'model.embed_tokens.weight', 0],
      ['model.layers.0.w', 'model.layers.0.w', 'model.layers.2.w', 0.25],
      ['model.layers.1.w', 'model.layers.1.w', 'model.layers.0.w', 0.5],
      ['model.layers.2.w', 'model.layers.2.w', 'model.layers.1.w', 0.75],
      ['model.norm.weight', 'model.norm.weight', 'model.norm.weight', 0.5],
      ['lm_head.weight', 'lm_head.weight', 'lm_head.weight', 0.5],
    ]);
    expect(inputs.map((input) => input.name)).toEqual(['b']);
  });

  it('takes a base that no slice lists from the same layers, when they are the same', async () => {
    const text = (second: string) =>
      `merge_method: ties\nbase_model: base\nparameters: {weight: 1}\nslices: [{sources: [{model: a, layer_range: [1, 3]}, {model: b, layer_range: ${second}}]}]`;
    const models = { base: llama('base', 4), a: llama('a', 4), b: llama('b', 4) };
    expect(plan(text('[1, 3]'), models).tensors[1]).toMatchObject({ name: 'model.layers.0.w', base: { name: 'model.layers.1.w' } });
    await expectError('RECIPE_INVALID', () => plan(text('[0, 2]'), models));
  });

  it('splits a model with towers into modules', () => {
    const towers = (name: string) =>
      model(name, { 'vision.layers.0.w': [1], 'vision.layers.1.w': [1], 'text.layers.0.w': [1], 'text.norm.weight': [1] });
    const text = (modules: string) => `merge_method: linear\nparameters: {weight: 1}\nmodules: {${modules}}`;
    const tensors = towers('a');
    const recipe = parse(
      text(
        'vision: {slices: [{sources: [{model: a, layer_range: [1, 2]}]}]}, text: {models: [{model: a, parameters: {weight: 3}}], parameters: {normalize: false}}',
      ),
    );
    const inputs: MergeInput[] = [{ name: 'a', kind: 'full', tensors }];
    const models = new Map([['a', { name: 'a', tensors, input: 0 }]]);
    const result = outputTensors({ recipe, inputs, models });
    const read = createParameterReader(recipe, inputs, layerPositions([]));
    expect(
      result.tensors.map((tensor) => [
        tensor.name,
        tensor.sources[0]?.inputName,
        tensor.t,
        read(tensor).model('weight', 0),
        read(tensor).global('normalize'),
      ]),
    ).toEqual([
      ['vision.layers.0.w', 'vision.layers.1.w', 1, 1, 1],
      ['text.layers.0.w', 'text.layers.0.w', 1, 3, 0],
      ['text.norm.weight', 'text.norm.weight', 0, 3, 0],
    ]);
  });

  const refused: [string, ErrorCode, string, string][] = [
    ['a layer that is not there', 'RECIPE_INVALID', STACK.replace('[1, 4]', '[1, 5]'), 'b has no layer 4'],
    [
      'sources of unequal length',
      'RECIPE_INVALID',
      'merge_method: linear\nslices: [{sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 3]}]}]',
      'same number',
    ],
    [
      'a model twice',
      'RECIPE_INVALID',
      'merge_method: linear\nslices: [{sources: [{model: a, layer_range: [0, 2]}, {model: a, layer_range: [2, 4]}]}]',
      'twice',
    ],
    ['an empty range', 'RECIPE_INVALID', STACK.replace('[1, 4]', '[4, 4]'), 'range'],
    ['a range of three', 'RECIPE_INVALID', STACK.replace('[1, 4]', '[1, 2, 3]'), 'range'],
    ['a source without layers', 'RECIPE_INVALID', STACK.replace(', layer_range: [0, 2]', ''), 'no layers'],
    ['a mistyped key', 'RECIPE_UNKNOWN_KEY', STACK.replace('layer_range: [0, 2]', 'layer_rang: [0, 2]'), 'Did you mean layer_range?'],
    ['models and slices', 'RECIPE_INVALID', `${STACK}models: [{model: a}]`, 'exclude'],
    ['no slices', 'RECIPE_INVALID', 'merge_method: linear\nslices: []', 'empty'],
    ['a module with nothing', 'RECIPE_INVALID', 'merge_method: linear\nmodules: {default: {}}', 'either models or slices'],
    [
      'too many sources',
      'RECIPE_INVALID',
      'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]}]',
      'exactly 1',
    ],
  ];
  it.each(refused)('refuses %s', async (_label, code, text, words) => {
    const error = await expectError(code, () => plan(text, { a: llama('a', 4), b: llama('b', 4) }));
    expect(error.message).toContain(words);
  });

  it('refuses slices of a model with several stacks, and modules that do not share out its tensors', async () => {
    const towers = { a: model('a', { 'vision.layers.0.w': [1], 'text.layers.0.w': [1] }) };
    await expectError('RECIPE_INVALID', () =>
      plan('merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}]', towers),
    );
    const recipe = parse('merge_method: passthrough\nmodules: {vision: {models: [{model: a}]}, sound: {models: [{model: a}]}}');
    const request = { recipe, inputs: [{ name: 'a', kind: 'full' as const, tensors: towers.a }] };
    expect((await expectError('RECIPE_INVALID', () => outputTensors(request))).message).toContain('no module');
  });

  it('takes what mergekit takes without effect', () => {
    const { warnings } = parse(STACK.replace('parameters: {scale: 7}', 'residual_weight: 0.5'));
    expect(warnings).toEqual([expect.stringContaining('no effect')]);
    expect(parse('merge_method: linear\nmodels: [{model: {model: {path: ./a, revision: null}, lora: null}}]').models[0]?.model).toBe('./a');
  });
});

describe('models of one shape, almost', () => {
  const text = (method: string) => `merge_method: ${method}\nbase_model: base\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]`;

  it('cuts larger vocabularies to the base, of which there are task vectors', async () => {
    const larger = llama('a', 1, { 'model.embed_tokens.weight': [7, 2], 'lm_head.weight': [7, 2] });
    const { tensors, warnings, vocabularyRows } = plan(text('task_arithmetic'), { base: llama('base', 1), a: larger, b: llama('b', 1) });
    const [embedding] = tensors;
    expect([embedding?.shape, vocabularyRows]).toEqual([[5, 2], 5]);
    expect(embedding?.sources[0]?.tensor).toMatchObject({ shape: [5, 2], sizeBytes: 20, segments: [{ path: 'a', length: 20 }] });
    expect(warnings).toHaveLength(2);
    await expectError('SHAPE_MISMATCH', () => plan(text('task_arithmetic'), { base: larger, a: llama('a', 1), b: larger }));
  });

  it('cuts to the smallest for weights, across segments', () => {
    const larger = llama('b', 1, { 'model.embed_tokens.weight': [7, 2] });
    const embedding = larger.get('model.embed_tokens.weight');
    if (embedding !== undefined)
      larger.set(embedding.name, {
        ...embedding,
        segments: [
          { path: 'p', offset: 0, length: 8 },
          { path: 'q', offset: 0, length: 20 },
        ],
      });
    const { tensors, vocabularyRows } = plan('merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: a}, {model: b}]', {
      a: llama('a', 1),
      b: larger,
    });
    expect(tensors[0]?.sources[1]?.tensor.segments).toEqual([
      { path: 'p', offset: 0, length: 8 },
      { path: 'q', offset: 0, length: 12 },
    ]);
    expect(vocabularyRows).toBe(5);
  });

  it('merges a head without the models whose head is tied', () => {
    const tied = llama('b', 1);
    tied.delete('lm_head.weight');
    const some = plan(text('task_arithmetic'), { base: llama('base', 1), a: llama('a', 1), b: tied });
    expect(some.tensors.find((tensor) => tensor.name === 'lm_head.weight')?.sources.map((source) => source.input)).toEqual([0]);
    expect(some.warnings).toEqual(['lm_head.weight is merged without b, which does not have it']);
    const none = plan(text('task_arithmetic'), { base: tied, a: llama('a', 1), b: llama('b', 1) });
    expect([none.tensors.map((tensor) => tensor.name), none.warnings]).toEqual([
      ['model.embed_tokens.weight', 'model.layers.0.w', 'model.norm.weight'],
      [expect.stringContaining('left out')],
    ]);
  });

  it('refuses every other difference', async () => {
    const with_ = (more: Readonly<Record<string, readonly number[]>>) => () =>
      plan(text('task_arithmetic'), { base: llama('base', 1), a: llama('a', 1, more), b: llama('b', 1) });
    await expectError('SHAPE_MISMATCH', with_({ 'model.embed_tokens.weight': [5, 3] }));
    await expectError('SHAPE_MISMATCH', with_({ 'model.norm.weight': [3] }));
    await expectError('TENSOR_EXTRA', with_({ 'model.layers.1.w': [2, 2] }));
    await expectError('TENSOR_MISSING', () =>
      plan(text('task_arithmetic'), { base: llama('base', 2), a: llama('a', 1), b: llama('b', 2) }),
    );
    await expectError('RECIPE_INVALID', () =>
      plan('merge_method: slerp\nbase_model: base\nmodels: [{model: a}, {model: b}]', {
        base: llama('x', 1),
        a: llama('a', 1),
        b: llama('b', 1),
      }),
    );
  });
});
