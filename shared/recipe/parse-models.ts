/** Reads who takes part: `models`, `slices` and `modules` offline, `contributors` in a round. */
import { parseParameters, type SettingsContext } from './parse-settings.js';
import { parseModelReference } from './parse-values.js';
import type { Parameters, RecipeContributor, RecipeModel, RecipeModule, RecipeSlice, RecipeSource } from './recipe.js';
import { countOf, describe, entriesOf, isNothing, itemsOf, refuse, refuseKey, type YamlNode } from './yaml-node.js';

const MODEL_KEYS = ['model', 'samples', 'steps', 'parameters'] as const;
const CONTRIBUTOR_KEYS = ['samples', 'steps', 'parameters'] as const;
const SLICE_KEYS = ['sources', 'base_model', 'parameters'] as const;
const SOURCE_KEYS = ['model', 'layer_range', 'samples', 'steps', 'parameters'] as const;
const MODULE_KEYS = ['models', 'slices', 'parameters'] as const;

function parseModel(context: SettingsContext, at: YamlNode): RecipeModel {
  let model: string | undefined;
  let samples: number | undefined;
  let steps: number | undefined;
  let parameters: Parameters = new Map();
  for (const entry of entriesOf(at, '{model: path, parameters: ...}')) {
    if (entry.key === 'model') model = parseModelReference(entry.value);
    else if (entry.key === 'samples') samples = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'steps') steps = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'parameters') parameters = parseParameters(context, entry.value, 'model');
    else refuseKey(entry, MODEL_KEYS);
  }
  if (model === undefined) return refuse('RECIPE_INVALID', at, `${at.path} names no model`, { expected: 'model: the path of a folder' });
  return { model, samples, steps, parameters };
}

export function parseModels(context: SettingsContext, at: YamlNode): RecipeModel[] {
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

export function parseContributors(context: SettingsContext, at: YamlNode): Map<string, RecipeContributor> {
  const contributors = new Map<string, RecipeContributor>();
  for (const { key, value } of entriesOf(at, 'a mapping from contributor to {parameters}')) {
    let samples: number | undefined;
    let steps: number | undefined;
    let parameters: Parameters = new Map();
    for (const entry of entriesOf(value)) {
      if (entry.key === 'samples') samples = countOf(entry.value, 'a whole number above 0', 1);
      else if (entry.key === 'steps') steps = countOf(entry.value, 'a whole number above 0', 1);
      else if (entry.key === 'parameters') parameters = parseParameters(context, entry.value, 'model');
      else refuseKey(entry, CONTRIBUTOR_KEYS);
    }
    contributors.set(key, { samples, steps, parameters });
  }
  return contributors;
}

function parseLayerRange(at: YamlNode): [number, number] {
  const expected = '[first layer, layer behind the last]';
  const [start, end, ...others] = itemsOf(at, expected).map((item) => countOf(item, 'the number of a layer', 0));
  if (start === undefined || end === undefined || others.length > 0 || end <= start)
    return refuse('RECIPE_INVALID', at, `${at.path} is no range of layers`, { expected, got: describe(at) });
  return [start, end];
}

function parseSource(context: SettingsContext, at: YamlNode): RecipeSource {
  let model: string | undefined;
  let layerRange: [number, number] | undefined;
  let samples: number | undefined;
  let steps: number | undefined;
  let parameters: Parameters = new Map();
  for (const entry of entriesOf(at, '{model: path, layer_range: [start, end]}')) {
    if (entry.key === 'model') model = parseModelReference(entry.value);
    else if (entry.key === 'layer_range') layerRange = isNothing(entry.value) ? undefined : parseLayerRange(entry.value);
    else if (entry.key === 'samples') samples = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'steps') steps = countOf(entry.value, 'a whole number above 0', 1);
    else if (entry.key === 'parameters') parameters = parseParameters(context, entry.value, 'model');
    else refuseKey(entry, SOURCE_KEYS);
  }
  if (model === undefined || layerRange === undefined)
    return refuse('RECIPE_INVALID', at, `${at.path} names no ${model === undefined ? 'model' : 'layers'}`, {
      expected: '{model: path, layer_range: [start, end]}',
    });
  return { model, layerRange, samples, steps, parameters };
}

function parseSources(context: SettingsContext, at: YamlNode): RecipeSource[] {
  const sources: RecipeSource[] = [];
  for (const item of itemsOf(at, 'a list of {model, layer_range}')) {
    const source = parseSource(context, item);
    if (sources.some((other) => other.model === source.model))
      return refuse('RECIPE_INVALID', item, `${source.model} is listed twice in one slice`, {
        fix: 'Layers of one model can follow one another in slices of their own.',
      });
    const [start, end] = source.layerRange;
    const [first] = sources;
    const length = first === undefined ? end - start : first.layerRange[1] - first.layerRange[0];
    if (end - start !== length)
      return refuse('RECIPE_INVALID', item, 'the sources of a slice must have the same number of layers', {
        expected: `${length}, as ${first?.model ?? ''}`,
        got: `${end - start}`,
      });
    sources.push(source);
  }
  if (sources.length === 0) return refuse('RECIPE_INVALID', at, `${at.path} is empty`, { expected: 'at least one source' });
  return sources;
}

export function parseSlices(context: SettingsContext, at: YamlNode): RecipeSlice[] {
  const slices = itemsOf(at, 'a list of slices').map((item): RecipeSlice => {
    let sources: RecipeSource[] | undefined;
    let baseModel: string | undefined;
    let parameters: Parameters = new Map();
    for (const entry of entriesOf(item, '{sources: [...]}')) {
      if (entry.key === 'sources') sources = parseSources(context, entry.value);
      else if (entry.key === 'base_model') baseModel = isNothing(entry.value) ? undefined : parseModelReference(entry.value);
      else if (entry.key === 'parameters') parameters = parseParameters(context, entry.value, 'global');
      else if (entry.key === 'residual_weight') context.warnings.push(`${entry.value.path} has no effect (nor has it in mergekit)`);
      else refuseKey(entry, SLICE_KEYS);
    }
    return { sources: sources ?? refuse('RECIPE_INVALID', item, `${item.path} has no sources`), baseModel, parameters };
  });
  if (slices.length === 0) return refuse('RECIPE_INVALID', at, `${at.path} is empty`, { expected: 'at least one slice' });
  return slices;
}

export function parseModules(context: SettingsContext, at: YamlNode): RecipeModule[] {
  const modules = entriesOf(at, 'a mapping from module to {models} or {slices}').map(({ key: name, keyNode, value }): RecipeModule => {
    let models: RecipeModel[] = [];
    let slices: RecipeSlice[] = [];
    let parameters: Parameters = new Map();
    for (const entry of entriesOf(value)) {
      if (entry.key === 'models') models = isNothing(entry.value) ? [] : parseModels(context, entry.value);
      else if (entry.key === 'slices') slices = isNothing(entry.value) ? [] : parseSlices(context, entry.value);
      else if (entry.key === 'parameters') parameters = parseParameters(context, entry.value, 'global');
      else refuseKey(entry, MODULE_KEYS);
    }
    if (models.length > 0 === slices.length > 0)
      return refuse('RECIPE_INVALID', keyNode, `module ${name} needs either models or slices`, { expected: 'one of the two' });
    return { name, models, slices, parameters };
  });
  if (modules.length === 0) return refuse('RECIPE_INVALID', at, 'modules is empty', { expected: 'at least one module' });
  return modules;
}
