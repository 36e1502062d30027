/** Reads which rule a recipe asks for: a preset by name, or the composition written out under `rule:`. */
import type { ParameterValue, RuleComposition, Weighting } from './recipe.js';
import { describeComposition, findRule, LATER_METHODS, LATER_STEPS, RULES, type RuleDescription } from './rules.js';
import { suggest } from './suggest.js';
import {
  describe,
  entriesOf,
  isList,
  isMapping,
  isNothing,
  itemsOf,
  numberOf,
  refuse,
  refuseKey,
  textOf,
  type YamlEntry,
  type YamlNode,
} from './yaml-node.js';

export interface ParsedRule {
  readonly description: RuleDescription;
  /** From `post: [{scale: {lambda: ...}}]`. */
  readonly lambda?: ParameterValue | undefined;
}

export function parseMethod(at: YamlNode): ParsedRule {
  const name = textOf(at, 'the name of a method');
  const description = findRule(name);
  if (description !== undefined) return { description };
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

/** A step is `name`, `{name: {}}` or `{name: {option: value}}`. */
function parseStep(at: YamlNode, known: readonly string[]): { name: string; options: YamlEntry[]; entry: YamlNode } {
  if (!isMapping(at)) {
    const name = textOf(at, `one of ${known.join(', ')}`);
    checkStep(at, name, known);
    return { name, options: [], entry: at };
  }
  const [first, ...others] = entriesOf(at);
  if (first === undefined || others.length > 0)
    return refuse('RECIPE_INVALID', at, `${at.path} must name one step`, {
      expected: known.join(', '),
      got: `${others.length + (first === undefined ? 0 : 1)} keys`,
    });
  checkStep(first.keyNode, first.key, known);
  return { name: first.key, options: isNothing(first.value) ? [] : entriesOf(first.value), entry: at };
}

function checkStep(at: YamlNode, name: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  if (LATER_STEPS.includes(name))
    refuse('RECIPE_UNSUPPORTED', at, `the step ${name} is not supported in this version`, { expected: known.join(', ') });
  const near = suggest(name, [...known, ...LATER_STEPS]);
  refuse('RECIPE_INVALID', at, `there is no step ${name} here`, {
    expected: known.join(', '),
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}

function parseCombine(at: YamlNode): Pick<RuleComposition, 'of' | 'normalize'> {
  const { name, options } = parseStep(at, ['sum', 'mean']);
  let of: RuleComposition['of'] = 'task_vectors';
  for (const option of options) {
    if (option.key !== 'of') refuseKey(option, ['of']);
    const value = textOf(option.value);
    if (value !== 'task_vectors' && value !== 'weights')
      return refuse('RECIPE_INVALID', option.value, 'combined is either task_vectors or weights', {
        expected: 'task_vectors, weights',
        got: value,
      });
    of = value;
  }
  return { of, normalize: name === 'mean' };
}

function parsePost(at: YamlNode): ParameterValue | undefined {
  if (!isList(at))
    return refuse('RECIPE_INVALID', at, `${at.path} must be a list of steps`, { expected: '[{scale: {lambda: 0.8}}]', got: describe(at) });
  let lambda: ParameterValue | undefined;
  for (const item of itemsOf(at)) {
    const { options, entry } = parseStep(item, ['scale']);
    for (const option of options) {
      if (option.key !== 'lambda') refuseKey(option, ['lambda']);
      if (lambda !== undefined) return refuse('RECIPE_INVALID', entry, 'scale is given twice');
      lambda = [{ value: numberOf(option.value) }];
    }
  }
  return lambda;
}

export function parseWrittenRule(at: YamlNode): ParsedRule {
  let weighting: Weighting = 'uniform';
  let combine: Pick<RuleComposition, 'of' | 'normalize'> | undefined;
  let lambda: ParameterValue | undefined;
  for (const entry of entriesOf(at)) {
    if (entry.key === 'transform') {
      if (isNothing(entry.value)) continue;
      for (const item of itemsOf(entry.value)) parseStep(item, []);
    } else if (entry.key === 'weighting') {
      const step = parseStep(entry.value, ['uniform', 'samples', 'given']);
      for (const option of step.options) refuseKey(option, ['nothing']);
      weighting = step.name as Weighting;
    } else if (entry.key === 'combine') {
      combine = parseCombine(entry.value);
    } else if (entry.key === 'post') {
      if (!isNothing(entry.value)) lambda = parsePost(entry.value);
    } else {
      refuseKey(entry, ['transform', 'weighting', 'combine', 'post']);
    }
  }
  if (combine === undefined)
    return refuse('RECIPE_INVALID', at, 'the rule has no combine step', { expected: 'combine: {sum: {}} or {mean: {}}' });
  // Sample counts are always shares of the whole: n_i / n.
  const normalize = combine.normalize || weighting === 'samples';
  return { description: describeComposition({ weighting, of: combine.of, normalize }), lambda };
}
