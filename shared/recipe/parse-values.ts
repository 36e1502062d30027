/** Readers for the values that occur all over a recipe: parameters, dtypes, model references. */
import type { MergeDType } from '../formats/tensor.js';
import type { ParameterCase, ParameterNumber, ParameterValue } from './recipe.js';
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
  type YamlNode,
} from './yaml-node.js';

const DTYPES: Readonly<Record<string, MergeDType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

export function parseDtype(at: YamlNode): MergeDType {
  const name = textOf(at, 'a dtype').replace(/^torch\./, '');
  const dtype = Object.hasOwn(DTYPES, name) ? DTYPES[name] : undefined;
  if (dtype !== undefined) return dtype;
  if (name === 'int64' || name === 'float64')
    return refuse('RECIPE_UNSUPPORTED', at, `${name} is not a dtype that can be merged in`, { expected: Object.keys(DTYPES).join(', ') });
  return refuse('RECIPE_INVALID', at, `${at.path} is no known dtype`, { expected: Object.keys(DTYPES).join(', '), got: describe(at) });
}

function parseNumber(at: YamlNode): ParameterNumber {
  if (!isList(at)) return numberOf(at, 'a number, a list of numbers (a gradient over the layers), or a list of {filter, value}');
  const items = itemsOf(at);
  if (items.length === 0) return refuse('RECIPE_INVALID', at, `${at.path} is an empty list`, { expected: 'at least one number' });
  return items.map((item) => numberOf(item));
}

function parseCase(at: YamlNode): ParameterCase {
  let filter: string | undefined;
  let value: ParameterNumber | undefined;
  for (const entry of entriesOf(at)) {
    if (entry.key === 'filter') filter = isNothing(entry.value) ? undefined : textOf(entry.value, 'a part of a tensor name');
    else if (entry.key === 'value') value = parseNumber(entry.value);
    else refuseKey(entry, ['filter', 'value']);
  }
  if (value === undefined)
    return refuse('RECIPE_INVALID', at, `${at.path} has no value`, { expected: '{filter: part of a tensor name, value: number}' });
  return { filter, value };
}

/** A single {filter, value} outside of a list is taken as a list of one. */
export function parseParameterValue(at: YamlNode): ParameterValue {
  if (isMapping(at)) return [parseCase(at)];
  if (isList(at)) {
    const items = itemsOf(at);
    if (items.some(isMapping))
      return items.map((item) =>
        isMapping(item)
          ? parseCase(item)
          : refuse('RECIPE_INVALID', item, 'a list holds either numbers or {filter, value}, not both', { got: describe(item) }),
      );
  }
  return [{ value: parseNumber(at) }];
}

/** A folder, `folder+adapter` (mergekit's form, also written `{model, lora}`), or `base:<name>` in a round. */
export function parseModelReference(at: YamlNode): string {
  if (isMapping(at)) {
    let model: string | undefined;
    let adapter: string | undefined;
    for (const entry of entriesOf(at)) {
      if (entry.key === 'model' || entry.key === 'path') model = parseModelReference(entry.value);
      else if (['lora', 'override_architecture', 'revision'].includes(entry.key) && isNothing(entry.value)) continue;
      else if (entry.key === 'lora') adapter = parseModelReference(entry.value);
      else refuseKey(entry, ['model', 'lora'], ['override_architecture', 'revision']);
    }
    if (model === undefined) return refuse('RECIPE_INVALID', at, 'a model reference without model', { expected: 'the path of a folder' });
    return adapter === undefined ? model : checkReference(at, `${model}+${adapter}`);
  }
  return checkReference(at, textOf(at, 'the path of a folder'));
}

/** A reference has at most one adapter. */
function checkReference(at: YamlNode, text: string): string {
  const parts = text.split('+');
  if (parts.length > 2 || (parts.length === 2 && parts.includes('')))
    return refuse('RECIPE_INVALID', at, 'a model reference has one adapter at most', {
      expected: 'FOLDER or FOLDER+ADAPTER',
      got: text,
      fix: 'A path must not contain +.',
    });
  return text;
}
