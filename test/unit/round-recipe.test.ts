import { describe, expect, it } from 'vitest';
import { parseRoundRecipe } from '../../coordinator/rounds/round-recipe.js';
import { expectError } from '../support/expect-error.js';

describe('a recipe of a round', () => {
  it('takes what the participants and the base of a round allow', () => {
    expect(parseRoundRecipe('merge_method: ties\nbase_model: base:llama\ntokenizer_source: base\nparameters: {density: 0.2}').base).toBe(
      'llama',
    );
    expect(
      parseRoundRecipe('merge_method: krum\nparameters: {byzantine: 1}\ncontributors: {a: {steps: 3}}').recipe.contributors.get('a')?.steps,
    ).toBe(3);
  });

  it.each([
    ['models', 'merge_method: linear\nmodels: [{model: a}]', 'models:'],
    ['slices', 'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1]}]}]', 'slices:'],
    ['modules', 'merge_method: linear\nmodules: {default: {models: [{model: a}]}}', 'modules:'],
    ['a folder', 'merge_method: ties\nbase_model: ./base', 'folder'],
    ['another tokenizer', 'merge_method: ties\ntokenizer_source: union', 'tokenizer'],
    ['a chat template', 'merge_method: ties\nchat_template: chatml', 'chat template'],
    ['krum without the number of liars', 'merge_method: krum', 'byzantine'],
  ])('refuses %s when the round is made', async (_label, text, words) => {
    expect((await expectError('RECIPE_INVALID', () => parseRoundRecipe(text))).message).toContain(words);
  });
});
