/**
 * Reads a recipe: mergekit's grammar plus ours, checked to the last key. Nothing is ignored silently: an unknown key, a method of another
 * version or a value of the wrong kind is an error with line and column; a parameter that has no effect is a warning.
 */

import { type ParsedRule, parseMethod, parseWrittenRule } from './parse-rule.js';
import { parseDtype, parseModelReference, parseParameters } from './parse-values.js';
import type { Parameters, Recipe, RecipeContributor, RecipeModel } from './recipe.js';
import { LATER_KEYS, MERGEKIT_PARAMETERS } from './rules.js';
import {
  countOf,
  describe,
  entriesOf,
  isNothing,
  itemsOf,
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
  'base_model',
  'models',
  'contributors',
  'parameters',
  'dtype',
  'out_dtype',
  'seed',
  'numerics',
] as const;
const MODEL_KEYS = ['model', 'samples', 'steps', 'parameters'] as const;
const CONTRIBUTOR_KEYS = ['samples', 'parameters'] as const;

interface Context {
  readonly rule: ParsedRule;
  readonly warnings: string[];
}

/** Whether a parameter counts; one of mergekit's that its method does not read is a warning, as mergekit would not say a word. */
function checkParameter({ rule, warnings }: Context, entry: YamlEntry, scope: 'model' | 'global'): boolean {
  const { name: method, parameters } = rule.description;
  const known = parameters.find((parameter) => parameter.name === entry.key);
  if (known !== undefined) {
    if (scope === 'global' || known.scope === 'model') return true;
    warnings.push(`${entry.value.path} has no effect beside a model; write it under the top \`parameters\``);
    return false;
  }
  const fromMergekit = method === 'linear' || method === 'task_arithmetic';
  if (fromMergekit && MERGEKIT_PARAMETERS.includes(entry.key)) {
    warnings.push(`${entry.value.path} has no effect with ${method}`);
    return false;
  }
  return refuseKey(
    entry,
    parameters.map((parameter) => parameter.name),
  );
}

const parametersIn = (context: Context, at: YamlNode, scope: 'model' | 'global'): Parameters =>
  parseParameters(at, (entry) => checkParameter(context, entry, scope));

function parseModel(context: Context, at: YamlNode): RecipeModel {
  let model: string | undefined;
  let samples: number | undefined;
  let steps: number | undefined;
  let parameters: Parameters = new Map();
  for (const entry of entriesOf(at, '{model: path, parameters: ...}')) {
    if (entry.key === 'model') model = parseModelReference(entry.value);
    else if (entry.key === 'samples') samples = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'steps') steps = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'parameters') parameters = parametersIn(context, entry.value, 'model');
    else refuseKey(entry, MODEL_KEYS);
  }
  if (model === undefined) return refuse('RECIPE_INVALID', at, `${at.path} names no model`, { expected: 'model: the path of a folder' });
  return { model, samples, steps, parameters };
}

function parseModels(context: Context, at: YamlNode): RecipeModel[] {
  const models: RecipeModel[] = [];
  for (const item of itemsOf(at, 'a list of models')) {
    const model = parseModel(context, item);
    if (models.some((other) => other.model === model.model))
      return refuse('RECIPE_INVALID', item, `${model.model} is listed twice`, { fix: 'Give it one entry with the sum of the weights.' });
    models.push(model);
  }
  if (models.length === 0) return refuse('RECIPE_INVALID', at, 'models is empty', { expected: 'at least one model' });
  return models;
}

function parseContributors(context: Context, at: YamlNode): Map<string, RecipeContributor> {
  const contributors = new Map<string, RecipeContributor>();
  for (const { key, value } of entriesOf(at, 'a mapping from contributor to {parameters}')) {
    let samples: number | undefined;
    let parameters: Parameters = new Map();
    for (const entry of entriesOf(value)) {
      if (entry.key === 'samples') samples = countOf(entry.value, 'a whole number above 0', 1);
      else if (entry.key === 'parameters') parameters = parametersIn(context, entry.value, 'model');
      else refuseKey(entry, CONTRIBUTOR_KEYS);
    }
    contributors.set(key, { samples, parameters });
  }
  return contributors;
}

function checkNumerics(at: YamlNode): void {
  const numerics = textOf(at);
  if (numerics === 'exact') return;
  if (numerics === 'mergekit')
    refuse('RECIPE_UNSUPPORTED', at, 'numerics: mergekit is not supported in this version', { expected: 'exact' });
  refuse('RECIPE_INVALID', at, 'numerics has no such value', { expected: 'exact', got: describe(at) });
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
  if (method !== undefined && rule !== undefined)
    return refuse('RECIPE_INVALID', rule.keyNode, 'merge_method and rule exclude each other', { fix: 'Keep one of the two.' });
  if (method !== undefined) return parseMethod(method.value);
  if (rule !== undefined) return parseWrittenRule(rule.value);
  return refuse('RECIPE_INVALID', root, 'the recipe names no method', {
    expected: 'merge_method: linear, task_arithmetic, fedavg; or a rule',
  });
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
  const context: Context = { rule, warnings: [] };
  const read = <T>(key: (typeof TOP_KEYS)[number], parse: (at: YamlNode) => T): T | undefined => {
    const entry = entries.get(key);
    return entry === undefined || isNothing(entry.value) ? undefined : parse(entry.value);
  };
  read('numerics', checkNumerics);
  const models = read('models', (at) => parseModels(context, at));
  const contributors = read('contributors', (at) => parseContributors(context, at));
  if (models !== undefined && contributors !== undefined) {
    refuse('RECIPE_INVALID', entries.get('contributors')?.keyNode ?? root, 'models is for offline merges, contributors for rounds', {
      fix: 'Keep one of the two.',
    });
  }
  const parameters = new Map(read('parameters', (at) => parametersIn(context, at, 'global')));
  if (rule.lambda !== undefined) {
    if (parameters.has('lambda'))
      refuse('RECIPE_INVALID', entries.get('parameters')?.keyNode ?? root, 'lambda is given twice: in parameters and in post');
    parameters.set('lambda', rule.lambda);
  }
  return {
    text,
    fileName,
    method: rule.description.name,
    rule: rule.description.composition,
    baseModel: read('base_model', parseModelReference),
    models: models ?? [],
    contributors: contributors ?? new Map(),
    parameters,
    dtype: read('dtype', parseDtype),
    outDtype: read('out_dtype', parseDtype),
    seed: read('seed', parseSeed) ?? 0,
    warnings: context.warnings,
  };
}
