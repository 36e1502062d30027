/**
 * Reads a recipe: mergekit's grammar plus ours, checked to the last key. Nothing is ignored silently: an unknown key, a method of another
 * version or a value of the wrong kind is an error with line and column; a parameter that has no effect is a warning.
 */

import { parametersOf } from './composition.js';
import { parseMap } from './parse-map.js';
import { parseContributors, parseModels, parseModules, parseSlices } from './parse-models.js';
import { parseOutput } from './parse-output.js';
import { addRefinements, type ParsedRule, parseMethod, parseWrittenRule, replaceWeighting } from './parse-rule.js';
import { parseParameters, type SettingsContext } from './parse-settings.js';
import { parseChatTemplate, parseTokenizer, parseTokenizerSource } from './parse-tokenizer.js';
import { parseDtype, parseModelReference } from './parse-values.js';
import type { Numerics, ParameterValue, Recipe, RuleDescription } from './recipe.js';
import { LATER_KEYS } from './rules.js';
import {
  describe,
  entriesOf,
  isNothing,
  numberOf,
  parseYaml,
  refuse,
  refuseKey,
  textOf,
  type YamlEntry,
  type YamlNode,
} from './yaml-node.js';

const TOP_KEYS = [
  'merge_method',
  'rule',
  'weighting',
  'refine',
  'base_model',
  'models',
  'slices',
  'modules',
  'contributors',
  'parameters',
  'dtype',
  'out_dtype',
  'seed',
  'numerics',
  'tokenizer',
  'tokenizer_source',
  'chat_template',
  'output',
  'map',
] as const;

function parseNumerics(at: YamlNode): Numerics {
  const numerics = textOf(at);
  if (numerics === 'exact' || numerics === 'mergekit') return numerics;
  return refuse('RECIPE_INVALID', at, 'numerics has no such value', { expected: 'exact, mergekit', got: describe(at) });
}

function parseSeed(at: YamlNode): number {
  const seed = numberOf(at, 'a whole number');
  return Number.isSafeInteger(seed)
    ? seed
    : refuse('RECIPE_INVALID', at, 'seed is not a whole number', { expected: 'a whole number', got: describe(at) });
}

function parseRuleOf(root: YamlNode, entries: ReadonlyMap<string, YamlEntry>): ParsedRule {
  const method = entries.get('merge_method');
  const rule = entries.get('rule');
  const weighting = entries.get('weighting');
  const refine = entries.get('refine');
  if (method !== undefined && rule !== undefined)
    return refuse('RECIPE_INVALID', rule.keyNode, 'merge_method and rule exclude each other', { fix: 'Keep one of the two.' });
  if (rule !== undefined) {
    const beside = weighting ?? refine;
    if (beside !== undefined)
      return refuse('RECIPE_INVALID', beside.keyNode, `${beside.key} changes a preset; a rule that is written out has its own`, {
        fix: `Write it under rule.`,
      });
    return parseWrittenRule(rule.value);
  }
  if (method === undefined)
    return refuse('RECIPE_INVALID', root, 'the recipe names no method', {
      expected: 'merge_method: a name that `tributary rules` lists; or a rule',
    });
  let parsed = parseMethod(method.value);
  if (weighting !== undefined && !isNothing(weighting.value)) parsed = replaceWeighting(parsed, weighting);
  if (refine !== undefined && !isNothing(refine.value)) parsed = addRefinements(parsed, refine);
  return parsed;
}

/** Adds what was written as options of steps, and the words of all that is not said. */
function addSettings(rule: ParsedRule, parameters: Map<string, ParameterValue>, options: Map<string, string>, at: YamlNode): void {
  const given = new Set<string>();
  for (const { name, value, at: option } of rule.settings) {
    if (given.has(name)) refuse('RECIPE_INVALID', option, `${name} is given twice in the rule`);
    given.add(name);
    if (parameters.has(name) || options.has(name))
      refuse('RECIPE_INVALID', at, `${name} is given twice: in parameters and as an option of a step`, { fix: 'Keep one of the two.' });
    if (typeof value === 'string') options.set(name, value);
    else parameters.set(name, value);
  }
  for (const [name, word] of wordsByDefault(rule.description)) if (!parameters.has(name) && !options.has(name)) options.set(name, word);
}

function* wordsByDefault({ composition, parameters, fixed }: RuleDescription): Iterable<[string, string]> {
  for (const [name, value] of fixed) if (typeof value === 'string') yield [name, value];
  for (const { name, default: value } of [...parameters, ...parametersOf(composition)]) if (typeof value === 'string') yield [name, value];
}

/** @throws RECIPE_SYNTAX, RECIPE_UNKNOWN_KEY, RECIPE_INVALID, RECIPE_UNSUPPORTED; `where` is file:line:column */
export function parseRecipe(text: string, { fileName }: { fileName: string }): Recipe {
  const root = parseYaml(text, fileName);
  const entries = new Map<string, YamlEntry>();
  for (const entry of entriesOf(root, 'a mapping with merge_method and models')) {
    if (!(TOP_KEYS as readonly string[]).includes(entry.key)) refuseKey(entry, TOP_KEYS, LATER_KEYS);
    entries.set(entry.key, entry);
  }
  const rule = parseRuleOf(root, entries);
  const { description } = rule;
  const context: SettingsContext = { description, warnings: [], options: new Map() };
  const read = <T>(key: (typeof TOP_KEYS)[number], parse: (at: YamlNode) => T): T | undefined => {
    const entry = entries.get(key);
    return entry === undefined || isNothing(entry.value) ? undefined : parse(entry.value);
  };
  const models = read('models', (at) => parseModels(context, at));
  const contributors = read('contributors', (at) => parseContributors(context, at));
  const slices = read('slices', (at) => parseSlices(context, at));
  const modules = read('modules', (at) => parseModules(context, at));
  const [, second] = (['models', 'slices', 'modules', 'contributors'] as const).filter((key) => read(key, () => true));
  if (second !== undefined) {
    const rounds = second === 'contributors';
    refuse(
      'RECIPE_INVALID',
      entries.get(second)?.keyNode ?? root,
      rounds
        ? 'models, slices and modules are for offline merges, contributors for rounds'
        : 'models, slices and modules exclude each other',
      { fix: 'Keep one of them.' },
    );
  }
  const tokenizer = read('tokenizer', parseTokenizer);
  const tokenizerSource = read('tokenizer_source', parseTokenizerSource);
  if (tokenizer !== undefined && tokenizerSource !== undefined)
    refuse('RECIPE_INVALID', entries.get('tokenizer_source')?.keyNode ?? root, 'tokenizer and tokenizer_source exclude each other', {
      fix: 'Keep one of the two.',
    });
  const parameters = new Map(read('parameters', (at) => parseParameters(context, at, 'global')));
  addSettings(rule, parameters, context.options, entries.get('parameters')?.keyNode ?? root);
  const seed = read('seed', parseSeed) ?? 0;
  return {
    text,
    fileName,
    method: description.name,
    rule: description.composition,
    description,
    baseModel: read('base_model', parseModelReference),
    models: models ?? [],
    slices: slices ?? [],
    modules: modules ?? [],
    contributors: contributors ?? new Map(),
    parameters,
    options: context.options,
    numerics: read('numerics', parseNumerics) ?? 'exact',
    dtype: read('dtype', parseDtype),
    outDtype: read('out_dtype', parseDtype),
    seed,
    output: read('output', parseOutput),
    map: read('map', (at) => parseMap(at, description, Math.abs(seed))),
    tokenizer: tokenizer ?? tokenizerSource,
    chatTemplate: read('chat_template', parseChatTemplate),
    warnings: context.warnings,
  };
}
