/** Turns a recipe into numbers for one tensor: each parameter per participant or for all, with mergekit's precedence. */
import { TributaryError } from '../errors/tributary-error.js';
import { parametersOf } from './composition.js';
import type { LayerPosition } from './layers.js';
import { resolveParameter } from './parameters.js';
import type { Parameters, Recipe, RuleParameter } from './recipe.js';

export interface Participant {
  /** The model path of the recipe, or the contributor's name. */
  readonly name: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters?: Parameters | undefined;
  /** The base itself, listed under `models` or added: without a weight it counts nothing. */
  readonly isBase?: boolean | undefined;
}

/** The tensor that parameters are wanted for. */
export interface ParameterPlace {
  /** Of the output tensor; filters of global parameters are held against it. */
  readonly name: string;
  /** In [0, 1], for gradients; read off the name when absent. */
  readonly t?: number | undefined;
  /** Where global parameters are looked up, nearest first; default: the top of the recipe. */
  readonly scopes?: readonly (Parameters | undefined)[] | undefined;
  /** Which tensor of which participant takes part, when it is not the one of the same name; filters of its parameters are held against its name. */
  readonly sources?: readonly ParameterSource[] | undefined;
}

export interface ParameterSource {
  /** Number of the participant. */
  readonly input: number;
  readonly inputName: string;
  /** Nearest first. */
  readonly scopes: readonly (Parameters | undefined)[];
}

export interface ParameterValues {
  /**
   * `weight` is the coefficient that the weighting gives: 1 when uniform, the samples (their share of all, unless the rule is a sum, which
   * divides by their sum), a_i of FedNova, the weight. Under `nan` and `metagpt` it is 1: norms are not known here.
   */
  model(name: string, participant: number): number;
  global(name: string): number;
}

export type ParameterReader = (tensor: ParameterPlace) => ParameterValues;

function invalid(recipe: Recipe, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

function scopesOf(recipe: Recipe, participant: Participant): (Parameters | undefined)[] {
  return [recipe.contributors.get(participant.name)?.parameters, participant.parameters, recipe.parameters];
}

/** @throws SAMPLES_MISSING when the rule weights by samples and neither they nor weights are known for all. */
function sampleWeights(recipe: Recipe, participants: readonly Participant[]): readonly number[] | undefined {
  const weighted = participants.filter((one) => scopesOf(recipe, one).some((scope) => scope?.has('weight') === true));
  if (weighted.length === participants.length) return undefined;
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
  const samples = participants.map((one) => one.samples ?? 0);
  if (recipe.rule.combine === 'sum') return samples;
  const sum = samples.reduce((total, one) => total + one, 0);
  return samples.map((one) => one / sum);
}

/** a_i = mean(s) / (N s_i), FedNova in the simplified form of arXiv 2411.18607. */
function stepWeights(recipe: Recipe, participants: readonly Participant[]): readonly number[] {
  const steps = participants.map((one) => {
    if (one.steps !== undefined) return one.steps;
    throw new TributaryError('STEPS_MISSING', {
      what: `${recipe.method} weights by training steps and ${one.name} does not say how many it took`,
      where: recipe.fileName,
      expected: 'steps: a number above 0',
      fix: 'Add `steps:` beside the model (push --steps N in a round).',
    });
  });
  const mean = steps.reduce((total, one) => total + one, 0) / steps.length;
  return steps.map((one) => mean / (steps.length * one));
}

/** What the weighting alone decides; undefined where `weight` has to be looked up. */
function fixedWeights(recipe: Recipe, participants: readonly Participant[]): readonly number[] | undefined {
  switch (recipe.rule.weighting) {
    case 'given':
      return undefined;
    case 'samples':
      return sampleWeights(recipe, participants);
    case 'steps':
      return stepWeights(recipe, participants);
    case 'uniform':
    case 'nan':
    case 'metagpt':
      return participants.map(() => 1);
  }
}

/**
 * Precedence: the contributor's override or the model's own parameters, its slice's and module's, the top of the recipe, the default.
 * @param position t in [0, 1] of a tensor, where the place does not say it
 * @param weightDefault what a required weight is when nothing says it: 1 in a round, nothing offline
 * @throws SAMPLES_MISSING, STEPS_MISSING, RECIPE_INVALID; from the reader RECIPE_INVALID for what is required and not said
 */
export function createParameterReader(
  recipe: Recipe,
  participants: readonly Participant[],
  position: LayerPosition,
  weightDefault?: number,
): ParameterReader {
  const weights = fixedWeights(recipe, participants);
  const { description } = recipe;
  const known = new Map<string, RuleParameter>(
    [...parametersOf(recipe.rule), ...description.parameters].map((parameter) => [parameter.name, parameter]),
  );

  /** @param what the place that lacks it, for the error */
  function byDefault(name: string, what: string): number {
    const fixed = description.fixed.get(name) ?? known.get(name)?.default;
    if (typeof fixed === 'number') return fixed;
    if (fixed === undefined && known.get(name)?.required !== true) return invalid(recipe, `${recipe.method} has no parameter ${name}`);
    const word = recipe.options.get(name);
    if (word !== undefined)
      throw new TributaryError('INTERNAL', { what: `${name} is ${word} and was read as a number`, where: recipe.fileName });
    return invalid(recipe, `${what} has no ${name}`, {
      expected: `parameters: {${name}: ...}`,
      fix: 'A list of filters needs a last entry without filter to cover all tensors.',
    });
  }

  return (tensor) => {
    const t = tensor.t ?? position(tensor.name);
    const sources = tensor.sources === undefined ? undefined : new Map(tensor.sources.map((source) => [source.input, source]));
    const global = (name: string): number => {
      if (name === 'normalize' && recipe.rule.combine === 'sum' && recipe.options.has('aggregate'))
        return recipe.options.get('aggregate') === 'mean' ? 1 : 0;
      const value = resolveParameter(name, tensor.scopes ?? [recipe.parameters], tensor.name, t);
      return value ?? byDefault(name, `tensor ${tensor.name}`);
    };
    const model = (name: string, index: number): number => {
      const participant = participants[index];
      if (participant === undefined) throw new TributaryError('INTERNAL', { what: `there is no participant ${index}` });
      const source = sources?.get(index);
      // What takes no part in this tensor counts nothing.
      if (name === 'weight' && sources !== undefined && source === undefined) return 0;
      if (name === 'weight' && weights !== undefined) return weights[index] ?? 0;
      const value = resolveParameter(name, source?.scopes ?? scopesOf(recipe, participant), source?.inputName ?? tensor.name, t);
      if (value !== undefined) return value;
      if (name === 'weight') {
        if (participant.isBase === true) return 0;
        if (weightDefault !== undefined) return weightDefault;
        return invalid(recipe, `${participant.name} has no weight for tensor ${tensor.name}`, {
          expected: 'parameters: {weight: ...} beside the model, or in `parameters` for all',
          fix: 'A list of filters needs a last entry without filter to cover all tensors.',
        });
      }
      return byDefault(name, `${participant.name}, tensor ${tensor.name},`);
    };
    return { model, global };
  };
}

export interface TensorCoefficients {
  readonly coefficients: readonly number[];
  /** Whether the sum is to be divided by the sum of coefficients. */
  readonly normalize: boolean;
}

/** Below this mergekit takes a sum of weights for zero; we refuse where it would divide by one instead. */
const SMALLEST_SUM = 1e-8;

/** Coefficients of a weighted sum that need no norms, of the participants that have the tensor. @throws RECIPE_INVALID when it would be divided by zero */
export function sumCoefficients(
  recipe: Recipe,
  participants: readonly number[],
  values: ParameterValues,
  tensorName: string,
): TensorCoefficients {
  const coefficients = participants.map((participant) => values.model('weight', participant));
  const normalize = values.global('normalize') !== 0;
  const sum = coefficients.reduce((total, one) => total + one, 0);
  if (normalize && Math.abs(sum) < SMALLEST_SUM) {
    invalid(recipe, `the weights of tensor ${tensorName} add up to zero, which a normalised merge would divide by`, {
      got: coefficients.join(' + '),
      fix: 'Set `normalize: false`, or other weights.',
    });
  }
  return { coefficients, normalize };
}
