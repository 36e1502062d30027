/**
 * What follows from a composition alone: its parameters, its needs, a formula, and whether it makes sense. Presets and compositions written
 * out in a recipe go through the same door.
 */
import type { RuleComposition, RuleDescription, RuleFamily, RuleNeed, RuleParameter } from './recipe.js';
import { COMBINES } from './steps/combines.js';
import { MATRIX_COMBINES } from './steps/matrix-combines.js';
import { POSTS } from './steps/posts.js';
import { TRANSFORMS } from './steps/transforms.js';
import { WEIGHTINGS } from './steps/weightings.js';

/** Of the composition's steps, in the order of the arithmetic; what several steps share is listed once. */
export function parametersOf(composition: RuleComposition): RuleParameter[] {
  const all = [
    ...composition.transforms.flatMap((step) => TRANSFORMS[step].parameters),
    ...WEIGHTINGS[composition.weighting].parameters,
    ...COMBINES[composition.combine].parameters,
    ...composition.post.flatMap((step) => POSTS[step].parameters),
  ];
  return all.filter((parameter, index) => all.indexOf(parameter) === index);
}

/** Steps on whole matrices see them as they are: what thins elements out goes behind them, if at all. */
function matrixContradiction({ transforms, combine }: RuleComposition): { readonly what: string; readonly expected?: string } | undefined {
  const [first] = transforms;
  if (transforms.includes('star') && first !== 'star')
    return { what: `star needs whole matrices, and ${first ?? ''} in front of it changes them element by element`, expected: 'star first' };
  const other = transforms.find((step) => step !== 'star');
  if (other === undefined || !Object.hasOwn(MATRIX_COMBINES, combine)) return undefined;
  return {
    what: `${combine} needs whole matrices, and ${other} in front of it changes them element by element`,
    expected: 'star or nothing',
  };
}

export function needsOf({ of, weighting, combine, post }: RuleComposition): RuleNeed[] {
  const needs: RuleNeed[] = [...COMBINES[combine].needs, ...WEIGHTINGS[weighting].needs];
  if (of === 'task_vectors') needs.unshift('base');
  if (post.includes('server')) needs.push('rounds');
  return [...new Set(needs)];
}

export function secureAggregationOf({ combine, weighting, transforms }: RuleComposition): RuleDescription['secureAggregation'] {
  const { works, why } = COMBINES[combine].secure;
  if (!works) return { works, why };
  const before = [
    ...(transforms.length > 0 ? [`${transforms.join(', ')} is done by each contributor before masking`] : []),
    ...(transforms.includes('clip') ? ['rho must be a number, since auto is a median of norms'] : []),
    ...(weighting === 'nan' || weighting === 'metagpt' ? ['each contributor tells the norm of its vector and scales it itself'] : []),
    ...(weighting === 'steps' || weighting === 'samples' || weighting === 'given' ? ['each contributor scales its own vector'] : []),
  ];
  return { works, why: [why, ...before].join('; ') };
}

/** Why the steps do not go together; undefined when they do. */
export function contradictionIn(composition: RuleComposition): { readonly what: string; readonly expected?: string } | undefined {
  const { of, transforms, weighting, combine, post } = composition;
  const allowed = COMBINES[combine];
  if (!allowed.of.includes(of)) return { what: `${combine} is not made for ${of}`, expected: allowed.of.join(', ') };
  if (transforms.length > 0 && !allowed.transforms) return { what: `${combine} takes vectors as they are: no transform goes before it` };
  if (transforms.length > 0 && of === 'weights')
    return { what: 'transforms are of task vectors; of weights they would destroy the model', expected: 'of: task_vectors' };
  if (!allowed.weightings.includes(weighting))
    return {
      what: `${combine} cannot be weighted by ${weighting}: ${allowed.whyNoOther ?? 'it has no use for it'}`,
      expected: allowed.weightings.join(', '),
    };
  if (post.includes('lines') && of === 'weights')
    return { what: 'lines scales a merged task vector, not weights', expected: 'of: task_vectors' };
  if (post.includes('server') && of === 'weights')
    return { what: 'server steps along a task vector, not weights', expected: 'of: task_vectors' };
  const ofMatrices = matrixContradiction(composition);
  if (ofMatrices !== undefined) return ofMatrices;
  for (const steps of [transforms, post]) {
    const twice = steps.find((step, index) => steps.indexOf(step as never) !== index);
    if (twice !== undefined) return { what: `${twice} stands twice` };
  }
  const names = parametersOf(composition).map((parameter) => parameter.name);
  const shared = names.find((name, index) => names.indexOf(name) !== index);
  if (shared !== undefined) return { what: `two steps have a parameter ${shared}, so neither could be told` };
  return undefined;
}

/** The steps in a line, in the order of the arithmetic. */
export function compositionText({ of, transforms, weighting, combine, post }: RuleComposition): string {
  const steps = [...transforms, `weighting ${weighting}`, `${combine} of ${of.replace('_', ' ')}`, ...post];
  return steps.join(' -> ');
}

function formulaOf({ of, transforms, weighting, combine, post }: RuleComposition, normalize: boolean): string {
  const { coefficient } = WEIGHTINGS[weighting];
  const value = of === 'weights' ? 'x_i' : '(x_i - base)';
  const divided = normalize && weighting !== 'samples' ? ' / sum of coefficients' : '';
  const vector = combine === 'sum' ? `sum of ${coefficient}${value}${divided}` : `${combine} of ${coefficient}${value}`;
  const posts = post.map((step) => (step === 'scale' ? 'lambda' : step));
  const scaled = [...posts, vector].join(' x ');
  const before = transforms.length === 0 ? '' : `, after ${transforms.join(', ')}`;
  return `${of === 'weights' ? scaled : `base + ${scaled}`}${before}`;
}

export interface PresetSource {
  readonly name: string;
  readonly family: RuleFamily;
  readonly composition: RuleComposition;
  readonly formula: string;
  readonly source: string;
  /** Where a default is another than the step's own. */
  readonly defaults?: Readonly<Record<string, number | string>> | undefined;
  /** Parameters that the preset takes and no step has. */
  readonly also?: readonly RuleParameter[] | undefined;
  /** Parameters of a step that the preset does not let anyone change. */
  readonly without?: readonly string[] | undefined;
  readonly minModels?: number | undefined;
  readonly mergekit?: true | undefined;
  readonly acrossRounds?: true | undefined;
  readonly perTask?: true | undefined;
}

/** Everything about a rule that its composition decides; the preset adds words and defaults. */
export function describePreset(preset: PresetSource): RuleDescription {
  const { composition, defaults = {}, also = [], without = [], name, family, formula, source } = preset;
  const { baseAsModel = false, minModels, maxModels } = COMBINES[composition.combine];
  const all = parametersOf(composition).map((parameter) =>
    Object.hasOwn(defaults, parameter.name) ? { ...parameter, default: defaults[parameter.name] } : parameter,
  );
  const fixed = new Map<string, number | string>();
  for (const { name: hidden, default: value } of all) if (without.includes(hidden) && value !== undefined) fixed.set(hidden, value);
  const own = all.filter((parameter) => !without.includes(parameter.name));
  return {
    name,
    family,
    composition,
    parameters: [...own, ...also],
    fixed,
    formula,
    source,
    needs: needsOf(composition),
    minModels: preset.minModels ?? minModels,
    maxModels,
    baseAsModel: baseAsModel && composition.of === 'weights',
    secureAggregation: secureAggregationOf(composition),
    mergekit: preset.mergekit,
    acrossRounds: preset.acrossRounds,
    perTask: preset.perTask,
  };
}

type Defaults = Readonly<Record<string, number | string>>;

/** Shares of samples always are shares of the whole: n_i / n. */
function sharesOf({ weighting, combine }: RuleComposition): { defaults: Defaults; without: readonly string[] } {
  const shares = weighting === 'samples' && combine === 'sum';
  return shares ? { defaults: { normalize: 1 }, without: ['normalize'] } : { defaults: {}, without: [] };
}

/** The description of a composition that was written out. */
export function describeComposition(composition: RuleComposition, defaults: Defaults = {}): RuleDescription {
  const shares = sharesOf(composition);
  return describePreset({
    name: 'rule',
    family: 'averaging',
    composition,
    defaults: { ...defaults, ...shares.defaults },
    without: shares.without,
    formula: formulaOf(composition, defaults['normalize'] === 1),
    source: 'composition written in the recipe',
    ...(composition.combine === 'tall' || composition.combine === 'emr' ? { perTask: true as const } : {}),
    ...(composition.post.includes('server') ? { acrossRounds: true as const } : {}),
  });
}

/** A preset with another weighting, or with steps added; its own defaults stay. */
export function changePreset(preset: RuleDescription, composition: RuleComposition): RuleDescription {
  const reweighed = composition.weighting !== preset.composition.weighting;
  const shares = sharesOf(composition);
  const ofSteps = parametersOf(preset.composition).map((parameter) => parameter.name);
  const defaults: Record<string, number | string> = {};
  for (const parameter of preset.parameters) if (parameter.default !== undefined) defaults[parameter.name] = parameter.default;
  for (const [name, value] of preset.fixed) if (!(reweighed && name === 'normalize')) defaults[name] = value;
  const without = [...preset.fixed.keys()].filter((name) => !(reweighed && name === 'normalize'));
  const changes = [
    ...(reweighed ? [`weighted ${WEIGHTINGS[composition.weighting].does}`] : []),
    ...composition.transforms.filter((step) => !preset.composition.transforms.includes(step)).map((step) => TRANSFORMS[step].does),
    ...composition.post.filter((step) => !preset.composition.post.includes(step)).map((step) => POSTS[step].does),
  ];
  return describePreset({
    ...preset,
    composition,
    defaults: { ...defaults, ...shares.defaults },
    without: [...without, ...shares.without],
    also: preset.parameters.filter((parameter) => !ofSteps.includes(parameter.name)),
    formula: [preset.formula, ...changes].join('; '),
  });
}
