import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { layerPositions } from '../../shared/recipe/layers.js';
import { interpolate, resolveParameter } from '../../shared/recipe/parameters.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { expectError } from '../support/expect-error.js';

const parse = (text: string) => parseRecipe(text, { fileName: 'r.yml' });
const LINEAR = 'merge_method: linear\nmodels: [{model: ./a, parameters: {weight: 1}}]\n';

describe('parseRecipe', () => {
  it('reads a mergekit recipe with all forms of values', () => {
    const recipe = parse(`
merge_method: task_arithmetic
base_model: ./base
models:
  - model: ./base
  - model: ./a
    parameters:
      weight:
        - filter: mlp
          value: [0, 0.5, 1]
        - value: "0.25"
  - model: {model: ./b}
    samples: 30
    steps: 4
    parameters: {weight: 1e-3}
parameters: {normalize: yes, lambda: [0.5, 1]}
dtype: torch.float32
out_dtype: bfloat16
seed: 7
numerics: exact
`);
    expect(recipe).toMatchObject({ method: 'task_arithmetic', baseModel: './base', dtype: 'F32', outDtype: 'BF16', seed: 7, warnings: [] });
    expect(recipe.models.map(({ model, samples, steps }) => [model, samples, steps])).toEqual([
      ['./base', undefined, undefined],
      ['./a', undefined, undefined],
      ['./b', 30, 4],
    ]);
    expect(recipe.models[1]?.parameters.get('weight')).toEqual([
      { filter: 'mlp', value: [0, 0.5, 1] },
      { filter: undefined, value: 0.25 },
    ]);
    expect(recipe.models[2]?.parameters.get('weight')).toEqual([{ value: 0.001 }]);
    expect(recipe.parameters.get('normalize')).toEqual([{ value: 1 }]);
  });

  it('reads anchors, aliases and merge keys, as PyYAML does', () => {
    const recipe = parse(
      'merge_method: linear\nmodels:\n  - &first\n    model: ./a\n    parameters: &p {weight: 0.5}\n  - <<: *first\n    model: ./b\n  - {model: ./c, parameters: *p}\n',
    );
    expect(recipe.models.map((model) => [model.model, model.parameters.get('weight')])).toEqual(
      ['./a', './b', './c'].map((path) => [path, [{ value: 0.5 }]]),
    );
  });

  it('reads compositions and presets into the same form', () => {
    expect(parse('rule: {weighting: {samples: {}}, combine: {sum: {}}}').rule).toEqual(parse('merge_method: fedavg').rule);
    expect(parse('rule: {weighting: given, combine: {sum: {}}}').rule).toEqual(parse('merge_method: task_arithmetic').rule);
    expect(parse('rule: {weighting: given, combine: {mean: {of: weights}}}').rule).toEqual(parse('merge_method: linear').rule);
    expect(parse('rule: {combine: sum, post: [{scale: {lambda: 0.5}}]}').parameters.get('lambda')).toEqual([{ value: 0.5 }]);
  });

  it('takes y and n for names, as PyYAML does', () => {
    expect(parse('merge_method: linear\nmodels: [{model: y}, {model: N}]').models.map((one) => one.model)).toEqual(['y', 'N']);
  });

  it('warns about parameters without effect', () => {
    const recipe = parse(
      'merge_method: linear\nmodels: [{model: a, parameters: {weight: 1, normalize: 0, density: 0.5}}]\nparameters: {int8_mask: true}',
    );
    expect(recipe.warnings).toEqual([
      'models[0].parameters.normalize has no effect beside a model; write it under the top `parameters`',
      'models[0].parameters.density has no effect with linear',
      'parameters.int8_mask has no effect with linear',
    ]);
  });

  const refused: [string, ErrorCode, string, string, string][] = [
    ['broken YAML', 'RECIPE_SYNTAX', 'a: [1', '1:6', ''],
    ['a key twice', 'RECIPE_SYNTAX', 'seed: 1\nseed: 2', '2:1', 'unique'],
    ['nothing', 'RECIPE_INVALID', '', '1:1', 'wrong kind'],
    ['a list', 'RECIPE_INVALID', '- a', '1:1', 'a list'],
    ['no method', 'RECIPE_INVALID', 'seed: 1', '1:1', 'no method'],
    ['two methods', 'RECIPE_INVALID', 'merge_method: linear\nrule: {combine: sum}', '2:1', 'exclude'],
    ['an unknown key', 'RECIPE_UNKNOWN_KEY', 'merge_method: linear\nxyzzy: 1', '2:1', 'xyzzy'],
    ['a mistyped key', 'RECIPE_UNKNOWN_KEY', 'merge_metod: linear', '1:1', 'Did you mean merge_method?'],
    ['a mistyped model key', 'RECIPE_UNKNOWN_KEY', 'merge_method: linear\nmodels:\n  - modell: a', '3:5', 'Did you mean model?'],
    [
      'a mistyped parameter',
      'RECIPE_UNKNOWN_KEY',
      'merge_method: linear\nmodels:\n  - model: a\n    parameters: {wieght: 1}',
      '4:18',
      'Did you mean weight?',
    ],
    ['an unknown parameter', 'RECIPE_UNKNOWN_KEY', 'merge_method: fedavg\nparameters: {rho: 1}', '2:14', 'rho'],
    ['a mistyped method', 'RECIPE_INVALID', 'merge_method: task-arithmatic', '1:15', 'Did you mean task_arithmetic?'],
    ['a mistyped later method', 'RECIPE_INVALID', 'merge_method: fischer', '1:15', 'Did you mean fisher?'],
    ['a later method', 'RECIPE_UNSUPPORTED', 'merge_method: regmean', '1:15', 'regmean'],
    ['a refinement of weights', 'RECIPE_INVALID', `${LINEAR}refine: [{star: {eta: 40}}]`, '3:1', 'task vectors'],
    [
      'a matrix step behind one by elements',
      'RECIPE_INVALID',
      'rule: {transform: [{trim: {density: 0.5}}, star], combine: sum}',
      '1:7',
      'star',
    ],
    [
      'elements thinned out in front of matrices',
      'RECIPE_INVALID',
      'rule: {transform: [{trim: {density: 0.5}}], combine: iso_c}',
      '1:7',
      'iso_c',
    ],
    ['an eta beyond all', 'RECIPE_INVALID', 'merge_method: star\nparameters: {eta: 101}', '2:19', 'out of range'],
    ['round', 'RECIPE_UNSUPPORTED', `${LINEAR}round: {}`, '3:1', 'round'],
    ['other numerics', 'RECIPE_INVALID', `${LINEAR}numerics: fast`, '3:11', 'exact'],
    ['two adapters', 'RECIPE_INVALID', 'merge_method: linear\nmodels: [{model: a+b+c}]', '2:18', 'one adapter'],
    [
      'a model and adapters twice',
      'RECIPE_INVALID',
      'merge_method: linear\nmodels: [{model: {model: a+b, lora: c}}]',
      '2:18',
      'one adapter',
    ],
    ['an output of another kind', 'RECIPE_INVALID', `${LINEAR}output: lora`, '3:9', 'adapter'],
    ['an energy beyond all', 'RECIPE_INVALID', `${LINEAR}output: {adapter: {energy: 2}}`, '3:19', 'out of range'],
    ['a later step', 'RECIPE_UNSUPPORTED', 'rule: {transform: [{align: {}}], combine: sum}', '1:21', 'align'],
    ['an unknown step', 'RECIPE_INVALID', 'rule: {combine: summ}', '1:17', 'Did you mean sum?'],
    ['a rule without combine', 'RECIPE_INVALID', 'rule: {weighting: uniform}', '1:7', 'combine'],
    ['two lambdas', 'RECIPE_INVALID', 'rule: {combine: sum, post: [{scale: {lambda: 1}}]}\nparameters: {lambda: 2}', '2:1', 'twice'],
    ['a word for a number', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: lots}', '2:22', 'expected a number'],
    ['NaN', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: .nan}', '2:22', 'not finite'],
    ['infinity', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: .inf}', '2:22', 'not finite'],
    ['1e999', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: "1e999"}', '2:22', 'not finite'],
    ['an empty gradient', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: []}', '2:22', 'empty'],
    ['numbers mixed with filters', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: [1, {value: 2}]}', '2:23', 'not both'],
    ['a filter without value', 'RECIPE_INVALID', 'merge_method: linear\nparameters: {weight: [{filter: x}]}', '2:23', 'no value'],
    ['models that are no list', 'RECIPE_INVALID', 'merge_method: linear\nmodels: a', '2:9', 'a list of models'],
    ['no models', 'RECIPE_INVALID', 'merge_method: linear\nmodels: []', '2:9', 'empty'],
    ['a model without path', 'RECIPE_INVALID', 'merge_method: linear\nmodels: [{samples: 1}]', '2:10', 'names no model'],
    ['a model twice', 'RECIPE_INVALID', 'merge_method: linear\nmodels: [{model: a}, {model: a}]', '2:22', 'twice'],
    ['samples of zero', 'RECIPE_INVALID', 'merge_method: fedavg\nmodels: [{model: a, samples: 0}]', '2:30', 'out of range'],
    ['models and contributors', 'RECIPE_INVALID', `${LINEAR}contributors: {a: {}}`, '3:1', 'rounds'],
    ['an unknown dtype', 'RECIPE_INVALID', `${LINEAR}dtype: float31`, '3:8', 'float32'],
    ['a dtype without arithmetic', 'RECIPE_UNSUPPORTED', `${LINEAR}dtype: int64`, '3:8', 'int64'],
    ['a seed that is no whole number', 'RECIPE_INVALID', `${LINEAR}seed: 1.5`, '3:7', 'whole'],
  ];
  it.each(refused)('refuses %s', async (_label, code, text, position, words) => {
    const error = await expectError(code, () => parse(text));
    expect(error.details.where).toBe(`r.yml:${position}`);
    expect(error.message).toContain(words);
  });

  it('is not slowed down by aliases of aliases', async () => {
    const bomb = `${Array.from({ length: 30 }, (_, index) => `a${index}: &a${index} [${index === 0 ? '1' : `*a${index - 1}, *a${index - 1}`}]`).join('\n')}\n`;
    await expectError('RECIPE_UNKNOWN_KEY', () => parse(bomb));
    await expectError('RECIPE_INVALID', () => parse('merge_method: linear\nmodels:\n  - &m\n    <<: *m\n    model: a\n'));
  });
});

describe('values over layers', () => {
  it('interpolates gradients as mergekit does', () => {
    expect([0, 0.25, 0.5, 1].map((t) => interpolate([0, 10, 30], t))).toEqual([0, 5, 10, 30]);
    expect(interpolate([7], 0.5)).toBe(7);
    expect(interpolate(3, 0.5)).toBe(3);
  });

  it('asks scopes in order, and each case by substring', () => {
    const own = new Map([['weight', [{ filter: 'mlp', value: 1 }]]]);
    const top = new Map([['weight', [{ filter: '*', value: 2 }]]]);
    expect(resolveParameter('weight', [own, undefined, top], 'layers.0.mlp.w', 0)).toBe(1);
    expect(resolveParameter('weight', [own, top], 'layers.0.attn.w', 0)).toBe(2);
    expect(resolveParameter('weight', [own], 'layers.0.attn.w', 0)).toBeUndefined();
  });

  it('places tensors by the number in their name', () => {
    const names = ['model.embed_tokens.weight', 'model.layers.0.a', 'model.layers.1.a', 'model.layers.2.a', 'lm_head.weight'];
    const t = layerPositions(names);
    expect(names.map(t)).toEqual([0, 0, 0.5, 1, 0]);
    expect(names.map(layerPositions(names, 5))).toEqual([0, 0, 0.25, 0.5, 0]);
    expect(layerPositions(['transformer.h.0.w'])('transformer.h.0.w')).toBe(1);
    const towers = layerPositions(['vision.blocks.0.w', 'vision.blocks.1.w', 'text.layers.0.w', 'text.layers.4.w'], 5);
    expect([towers('vision.blocks.1.w'), towers('text.layers.1.w')]).toEqual([1, 0.25]);
  });
});
