/**
 * Reads `parameters` blocks and the options of steps against the parameters a rule has: numbers (with filters and gradients) and words.
 * An unknown name is an error; one of mergekit's that the rule does not read is a warning, as mergekit would not say a word.
 */

import { suggest } from '../util/suggest.js';
import { parseParameterValue } from './parse-values.js';
import type { Parameters, ParameterValue, RuleDescription, RuleParameter } from './recipe.js';
import { MERGEKIT_PARAMETERS } from './rules.js';
import {
  describe,
  entriesOf,
  isList,
  isMapping,
  isNothing,
  refuse,
  refuseKey,
  truthOf,
  wordOf,
  type YamlEntry,
  type YamlNode,
} from './yaml-node.js';

/** What was read so far, in the whole recipe. */
export interface SettingsContext {
  readonly description: RuleDescription;
  readonly warnings: string[];
  /** Words chosen; filled while reading. */
  readonly options: Map<string, string>;
}

function checkRange(at: YamlNode, parameter: RuleParameter, value: ParameterValue): void {
  const { min = -Infinity, max = Infinity, integer } = parameter;
  const numbers = value.flatMap((one) => one.value);
  const wrong = numbers.find((number) => number < min || number > max || (integer === true && !Number.isInteger(number)));
  if (wrong === undefined) return;
  const kind = integer === true ? 'a whole number' : 'a number';
  const range = max === Infinity ? (min === -Infinity ? '' : ` from ${min}`) : ` from ${min} to ${max}`;
  refuse('RECIPE_INVALID', at, `${parameter.name} is out of range`, { expected: `${kind}${range}`, got: String(wrong) });
}

function parseChoice(at: YamlNode, parameter: RuleParameter): string {
  const { choices = [], flags } = parameter;
  if (isList(at) || isMapping(at))
    return refuse('RECIPE_UNSUPPORTED', at, `${parameter.name} is one word for all tensors`, {
      expected: choices.join(', '),
      got: describe(at),
    });
  const truth = flags === undefined ? undefined : truthOf(at);
  if (flags !== undefined && truth !== undefined) return truth ? flags.true : flags.false;
  const word = wordOf(at) ?? describe(at);
  if (choices.includes(word)) return word;
  const near = suggest(word, choices);
  return refuse('RECIPE_INVALID', at, `${parameter.name} has no such choice`, {
    expected: [...choices, ...(flags === undefined ? [] : ['true', 'false'])].join(', '),
    got: describe(at),
    fix: near === undefined ? undefined : `Did you mean ${near}?`,
  });
}

/** One value of a known parameter: numbers, or a word. */
export function parseSetting(at: YamlNode, parameter: RuleParameter): ParameterValue | string {
  if (parameter.kind === 'choice') return parseChoice(at, parameter);
  const word = wordOf(at);
  if (word !== undefined && parameter.words?.includes(word) === true) return word;
  const orWords = parameter.words === undefined ? undefined : `a number, or ${parameter.words.join(', ')}`;
  if (orWords !== undefined && word !== undefined && !/^[-+\d.]/.test(word))
    return refuse('RECIPE_INVALID', at, `${parameter.name} is no number`, { expected: orWords, got: describe(at) });
  const value = parseParameterValue(at);
  checkRange(at, parameter, value);
  return value;
}

/** Whether a parameter counts in this place. */
function known({ description, warnings }: SettingsContext, entry: YamlEntry, scope: 'model' | 'global'): RuleParameter | undefined {
  const { name: method, parameters } = description;
  const parameter = parameters.find((one) => one.name === entry.key);
  if (parameter !== undefined) {
    if (scope === 'global' || parameter.scope === 'model') return parameter;
    warnings.push(`${entry.value.path} has no effect beside a model; write it under the top \`parameters\``);
    return undefined;
  }
  if (description.mergekit === true && MERGEKIT_PARAMETERS.includes(entry.key)) {
    warnings.push(`${entry.value.path} has no effect with ${method}`);
    return undefined;
  }
  return refuseKey(
    entry,
    parameters.map((one) => one.name),
  );
}

/** A `parameters` mapping. Words go into `context.options`. */
export function parseParameters(context: SettingsContext, at: YamlNode, scope: 'model' | 'global'): Parameters {
  const parameters = new Map<string, ParameterValue>();
  if (isNothing(at)) return parameters;
  for (const entry of entriesOf(at)) {
    const parameter = known(context, entry, scope);
    if (parameter === undefined) continue;
    const value = parseSetting(entry.value, parameter);
    if (typeof value === 'string') context.options.set(entry.key, value);
    else parameters.set(entry.key, value);
  }
  return parameters;
}
