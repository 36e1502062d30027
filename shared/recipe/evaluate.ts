/** Turns a recipe into numbers for one tensor: a coefficient per participant, the divisor and lambda. */
import { TributaryError } from '../errors/tributary-error.js';
import type { LayerPosition } from './layers.js';
import { resolveParameter } from './parameters.js';
import type { Parameters, Recipe } from './recipe.js';

export interface Participant {
  /** The model path of the recipe, or the contributor's name. */
  readonly name: string;
  readonly samples?: number | undefined;
  readonly parameters?: Parameters | undefined;
  /** The base itself, listed under `models` or added: without a weight it counts nothing. */
  readonly isBase?: boolean | undefined;
}

export interface TensorCoefficients {
  readonly coefficients: readonly number[];
  /** Whether the sum is to be divided by the sum of coefficients. */
  readonly normalize: boolean;
  readonly lambda: number;
}

export type RuleEvaluator = (tensorName: string) => TensorCoefficients;

/** Below this mergekit takes a sum of weights for zero; we refuse where it would divide by one instead. */
const SMALLEST_SUM = 1e-8;

function invalid(recipe: Recipe, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

function scopesOf(recipe: Recipe, participant: Participant): (Parameters | undefined)[] {
  return [recipe.contributors.get(participant.name)?.parameters, participant.parameters, recipe.parameters];
}

/** @throws SAMPLES_MISSING when the rule weights by samples and neither they nor weights are known for all. */
function usesSamples(recipe: Recipe, participants: readonly Participant[]): boolean {
  if (recipe.rule.weighting !== 'samples') return false;
  const weighted = participants.filter((one) => scopesOf(recipe, one).some((scope) => scope?.has('weight') === true));
  if (weighted.length === participants.length) return false;
  if (weighted.length > 0) {
    const without = participants.find((one) => !weighted.includes(one));
    invalid(recipe, `weights replace samples only if every participant has one; ${without?.name ?? ''} has none`, {
      fix: 'Give a weight to all or to none.',
    });
  }
  const silent = participants.find((one) => one.samples === undefined);
  if (silent !== undefined) {
    throw new TributaryError('SAMPLES_MISSING', {
      what: `${recipe.method} weights by training samples and ${silent.name} does not say how many it used`,
      where: recipe.fileName,
      expected: 'samples: a number above 0',
      fix: 'Add `samples:` beside the model (push --samples N in a round), or give every participant a `weight`.',
    });
  }
  return true;
}

/**
 * @param position t in [0, 1] of a tensor, for gradients
 * @param weightDefault what a required weight is when nothing says it: 1 in a round, nothing offline
 */
export function ruleEvaluator(
  recipe: Recipe,
  participants: readonly Participant[],
  position: LayerPosition,
  weightDefault?: number,
): RuleEvaluator {
  const bySamples = usesSamples(recipe, participants);
  const uniform = recipe.rule.weighting === 'uniform';

  function coefficient(participant: Participant, tensorName: string, t: number): number {
    if (uniform) return 1;
    if (bySamples) return participant.samples ?? 0;
    const weight = resolveParameter('weight', scopesOf(recipe, participant), tensorName, t);
    if (weight !== undefined) return weight;
    if (participant.isBase === true) return 0;
    if (weightDefault !== undefined) return weightDefault;
    return invalid(recipe, `${participant.name} has no weight for tensor ${tensorName}`, {
      expected: `parameters: {weight: ...} beside the model, or in \`parameters\` for all`,
      fix: 'A list of filters needs a last entry without filter to cover all tensors.',
    });
  }

  return (tensorName) => {
    const t = position(tensorName);
    const coefficients = participants.map((participant) => coefficient(participant, tensorName, t));
    const normalizeValue = resolveParameter('normalize', [recipe.parameters], tensorName, t);
    const normalize = normalizeValue === undefined ? recipe.rule.normalize : normalizeValue !== 0;
    const sum = coefficients.reduce((total, one) => total + one, 0);
    if (normalize && Math.abs(sum) < SMALLEST_SUM) {
      invalid(recipe, `the weights of tensor ${tensorName} add up to zero, which a normalised merge would divide by`, {
        got: coefficients.join(' + '),
        fix: 'Set `normalize: false`, or other weights.',
      });
    }
    const lambda = resolveParameter('lambda', [recipe.parameters], tensorName, t) ?? 1;
    return { coefficients, normalize, lambda };
  };
}
