import { describe, expect, it } from 'vitest';
import { candidateRecipe, mapsRatios, studySpecOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import { expectError } from '../support/expect-error.js';

const parse = (map: string, head = 'merge_method: task_arithmetic\nparameters: {weight: 1, lambda: 0.7}\n'): Recipe =>
  parseRecipe(`${head}map:\n${map.replace(/^/gm, '  ')}\n`, { fileName: 'recipe' });

const TASKS = 'tasks: {legal: {}, code: {metric: loss}}';
const weightOf = (recipe: Recipe, name: string) => recipe.contributors.get(name)?.parameters.get('weight')?.[0]?.value;

describe('the map block', () => {
  it('knows what everybody knows of metrics, and fills in the rest', () => {
    const { map } = parse(
      'tasks: {legal: {}, code: {metric: perplexity, evaluator: bob}, odd: {metric: score, direction: maximise, bounds: [null, 10]}}',
    );
    expect(map?.tasks).toEqual([
      { name: 'legal', metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1, owner: undefined },
      { name: 'code', metric: 'perplexity', direction: 'minimize', lower: 1, upper: undefined, owner: 'bob' },
      { name: 'odd', metric: 'score', direction: 'maximize', lower: undefined, upper: 10, owner: undefined },
    ]);
    expect(map).toMatchObject({
      method: 'map',
      sampler: 'sobol',
      access: 'local',
      seed: 0,
      greedySoup: false,
      weights: { lower: 0, upper: 1 },
    });
  });

  it.each([
    ['merge_method: task_arithmetic\n', '', false],
    ['merge_method: task_arithmetic\nparameters: {normalize: true}\n', '', true],
    ['merge_method: linear\n', '', true],
    ['merge_method: linear\nparameters: {normalize: false}\n', '', false],
    ['merge_method: ties\nparameters: {density: 0.5, lambda: 1}\n', '\ncoefficients: none\nparameters: {lambda: [0, 1]}', false],
    ['merge_method: fedavg\n', '', true],
    ['merge_method: ties\nparameters: {density: 0.5}\n', '', true],
    ['rule: {combine: sum, weighting: given}\n', '', false],
    ['rule: {combine: mean, weighting: given}\n', '', true],
  ])('%s%s: only ratios of weights matter: %s', (head, more, ratios) => {
    expect(mapsRatios(parse(`${TASKS}${more}`, head))).toBe(ratios);
  });

  it('takes names of tasks that a question can name', () => {
    const names = ['law & order', 'läw', '法律', 'a=b', 'a:b.c', 'mmlu/law', 'x'.repeat(100)];
    expect(parse(`tasks: {${names.map((name) => `${JSON.stringify(name)}: {}`).join(', ')}}`).map?.tasks.map(({ name }) => name)).toEqual(
      names,
    );
  });

  it('gives one coordinate a contributor, or one an anchor, and then the parameters', () => {
    const recipe = parse(`${TASKS}\ncoefficients: {bounds: [-0.5, 1.5], layer_groups: 2}\nparameters: {lambda: [0.2, 1.5]}`);
    const { dimensions, contributors } = studySpecOf(recipe, ['alice', 'bob']);
    expect(contributors).toEqual(['alice', 'bob']);
    expect(dimensions.map(({ name, lower, upper, neutral }) => [name, lower, upper, neutral])).toEqual([
      ['alice[0]', -0.5, 1.5, 1],
      ['alice[1]', -0.5, 1.5, 1],
      ['bob[0]', -0.5, 1.5, 1],
      ['bob[1]', -0.5, 1.5, 1],
      ['lambda', 0.2, 1.5, 0.7],
    ]);
  });

  it('makes a recipe of a candidate: weights beside what else the recipe says of a contributor', () => {
    const recipe = parse(
      `${TASKS}\nparameters: {lambda: [0, 2]}`,
      'merge_method: ties\ncontributors: {bob: {parameters: {density: 0.3}}}\n',
    );
    const { dimensions } = studySpecOf(recipe, ['alice', 'bob']);
    const candidate = candidateRecipe(recipe, dimensions, [0.25, 0.5, 1.25]);
    expect(weightOf(candidate, 'alice')).toBe(0.25);
    expect(weightOf(candidate, 'bob')).toBe(0.5);
    expect(candidate.contributors.get('bob')?.parameters.get('density')).toEqual([{ value: 0.3 }]);
    expect(candidate.parameters.get('lambda')).toEqual([{ value: 1.25 }]);
    expect(candidate.method).toBe('ties');
  });

  it('makes a gradient of the anchors', () => {
    const recipe = parse(`${TASKS}\ncoefficients: {layer_groups: 3}`);
    const { dimensions } = studySpecOf(recipe, ['alice']);
    expect(weightOf(candidateRecipe(recipe, dimensions, [0.1, 0.2, 0.3]), 'alice')).toEqual([0.1, 0.2, 0.3]);
  });

  it('takes no weight at all for the base, also where a rule divides by the sum of weights', () => {
    const recipe = parse(TASKS, 'merge_method: linear\n');
    const { dimensions } = studySpecOf(recipe, ['alice', 'bob']);
    const base = candidateRecipe(recipe, dimensions, [0, 0]);
    expect(base.rule.of).toBe('task_vectors');
    expect(weightOf(base, 'bob')).toBe(0);
  });

  it.each([
    ['{}', 'RECIPE_INVALID', 'tasks'],
    ['tasks: {}', 'RECIPE_INVALID', '1 to 64'],
    ['tasks: {a: {metric: score}}', 'RECIPE_INVALID', 'direction'],
    ['tasks: {a: {bounds: [1, 0]}}', 'RECIPE_INVALID', 'lower < upper'],
    ['tasks: {a: {metrik: f1}}', 'RECIPE_UNKNOWN_KEY', 'metric'],
    [`${TASKS}\nbudget: {candidates: 0}`, 'RECIPE_INVALID', '1 to 100000'],
    [`${TASKS}\nbudget: {candidates: 1000000000000}`, 'RECIPE_INVALID', '1 to 100000'],
    [`${TASKS}\nbudget: {evaluations: 100001}`, 'RECIPE_INVALID', '1 to 100000'],
    ['tasks: {"": {}}', 'RECIPE_INVALID', 'name of a task'],
    ['tasks: {"a\\nb": {}}', 'RECIPE_INVALID', 'name of a task'],
    ['tasks: {" a": {}}', 'RECIPE_INVALID', 'spaces at the ends'],
    ['tasks: {"a,b": {}}', 'RECIPE_INVALID', 'commas'],
    ['tasks: {"a>=b": {}}', 'RECIPE_INVALID', '>'],
    ['tasks: {__proto__: {}}', 'RECIPE_INVALID', '__proto__'],
    [`tasks: {${'x'.repeat(101)}: {}}`, 'RECIPE_INVALID', '100 characters'],
    ['tasks: {a: {evaluator: two words}}', 'RECIPE_INVALID', 'name of an agent'],
    [`${TASKS}\nbudget: {candidates: 3, minutes: 3}`, 'RECIPE_INVALID', 'one unit'],
    [`${TASKS}\nbudget: {hours: 3}`, 'RECIPE_UNKNOWN_KEY', 'minutes'],
    [`${TASKS}\ncoefficients: {bounds: [0, null]}`, 'RECIPE_INVALID', 'both sides'],
    [`${TASKS}\ncoefficients: none`, 'RECIPE_INVALID', 'nothing varies'],
    [`${TASKS}\nparameters: {lamda: [0, 1]}`, 'RECIPE_UNKNOWN_KEY', 'lambda'],
    [`${TASKS}\npreferences: {legl: 2}`, 'RECIPE_UNKNOWN_KEY', 'legal'],
    [`${TASKS}\nmethod: bayes`, 'RECIPE_INVALID', 'bayesian'],
    [`${TASKS}\nmethod: nested\ncandidates: served`, 'RECIPE_INVALID', 'withholds'],
    [`${TASKS}\ngreedy_soup: yes\ncandidates: served`, 'RECIPE_INVALID', 'withholds'],
    [`${TASKS}\nmethod: adamerging`, 'RECIPE_INVALID', 'entropy'],
  ])('refuses %j', async (map, code, mentions) => {
    const error = await expectError(code as 'RECIPE_INVALID', () => parse(map));
    expect(error.message).toContain(mentions);
    expect(error.details.where).toMatch(/^recipe:\d+:\d+$/);
  });

  it.each([
    ['merge_method: median\n', 'RECIPE_INVALID', 'no weights'],
    ['merge_method: emr\n', 'RECIPE_UNSUPPORTED', 'each task'],
    ['merge_method: fedadam\n', 'RECIPE_UNSUPPORTED', 'round to round'],
  ])('has no front for %j', async (head, code, mentions) => {
    const error = await expectError(code as 'RECIPE_INVALID', () => parse(TASKS, head));
    expect(error.message).toContain(mentions);
  });

  it('lets parameters vary alone', () => {
    const recipe = parse(`${TASKS}\ncoefficients: none\nparameters: {lambda: [0, 1]}`, 'merge_method: median\n');
    expect(studySpecOf(recipe, ['alice', 'bob']).dimensions.map(({ name }) => name)).toEqual(['lambda']);
  });
});
