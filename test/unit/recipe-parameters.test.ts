import { describe, expect, it } from 'vitest';
import { createParameterReader, type Participant, sumCoefficients } from '../../shared/recipe/evaluate.js';
import { layerPositions } from '../../shared/recipe/layers.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { expectError } from '../support/expect-error.js';

const parse = (text: string) => parseRecipe(text, { fileName: 'r.yml' });
const NAMES = ['embed.weight', 'layers.0.mlp', 'layers.1.mlp', 'layers.2.mlp'];
const position = layerPositions(NAMES);

function reader(text: string, participants: readonly Participant[], weightDefault?: number) {
  return createParameterReader(parse(text), participants, position, weightDefault);
}
/** The models of the recipe itself. */
function offline(text: string) {
  return reader(
    text,
    parse(text).models.map(({ model, samples, steps, parameters }) => ({ name: model, samples, steps, parameters })),
  );
}

describe('createParameterReader', () => {
  it('asks the model, then the top, then the default; globals only at the top', () => {
    const read = offline(
      'merge_method: ties\nmodels:\n  - {model: a, parameters: {weight: 2, density: [{filter: mlp, value: [0, 1]}]}}\n  - {model: b}\nparameters: {weight: 1, density: 0.3, lambda: [1, 3]}',
    );
    const middle = read({ name: 'layers.1.mlp' });
    expect([middle.model('weight', 0), middle.model('weight', 1)]).toEqual([2, 1]);
    expect([middle.model('density', 0), middle.model('density', 1)]).toEqual([0.5, 0.3]);
    expect([middle.global('lambda'), middle.global('normalize'), read({ name: 'embed.weight' }).global('lambda')]).toEqual([2, 1, 1]);
    expect(read({ name: 'embed.weight' }).model('density', 0)).toBe(0.3);
  });

  it('holds filters against the input for a model, against the output for all, at the t it is told', () => {
    const recipe = parse(
      'merge_method: ties\nmodels: [{model: a, parameters: {weight: 1, density: [{filter: layers.7., value: 0.5}]}}]\nparameters: {lambda: [{filter: layers.0., value: [0, 1]}, {value: 9}]}',
    );
    const [model] = recipe.models;
    const read = createParameterReader(recipe, [{ name: 'a' }], position);
    const source = { input: 0, inputName: 'layers.7.mlp', scopes: [model?.parameters] };
    const values = read({ name: 'layers.0.mlp', t: 0.25, sources: [source], scopes: [undefined, recipe.parameters] });
    expect([values.model('density', 0), values.global('lambda')]).toEqual([0.5, 0.25]);
    expect(read({ name: 'layers.7.mlp', sources: [source] }).global('lambda')).toBe(9);
  });

  it('weighs as the weighting says', async () => {
    const two = (more: string): Participant[] => [
      { name: 'a', samples: 1, steps: 2 },
      { name: 'b', samples: 3, steps: 4, ...(more === '' ? {} : { [more]: undefined }) },
    ];
    const weights = (text: string, participants = two('')) => {
      const values = reader(text, participants)({ name: 'embed.weight' });
      return participants.map((_, index) => values.model('weight', index));
    };
    expect(weights('merge_method: fedavg')).toEqual([1, 3]);
    expect(weights('merge_method: ties\nweighting: samples')).toEqual([0.25, 0.75]);
    expect(weights('merge_method: fednova')).toEqual([0.75, 0.375]);
    expect(
      weights(
        'merge_method: fednova',
        [2, 4, 4].map((steps) => ({ name: 'x', steps })),
      ),
    ).toEqual([5 / 9, 5 / 18, 5 / 18]);
    for (const method of ['median', 'nan', 'metagpt']) expect(weights(`merge_method: ${method}`)).toEqual([1, 1]);
    await expectError('SAMPLES_MISSING', () => weights('merge_method: fedavg', two('samples')));
    const error = await expectError('STEPS_MISSING', () => weights('merge_method: fednova', two('steps')));
    expect(error.message).toContain('b does not say');
  });

  it('normalises shares and means, whatever the rule calls it', () => {
    const normalize = (text: string) => reader(text, [{ name: 'a', samples: 1, steps: 1 }])({ name: 'x' }).global('normalize');
    expect(['fedavg', 'fednova', 'nan', 'linear', 'fedadam'].map((name) => normalize(`merge_method: ${name}`))).toEqual([1, 0, 0, 1, 1]);
    expect([normalize('merge_method: cclip'), normalize('merge_method: cclip\nparameters: {aggregate: mean}')]).toEqual([0, 1]);
    expect(normalize('rule: {weighting: samples, combine: sum}')).toBe(1);
    expect(normalize('merge_method: task_arithmetic\nweighting: samples')).toBe(1);
    expect(normalize('merge_method: fedavg\nweighting: steps')).toBe(0);
  });

  it('has what a rule fixes and steps have by default', () => {
    const values = reader('merge_method: krum\nparameters: {byzantine: 1}', [{ name: 'a' }])({ name: 'x' });
    expect([values.global('byzantine'), values.global('keep'), values.global('lambda')]).toEqual([1, 1, 1]);
  });

  it('says which model and tensor lack what is required', async () => {
    const read = offline('merge_method: task_arithmetic\nmodels: [{model: a, parameters: {weight: [{filter: mlp, value: 1}]}}]');
    expect(read({ name: 'layers.0.mlp' }).model('weight', 0)).toBe(1);
    const error = await expectError('RECIPE_INVALID', () => read({ name: 'embed.weight' }).model('weight', 0));
    expect(error.message).toContain('a has no weight for tensor embed.weight');
    const slerp = reader('merge_method: slerp', [{ name: 'a' }]);
    expect((await expectError('RECIPE_INVALID', () => slerp({ name: 'embed.weight' }).global('t'))).message).toContain(
      'tensor embed.weight has no t',
    );
    expect(reader('merge_method: linear', [{ name: 'a' }], 1)({ name: 'x' }).model('weight', 0)).toBe(1);
    expect(reader('merge_method: linear', [{ name: 'a', isBase: true }])({ name: 'x' }).model('weight', 0)).toBe(0);
  });

  it('refuses to divide by zero', async () => {
    const text = 'merge_method: linear\ncontributors: {a: {parameters: {weight: 1}}, b: {parameters: {weight: -1}}}';
    const participants = [{ name: 'a' }, { name: 'b' }];
    const values = reader(text, participants)({ name: 'x' });
    await expectError('RECIPE_INVALID', () => sumCoefficients(parse(text), [...participants.keys()], values, 'x'));
  });
});
