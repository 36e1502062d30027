import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { contradictionIn, parametersOf } from '../../shared/recipe/composition.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { ruleYaml } from '../../shared/recipe/rule-yaml.js';
import { LATER_METHODS, RULES } from '../../shared/recipe/rules.js';
import { expectError } from '../support/expect-error.js';

const parse = (text: string) => parseRecipe(text, { fileName: 'r.yml' });
const ISSUE =
  'fedavg fednova fedgma median cclip trimmed_mean geometric_median krum multi_krum fedavgm fedadam fedyogi nan metagpt linear task_arithmetic ties dare_linear dare_ties della della_linear breadcrumbs breadcrumbs_ties sce consensus_ta tall pcb emr lines localize_and_stitch slerp nuslerp multislerp karcher model_stock nearswap arcee_fusion passthrough star tsv_m iso_c iso_cts knots_ties wudi';

describe('the registry of rules', () => {
  it('has every rule by its name, and refuses those to come by theirs', async () => {
    expect(Object.keys(RULES).sort()).toEqual(ISSUE.split(' ').sort());
    for (const [name, rule] of Object.entries(RULES)) expect(rule.name).toBe(name);
    for (const name of LATER_METHODS) await expectError('RECIPE_UNSUPPORTED', () => parse(`merge_method: ${name}`));
  });

  it.each(Object.values(RULES))('$name makes sense: its steps go together, parameters are told apart and explained', (rule) => {
    expect(contradictionIn(rule.composition)).toBeUndefined();
    const names = rule.parameters.map((parameter) => parameter.name);
    expect(new Set(names).size).toBe(names.length);
    for (const parameter of rule.parameters) {
      expect(parameter.meaning).not.toBe('');
      if (parameter.kind === 'choice') expect(parameter.choices).toContain(parameter.default);
      if (typeof parameter.default === 'string' && parameter.kind === 'number') expect(parameter.words).toContain(parameter.default);
    }
    expect(rule.needs.includes('base') || rule.composition.of === 'weights').toBe(true);
    expect([rule.formula, rule.source, rule.secureAggregation.why].every((text) => text.length > 3)).toBe(true);
  });

  it.each(Object.values(RULES))('$name is printed as a composition that reads back the same', (rule) => {
    const preset = parse(`merge_method: ${rule.name}`);
    const written = parse(ruleYaml(rule));
    expect(written.rule).toEqual(preset.rule);
    expect(written.description.needs).toEqual(rule.needs);
    expect([written.description.perTask, written.description.acrossRounds]).toEqual([rule.perTask, rule.acrossRounds]);
    for (const [name, word] of preset.options) if (name !== 'aggregate') expect([name, written.options.get(name)]).toEqual([name, word]);
    // Whatever the preset does by default, the written composition says or does by default too.
    for (const { name } of parametersOf(rule.composition)) {
      const byDefault = rule.fixed.get(name) ?? rule.parameters.find((parameter) => parameter.name === name)?.default;
      const said = written.parameters.get(name)?.[0]?.value;
      const implied =
        written.description.fixed.get(name) ?? written.description.parameters.find((parameter) => parameter.name === name)?.default;
      if (typeof byDefault === 'number') expect([name, said ?? implied]).toEqual([name, byDefault]);
    }
  });

  it('keeps the defaults of mergekit', () => {
    const defaults = (name: string) =>
      Object.fromEntries((RULES[name]?.parameters ?? []).map((parameter) => [parameter.name, parameter.default]));
    expect(defaults('ties')).toEqual({
      density: 1,
      rescale: 'off',
      weight: undefined,
      normalize: 1,
      variant: 'mergekit',
      lambda: 1,
      int8_mask: 0,
    });
    expect(defaults('dare_ties')).toMatchObject({ normalize: 0, rescale: 'l1' });
    expect(defaults('della')).toMatchObject({ normalize: 1, rescale: 'l1', epsilon: 0.15 });
    expect(defaults('della_linear')).toMatchObject({ normalize: 0, rescale: 'l1' });
    expect(defaults('breadcrumbs')).toMatchObject({ normalize: 0, rescale: 'off', gamma: 0.01 });
    expect(defaults('linear')).toEqual({ weight: undefined, normalize: 1 });
    expect(defaults('karcher')).toEqual({ max_iter: 10, tol: 1e-5 });
    expect(defaults('sce')).toEqual({ select_topk: 1, int8_mask: 0 });
    expect(defaults('nuslerp')).toEqual({ weight: undefined, nuslerp_flatten: 1, nuslerp_row_wise: 0 });
    expect(defaults('multislerp')).toEqual({ weight: undefined, normalize_weights: 1, eps: 1e-8 });
  });
});

describe('parameters of rules', () => {
  it('reads words beside numbers, and what is not said', () => {
    expect(parse('merge_method: cclip').options).toEqual(
      new Map([
        ['rho', 'auto'],
        ['aggregate', 'sum'],
      ]),
    );
    const clipped = parse('merge_method: cclip\nparameters: {rho: 2.5, aggregate: mean}');
    expect([clipped.options, clipped.parameters.get('rho')]).toEqual([new Map([['aggregate', 'mean']]), [{ value: 2.5 }]]);
    expect(parse('merge_method: fedadam').options.get('optimizer')).toBe('adam');
    expect(parse('merge_method: multi_krum\nparameters: {byzantine: 1}').options.get('keep')).toBe('auto');
  });

  it('takes yes, no and words for rescale', () => {
    const rescale = (text: string) => parse(`merge_method: dare_ties\nparameters: {rescale: ${text}}`).options.get('rescale');
    expect(['true', '1', 'no', 'off', '0.0', '1/p', 'l1'].map(rescale)).toEqual(['l1', 'l1', 'off', 'off', 'off', '1/p', 'l1']);
    expect(parse('merge_method: dare_ties').options.get('rescale')).toBe('l1');
  });

  it('knows variants by name', () => {
    expect(parse('merge_method: ties@paper').options.get('variant')).toBe('paper');
    expect(parse('merge_method: ties\nparameters: {variant: paper}').options.get('variant')).toBe('paper');
    expect(parse('merge_method: ties').options.get('variant')).toBe('mergekit');
  });

  it("takes mergekit's int8_mask without a word where mergekit has it", () => {
    expect(parse('merge_method: ties\nparameters: {int8_mask: true}').warnings).toEqual([]);
    expect(parse('merge_method: slerp\nparameters: {t: 0.5, density: 0.5}').warnings).toEqual([
      'parameters.density has no effect with slerp',
    ]);
  });

  const refused: [string, ErrorCode, string, string, string][] = [
    ['a share above 1', 'RECIPE_INVALID', 'merge_method: ties\nparameters: {density: 1.5}', '2:23', 'from 0 to 1'],
    ['a gradient that leaves the range', 'RECIPE_INVALID', 'merge_method: ties\nparameters: {density: [0.5, -1]}', '2:23', 'got -1'],
    ['a broken count', 'RECIPE_INVALID', 'merge_method: karcher\nparameters: {max_iter: 2.5}', '2:24', 'whole number'],
    ['an unknown word', 'RECIPE_INVALID', 'merge_method: cclip\nparameters: {rho: atuo}', '2:19', 'auto'],
    ['an unknown choice', 'RECIPE_INVALID', 'merge_method: fedgma\nparameters: {aggregate: meen}', '2:25', 'Did you mean mean?'],
    [
      'a choice by filter',
      'RECIPE_UNSUPPORTED',
      'merge_method: fedgma\nparameters: {aggregate: [{filter: x, value: mean}]}',
      '2:25',
      'one word',
    ],
    ['an unknown variant', 'RECIPE_INVALID', 'merge_method: ties@papr', '1:15', 'variant'],
    ['a variant of what has none', 'RECIPE_INVALID', 'merge_method: linear@paper', '1:15', 'variant'],
  ];
  it.each(refused)('refuses %s', async (_label, code, text, position, words) => {
    const error = await expectError(code, () => parse(text));
    expect(error.details.where).toBe(`r.yml:${position}`);
    expect(error.message).toContain(words);
  });
});

describe('weighting, refine and rule', () => {
  it('replaces the weighting of a preset', () => {
    const recipe = parse(
      'merge_method: ties\nweighting: {nan: {norm: task_vector, per: model, scale: m_half}}\nparameters: {density: 0.2}',
    );
    expect(recipe.rule).toEqual({ of: 'task_vectors', transforms: ['trim'], weighting: 'nan', combine: 'sign_consensus', post: ['scale'] });
    expect(Object.fromEntries(recipe.options)).toEqual({
      norm: 'task_vector',
      per: 'model',
      scale: 'm_half',
      rescale: 'off',
      variant: 'mergekit',
    });
    expect(recipe.method).toBe('ties');
    const { parameters, needs } = parse('merge_method: linear\nweighting: samples').description;
    expect([parameters.map((parameter) => parameter.name), needs]).toEqual([['weight'], ['samples']]);
    expect(parse('merge_method: fedavg\nweighting: uniform').description.fixed.has('normalize')).toBe(false);
  });

  it('puts refinements in front of the transforms and behind the sum', () => {
    const recipe = parse('merge_method: ties\nrefine: [{clip: {rho: 3}}, {lines: {alpha: 0.5, beta: auto}}]');
    expect(recipe.rule).toMatchObject({ transforms: ['clip', 'trim'], post: ['lines', 'scale'] });
    expect([recipe.parameters.get('rho'), recipe.parameters.get('alpha'), recipe.options.get('beta')]).toEqual([
      [{ value: 3 }],
      [{ value: 0.5 }],
      'auto',
    ]);
    expect(recipe.description.parameters.find((parameter) => parameter.name === 'normalize')?.default).toBe(1);
    expect(parse('merge_method: linear\nrefine: []').rule).toEqual(parse('merge_method: linear').rule);
  });

  it('lifts options of steps to parameters', () => {
    const recipe = parse(
      'rule:\n  transform: [{trim: {density: [0.2, 0.4]}}]\n  weighting: {nan: {per: tensor}}\n  combine: {sign_consensus: {variant: paper}}\n  post: [{scale: {lambda: 0.8}}]\n',
    );
    expect(recipe.parameters).toEqual(
      new Map([
        ['density', [{ value: [0.2, 0.4] }]],
        ['lambda', [{ value: 0.8 }]],
      ]),
    );
    expect(recipe.options.get('per')).toBe('tensor');
    expect(parse('rule: {combine: mean}').description.parameters.find(({ name }) => name === 'normalize')?.default).toBe(1);
  });

  const refused: [string, ErrorCode, string, string, string][] = [
    [
      'a weighting where values are sorted',
      'RECIPE_INVALID',
      'merge_method: median\nweighting: samples',
      '2:1',
      'counts every contribution once',
    ],
    ['a weighting of slerp', 'RECIPE_INVALID', 'merge_method: slerp\nweighting: given', '2:1', 't is its weight'],
    ['a mistyped weighting', 'RECIPE_INVALID', 'merge_method: ties\nweighting: sampels', '2:12', 'Did you mean samples?'],
    ['a transform as weighting', 'RECIPE_INVALID', 'merge_method: ties\nweighting: trim', '2:12', 'is no weighting'],
    ['a weighting beside a rule', 'RECIPE_INVALID', 'rule: {combine: sum}\nweighting: samples', '2:1', 'Write it under rule'],
    ['a refinement of weights', 'RECIPE_INVALID', 'merge_method: linear\nrefine: [clip]', '2:1', 'task vectors'],
    ['lines on weights', 'RECIPE_INVALID', 'merge_method: linear\nrefine: [lines]', '2:1', 'task vector'],
    ['another refinement', 'RECIPE_INVALID', 'merge_method: ties\nrefine: [trim]', '2:10', 'is no refinement'],
    ['a refinement twice', 'RECIPE_INVALID', 'merge_method: ties\nrefine: [clip, clip]', '2:1', 'twice'],
    ['parameters of the same name', 'RECIPE_INVALID', 'merge_method: fedgma\nrefine: [clip]', '2:1', 'rho'],
    ['an option given twice', 'RECIPE_INVALID', 'merge_method: ties\nrefine: [{clip: {rho: 1}}]\nparameters: {rho: 2}', '3:1', 'twice'],
    ['a median of weights', 'RECIPE_INVALID', 'rule: {combine: {median: {of: weights}}}', '1:31', 'task_vectors'],
    ['an option that a step has not', 'RECIPE_UNKNOWN_KEY', 'rule: {transform: [{trim: {gamma: 1}}], combine: sum}', '1:28', 'gamma'],
    ['a combine step as transform', 'RECIPE_INVALID', 'rule: {transform: [median], combine: sum}', '1:20', 'no transform'],
    ['a transform before slerp', 'RECIPE_INVALID', 'rule: {transform: [trim], combine: slerp}', '1:7', 'no transform goes before it'],
  ];
  it.each(refused)('refuses %s', async (_label, code, text, position, words) => {
    const error = await expectError(code, () => parse(text));
    expect(error.details.where).toBe(`r.yml:${position}`);
    expect(error.message).toContain(words);
  });
});
