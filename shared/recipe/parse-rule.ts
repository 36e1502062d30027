/**
 * Reads which rule a recipe asks for: a preset by name, or the composition written out under `rule:`; then what `weighting:` and `refine:`
 * change about it. Options of steps are parameters of the same names, lifted to the top of the recipe.
 */

import { suggest } from '../util/suggest.js';
import { changePreset, contradictionIn, describeComposition } from './composition.js';
import { parseSetting } from './parse-settings.js';
import type {
  CombineStep,
  ParameterValue,
  PostStep,
  RuleComposition,
  RuleDescription,
  RuleParameter,
  TransformStep,
  Weighting,
} from './recipe.js';
import { findRule, LATER_METHODS, LATER_STEPS, RULES } from './rules.js';
import { COMBINES } from './steps/combines.js';
import { POSTS } from './steps/posts.js';
import { TRANSFORMS } from './steps/transforms.js';
import { WEIGHTINGS } from './steps/weightings.js';
import {
  describe,
  entriesOf,
  isList,
  isMapping,
  isNothing,
  itemsOf,
  refuse,
  refuseKey,
  textOf,
  type YamlEntry,
  type YamlNode,
} from './yaml-node.js';

/** A parameter given as an option of a step. */
export interface StepSetting {
  readonly name: string;
  readonly value: ParameterValue | string;
  readonly at: YamlNode;
}

export interface ParsedRule {
  readonly description: RuleDescription;
  readonly settings: readonly StepSetting[];
}

export function parseMethod(at: YamlNode): ParsedRule {
  const text = textOf(at, 'the name of a method');
  const [name = text, variant] = text.split('@');
  const description = findRule(name);
  if (description !== undefined) {
    if (variant === undefined) return { description, settings: [] };
    const choices = description.parameters.find((parameter) => parameter.name === 'variant')?.choices;
    if (choices?.includes(variant) === true) return { description, settings: [{ name: 'variant', value: variant, at }] };
    return refuse('RECIPE_INVALID', at, `${name} has no variant ${variant}`, { expected: choices?.join(', ') ?? name, got: text });
  }
  const names = Object.keys(RULES);
  if (LATER_METHODS.includes(name)) {
    return refuse('RECIPE_UNSUPPORTED', at, `the method ${name} is not supported in this version`, {
      expected: names.join(', '),
      got: name,
    });
  }
  const near = suggest(name, [...names, ...LATER_METHODS]);
  return refuse('RECIPE_INVALID', at, `there is no method ${describe(at)}`, {
    expected: names.join(', '),
    got: name,
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}

interface Step {
  readonly name: string;
  readonly options: readonly YamlEntry[];
  readonly at: YamlNode;
}

/** A step is `name`, `{name: {}}` or `{name: {option: value}}`. */
function parseStep(at: YamlNode, known: readonly string[], why?: string): Step {
  if (!isMapping(at)) {
    const name = textOf(at, `one of ${known.join(', ')}`);
    checkStep(at, name, known, why);
    return { name, options: [], at };
  }
  const [first, ...others] = entriesOf(at);
  if (first === undefined || others.length > 0)
    return refuse('RECIPE_INVALID', at, `${at.path} must name one step`, {
      expected: known.join(', '),
      got: `${others.length + (first === undefined ? 0 : 1)} keys`,
    });
  checkStep(first.keyNode, first.key, known, why);
  return { name: first.key, options: isNothing(first.value) ? [] : entriesOf(first.value), at: first.keyNode };
}

function checkStep(at: YamlNode, name: string, known: readonly string[], why?: string): void {
  if (known.includes(name)) return;
  if (LATER_STEPS.includes(name))
    refuse('RECIPE_UNSUPPORTED', at, `the step ${name} is not supported in this version`, { expected: known.join(', ') });
  if (why !== undefined && [TRANSFORMS, WEIGHTINGS, COMBINES, POSTS].some((steps) => Object.hasOwn(steps, name)))
    refuse('RECIPE_INVALID', at, `${name} ${why}`, { expected: known.join(', ') });
  const near = suggest(name, [...known, ...LATER_STEPS]);
  refuse('RECIPE_INVALID', at, `there is no step ${name} here`, {
    expected: known.join(', '),
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}

function settingsOf({ options }: Step, parameters: readonly RuleParameter[]): StepSetting[] {
  return options.map((option) => {
    const parameter = parameters.find((one) => one.name === option.key);
    const names = parameters.map((one) => one.name);
    if (parameter === undefined) return refuseKey(option, names.length === 0 ? ['nothing'] : names);
    return { name: option.key, value: parseSetting(option.value, parameter), at: option.keyNode };
  });
}

function listOfSteps(at: YamlNode, known: readonly string[], example: string, why?: string): Step[] {
  if (isNothing(at)) return [];
  if (!isList(at)) return refuse('RECIPE_INVALID', at, `${at.path} must be a list of steps`, { expected: example, got: describe(at) });
  return itemsOf(at).map((item) => parseStep(item, known, why));
}

function parseCombine(at: YamlNode): { combine: CombineStep; of: RuleComposition['of']; mean: boolean; settings: StepSetting[] } {
  const step = parseStep(at, ['mean', ...Object.keys(COMBINES)], 'is no combine step');
  const combine = (step.name === 'mean' ? 'sum' : step.name) as CombineStep;
  const allowed = COMBINES[combine];
  let [of = 'task_vectors'] = allowed.of;
  const option = step.options.find((one) => one.key === 'of');
  if (option !== undefined) {
    const value = textOf(option.value);
    const found = allowed.of.find((one) => one === value);
    if (found === undefined)
      return refuse('RECIPE_INVALID', option.value, `${step.name} combines either task_vectors or weights`, {
        expected: allowed.of.join(', '),
        got: value,
      });
    of = found;
  }
  const others = { ...step, options: step.options.filter((one) => one !== option) };
  const parameters = step.name === 'mean' ? [] : allowed.parameters;
  return { combine, of, mean: step.name === 'mean', settings: settingsOf(others, parameters) };
}

function checkComposition(at: YamlNode, composition: RuleComposition): void {
  const contradiction = contradictionIn(composition);
  if (contradiction !== undefined) refuse('RECIPE_INVALID', at, contradiction.what, { expected: contradiction.expected });
}

export function parseWrittenRule(at: YamlNode): ParsedRule {
  let transforms: TransformStep[] = [];
  let weighting: Weighting | undefined;
  let combined: ReturnType<typeof parseCombine> | undefined;
  let post: PostStep[] = [];
  const settings: StepSetting[] = [];
  for (const { key, keyNode, value } of entriesOf(at)) {
    if (key === 'transform') {
      const steps = listOfSteps(value, Object.keys(TRANSFORMS), '[{trim: {density: 0.2}}]', 'is no transform');
      transforms = steps.map((step) => step.name as TransformStep);
      for (const step of steps) settings.push(...settingsOf(step, TRANSFORMS[step.name as TransformStep].parameters));
    } else if (key === 'weighting') {
      const step = parseStep(value, Object.keys(WEIGHTINGS), 'is no weighting');
      weighting = step.name as Weighting;
      settings.push(...settingsOf(step, WEIGHTINGS[weighting].parameters));
    } else if (key === 'combine') {
      combined = parseCombine(value);
      settings.push(...combined.settings);
    } else if (key === 'post') {
      const steps = listOfSteps(value, Object.keys(POSTS), '[{scale: {lambda: 0.8}}]', 'does not go behind combine');
      post = steps.map((step) => step.name as PostStep);
      for (const step of steps) settings.push(...settingsOf(step, POSTS[step.name as PostStep].parameters));
    } else {
      refuseKey({ key, keyNode, value }, ['transform', 'weighting', 'combine', 'post']);
    }
  }
  if (combined === undefined)
    return refuse('RECIPE_INVALID', at, 'the rule has no combine step', { expected: 'combine: {sum: {}} or {mean: {}}' });
  const { combine, of, mean } = combined;
  const implied: Weighting = combine === 'nuslerp' || combine === 'multislerp' ? 'given' : 'uniform';
  const scaled = COMBINES[combine].scaled && of === 'task_vectors' && !post.includes('server') && !post.includes('scale');
  const composition: RuleComposition = {
    of,
    transforms,
    weighting: weighting ?? implied,
    combine,
    post: scaled ? [...post, 'scale'] : post,
  };
  checkComposition(at, composition);
  return { description: describeComposition(composition, mean ? { normalize: 1 } : {}), settings };
}

/** The top-level `weighting:` block, in the place of the preset's own. */
export function replaceWeighting({ description, settings }: ParsedRule, { keyNode, value }: YamlEntry): ParsedRule {
  const step = parseStep(value, Object.keys(WEIGHTINGS), 'is no weighting');
  const weighting = step.name as Weighting;
  const composition = { ...description.composition, weighting };
  checkComposition(keyNode, composition);
  return {
    description: changePreset(description, composition),
    settings: [...settings, ...settingsOf(step, WEIGHTINGS[weighting].parameters)],
  };
}

/** `refine:`: transforms in front of the preset's own; `lines` goes behind what is merged. */
export function addRefinements({ description, settings }: ParsedRule, { value, keyNode }: YamlEntry): ParsedRule {
  const steps = listOfSteps(value, ['star', 'clip', 'lines'], '[{star: {eta: 40}}]', 'is no refinement: write it under rule: transform');
  const transforms = steps.filter((step) => step.name !== 'lines').map((step) => step.name as TransformStep);
  const lines = steps.filter((step) => step.name === 'lines').map((): PostStep => 'lines');
  if (steps.length === 0) return { description, settings };
  const { composition } = description;
  const refined = { ...composition, transforms: [...transforms, ...composition.transforms], post: [...lines, ...composition.post] };
  checkComposition(keyNode, refined);
  const added = steps.flatMap((step) =>
    settingsOf(step, step.name === 'lines' ? POSTS.lines.parameters : TRANSFORMS[step.name as TransformStep].parameters),
  );
  return { description: changePreset(description, refined), settings: [...settings, ...added] };
}
