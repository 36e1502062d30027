/** Slices: layers of several models, put one after the other and numbered anew, with what stands before and behind the layers. */
import { TributaryError } from '../errors/tributary-error.js';
import type { TensorMap } from '../formats/tensor.js';
import { inLayer, layerOf } from '../recipe/layers.js';
import type { Parameters, Recipe, RecipeModule, RecipeSlice } from '../recipe/recipe.js';
import type { AlignedModel, NamedTensor } from './align-models.js';
import { named, type OpenedModel, type OutputRequest, type Part } from './merge-part.js';

/** Stands before the layers; all else outside of layers stands behind them. */
const BEFORE_LAYERS =
  /(?:^|\.)(?:embed|wte|wpe|tok_embeddings|word_embeddings|position_embeddings|token_type_embeddings|project_in|shared\.)/;
const HEAD = /(?:^|\.)(?:lm_head|embed_out)\b/;

type Range = readonly [number, number];
/** Which of a model's tensors a part is about, under which names. */
type Select = (tensors: TensorMap, range: Range) => Map<string, NamedTensor>;

function invalid(recipe: Recipe, what: string, details: { expected?: string; got?: string; fix?: string } = {}): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

function modelOf({ recipe, models }: OutputRequest, reference: string): OpenedModel {
  const model = models?.get(reference);
  if (model === undefined) throw new TributaryError('INTERNAL', { what: `${reference} was not opened`, where: recipe.fileName });
  return model;
}

/** Number of layers in the one stack that the names have. */
function countLayers(recipe: Recipe, model: OpenedModel, keep: (name: string) => boolean): number {
  const stacks = new Map<string, number>();
  for (const name of model.tensors.keys()) {
    const place = keep(name) ? layerOf(name) : undefined;
    if (place !== undefined) stacks.set(place.stack, Math.max(stacks.get(place.stack) ?? 0, place.index + 1));
  }
  const [first] = stacks;
  if (stacks.size > 1)
    return invalid(recipe, `${model.name} has several stacks of layers, so which of them slices are about is unclear`, {
      got: [...stacks.keys()].join(', '),
      fix: 'Name the stacks under `modules:`.',
    });
  return first?.[1] ?? 0;
}

/** @param offset the number of the slice's first layer in the output */
function layersAt(keep: (name: string) => boolean, offset: number): Select {
  return (tensors, [start, end]) => {
    const selected = new Map<string, NamedTensor>();
    for (const [name, tensor] of tensors) {
      const place = keep(name) ? layerOf(name) : undefined;
      if (place === undefined || place.index < start || place.index >= end) continue;
      selected.set(inLayer(name, place.index - start + offset), { tensor, inputName: name });
    }
    return selected;
  };
}

function outsideOfLayers(keep: (name: string) => boolean, before: boolean): Select {
  return (tensors) =>
    named(tensors, (name) => keep(name) && layerOf(name) === undefined && (BEFORE_LAYERS.test(name) && !HEAD.test(name)) === before);
}

function rangeOfBase(recipe: Recipe, slice: RecipeSlice, isBase: (reference: string) => boolean): Range | undefined {
  const listed = slice.sources.find(({ model }) => isBase(model));
  if (listed !== undefined) return listed.layerRange;
  const [first, ...others] = slice.sources.map((source) => source.layerRange);
  if (first !== undefined && others.every((range) => range[0] === first[0])) return first;
  if (!recipe.description.needs.includes('base')) return undefined;
  return invalid(recipe, 'which layers of the base a slice starts from is unclear: its sources have different ranges', {
    fix: 'List the base among the sources of the slice.',
  });
}

/** @param position t of an output tensor of this part */
function partOf(
  request: OutputRequest,
  slice: RecipeSlice,
  select: Select,
  position: Part['position'],
  outer: readonly (Parameters | undefined)[],
): Part {
  const { recipe } = request;
  const scopes = [slice.parameters, ...outer];
  const reference = slice.baseModel ?? recipe.baseModel;
  const base = reference === undefined ? undefined : modelOf(request, reference);
  const isBase = (one: string): boolean => base !== undefined && modelOf(request, one) === base;
  const aligned = (model: OpenedModel, range: Range): AlignedModel => ({
    name: model.name,
    kind: 'full',
    tensors: select(model.tensors, range),
  });
  const range = base === undefined ? undefined : rangeOfBase(recipe, slice, isBase);
  const members = slice.sources.flatMap((source) => {
    if (!recipe.description.baseAsModel && isBase(source.model)) return [];
    const model = modelOf(request, source.model);
    if (model.input === undefined) throw new TributaryError('INTERNAL', { what: `${model.name} is no input`, where: recipe.fileName });
    return [{ model: aligned(model, source.layerRange), input: model.input, scopes: [source.parameters, ...scopes] }];
  });
  return {
    members,
    base: base === undefined || range === undefined ? undefined : aligned(base, range),
    scopes,
    position,
    ofSlices: true,
  };
}

function checkRanges(request: OutputRequest, slices: readonly RecipeSlice[], keep: (name: string) => boolean): void {
  for (const { sources } of slices) {
    const seen = new Map<OpenedModel, string>();
    for (const { model: reference, layerRange } of sources) {
      const model = modelOf(request, reference);
      const other = seen.get(model);
      if (other !== undefined) invalid(request.recipe, `${other} and ${reference} are the same folder, twice in one slice`);
      seen.set(model, reference);
      const count = countLayers(request.recipe, model, keep);
      if (layerRange[1] > count)
        invalid(request.recipe, `${model.name} has no layer ${layerRange[1] - 1}`, {
          expected: `layer_range within [0, ${count}]`,
          got: `[${layerRange.join(', ')}]`,
        });
    }
  }
}

/**
 * Who makes what stands behind the layers: the models of the last slice. mergekit counts them by the first slice and drops those beyond.
 * @throws RECIPE_INVALID for other numbers of models, unless mergekit's way is asked for
 */
function backSlice(recipe: Recipe, slices: readonly RecipeSlice[]): RecipeSlice | undefined {
  const last = slices.at(-1);
  const count = slices[0]?.sources.length;
  if (last === undefined || last.sources.length === count) return last;
  if (recipe.numerics === 'mergekit') return { ...last, sources: last.sources.slice(0, count) };
  return invalid(
    recipe,
    'the first and the last slice have different numbers of sources, so who makes the final norm and the head is unclear',
    {
      expected: `${count}, as in the first slice`,
      got: `${last.sources.length}`,
      fix: 'List the same number of sources in both (weight 0 for those that are not to count), or set numerics: mergekit, which drops the rest.',
    },
  );
}

/** The parts in the order of the output: what stands before the layers, slice by slice, what stands behind. */
export function partsOfSlices(
  request: OutputRequest,
  slices: readonly RecipeSlice[],
  keep: (name: string) => boolean,
  module?: RecipeModule,
): { parts: Part[]; layersFrom: number[] } {
  checkRanges(request, slices, keep);
  const { recipe } = request;
  const outer = [...(module === undefined ? [] : [module.parameters]), recipe.parameters];
  const parts: Part[] = [];
  const layersFrom: number[] = [];
  const outside = (slice: RecipeSlice | undefined, before: boolean): void => {
    if (slice === undefined) return;
    const part = partOf(request, slice, outsideOfLayers(keep, before), () => 0, outer);
    if ([part.base, ...part.members.map(({ model }) => model)].some((model) => model !== undefined && model.tensors.size > 0))
      parts.push(part);
  };
  outside(slices[0], true);
  for (const slice of slices) {
    const offset = layersFrom.length;
    const reference = slice.baseModel ?? recipe.baseModel;
    const base = reference === undefined ? undefined : modelOf(request, reference);
    const [first] = slice.sources;
    if (first === undefined) continue;
    const length = first.layerRange[1] - first.layerRange[0];
    const position = (name: string): number => (length === 1 ? 1 : ((layerOf(name)?.index ?? offset) - offset) / (length - 1));
    parts.push(partOf(request, slice, layersAt(keep, offset), position, outer));
    const from = (slice.sources.find(({ model }) => modelOf(request, model) === base) ?? first).layerRange[0];
    for (let layer = 0; layer < length; layer++) layersFrom.push(from + layer);
  }
  outside(backSlice(recipe, slices), false);
  return { parts, layersFrom };
}
