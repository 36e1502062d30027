/** What a rule decides once for all tensors: coefficients from whole task vectors, and factors of the merged vector. */
import { TributaryError } from '../errors/tributary-error.js';
import type { ParameterValues } from '../recipe/evaluate.js';
import { layerOf } from '../recipe/layers.js';
import type { Recipe } from '../recipe/recipe.js';
import type { LinesFactor } from './program.js';
import type { MergeInput, ModelMeasurement } from './types.js';

function invalid(recipe: Recipe, what: string, details: { expected?: string; got?: string; fix?: string }): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

const radius = (recipe: Recipe, values: ParameterValues): number | 'auto' =>
  recipe.options.get('rho') === 'auto' ? 'auto' : values.global('rho');

function clipMeasurement(recipe: Recipe, values: ParameterValues): ModelMeasurement {
  const iterations = values.global('iterations');
  const alone = recipe.rule.combine === 'sum' && recipe.rule.transforms.length === 1 && recipe.rule.weighting === 'uniform';
  if (!alone && iterations > 1)
    return invalid(recipe, 'clipping moves its centre only when it is all there is in front of a uniform sum', {
      expected: 'iterations: 1',
      got: `${iterations}`,
    });
  const aggregate = alone && values.global('normalize') !== 0 ? 'mean' : 'sum';
  return { rule: { kind: 'cclip', rho: radius(recipe, values), iterations, aggregate }, of: 'task_vectors', clip: !alone };
}

/** @throws RECIPE_INVALID */
export function modelMeasurement(recipe: Recipe, values: ParameterValues, inputs: readonly MergeInput[]): ModelMeasurement | undefined {
  const { transforms, weighting, combine } = recipe.rule;
  const n = inputs.length;
  if (transforms.includes('clip')) return clipMeasurement(recipe, values);
  if (combine === 'krum') {
    const byzantine = values.global('byzantine');
    if (2 * byzantine + 2 >= n)
      return invalid(recipe, `${recipe.method} cannot withstand ${byzantine} of ${n} contributions`, {
        expected: '2 x byzantine + 2 < number of contributions',
        fix: 'Lower byzantine, or wait for more contributions.',
      });
    const keep = recipe.options.get('keep') === 'auto' ? Math.max(1, n - byzantine - 2) : values.global('keep');
    if (keep > n) return invalid(recipe, `keep is more than the ${n} contributions there are`, { got: `${keep}` });
    return { rule: { kind: 'krum', byzantine, keep }, of: 'task_vectors' };
  }
  if (combine === 'geometric_median') {
    const rule = {
      kind: 'geometric_median' as const,
      iterations: values.global('iterations'),
      smoothing: values.global('smoothing'),
      tol: values.global('tol'),
      shares: inputs.map((_, index) => values.model('weight', index)),
    };
    return { rule, of: 'task_vectors' };
  }
  if (weighting === 'metagpt') return { rule: { kind: 'metagpt' }, of: 'task_vectors' };
  if (weighting !== 'nan' || (recipe.options.get('per') === 'tensor' && transforms.length === 0 && combine === 'sum')) return undefined;
  if (recipe.options.get('per') === 'tensor')
    return invalid(recipe, 'nan weighs tensor by tensor only in front of a plain sum', { expected: 'per: model' });
  const scale = recipe.options.get('scale') === 'm_half' ? 'm_half' : values.global('scale');
  return { rule: { kind: 'nan', scale }, of: recipe.options.get('norm') === 'task_vector' ? 'task_vectors' : 'weights' };
}

/** Whether alpha has to be measured: of a uniform sum it is known, 1 / N, or 1 of the mean. */
function measuresAlpha({ options, rule }: Recipe): boolean {
  const uniformSum = rule.combine === 'sum' && rule.transforms.length === 0 && rule.weighting === 'uniform';
  return rule.post.includes('lines') && options.get('alpha') === 'auto' && !uniformSum;
}

const betaOf = (recipe: Recipe, values: ParameterValues): number | 'auto' =>
  recipe.options.get('beta') === 'auto' ? 'auto' : values.global('beta');

/** LiNeS (arXiv 2410.17146): alpha + beta t in layers, alpha outside. */
function layerFactor(recipe: Recipe, values: ParameterValues, name: string, t: number, inputs: number): number {
  if (measuresAlpha(recipe)) return 1;
  const auto = recipe.options.get('alpha') === 'auto';
  const alpha = !auto ? values.global('alpha') : values.global('normalize') === 0 ? 1 / inputs : 1;
  const beta = betaOf(recipe, values);
  return layerOf(name) === undefined ? alpha : alpha + (beta === 'auto' ? 1 - alpha : beta) * t;
}

/** What the factor of a tensor's layer follows from, where it is measured. */
export function linesOf(recipe: Recipe, values: ParameterValues, name: string, t: number, inputs: number): LinesFactor | undefined {
  if (!measuresAlpha(recipe)) return undefined;
  return { inputs, beta: betaOf(recipe, values), depth: layerOf(name) === undefined ? undefined : t };
}

/** What the merged vector of a tensor is multiplied by. */
export function lambdaOf(recipe: Recipe, values: ParameterValues, name: string, t: number, inputs: number): number {
  let factor = 1;
  for (const step of recipe.rule.post) {
    if (step === 'scale') factor *= values.global('lambda');
    else if (step === 'lines') factor *= layerFactor(recipe, values, name, t, inputs);
    else
      throw new TributaryError('RECIPE_UNSUPPORTED', { what: `${recipe.method} cannot be merged in this version`, where: recipe.fileName });
  }
  return factor;
}
