/** Opens what an offline recipe refers to: models, slices, modules, their bases. Who takes part, and in which order, is settled here. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Checkpoint } from '../../shared/formats/checkpoint.js';
import type { OpenedModel } from '../../shared/merge/merge-part.js';
import type { MergeBase, MergeInput } from '../../shared/merge/types.js';
import type { Parameters, Recipe } from '../../shared/recipe/recipe.js';
import { createModelOpener, keyOf, type OfflineModel } from './open-model.js';

export interface OpenedModels {
  readonly base: (MergeBase & { readonly checkpoint: Checkpoint }) | undefined;
  readonly inputs: readonly MergeInput[];
  /** By the reference that the recipe has. */
  readonly models: ReadonlyMap<string, OpenedModel & Pick<OfflineModel, 'checkpoint' | 'adapter'>>;
  /** Whose configuration and tokenizer the output gets: the base, else the first model. */
  readonly template: Checkpoint;
  readonly warnings: readonly string[];
}

/** A model where the recipe lets it take part. */
interface Participation {
  readonly model: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters: Parameters;
  /** Of the slice or of the recipe. */
  readonly baseModel: string | undefined;
}

function invalid(recipe: Recipe, what: string, details: { expected?: string; fix?: string } = {}): never {
  throw new TributaryError('RECIPE_INVALID', { what, where: recipe.fileName, ...details });
}

function participationsIn(recipe: Recipe): Participation[] {
  const { baseModel } = recipe;
  const parts = [{ models: recipe.models, slices: recipe.slices }, ...recipe.modules];
  return parts.flatMap(({ models, slices }) => [
    ...models.map((model) => ({ ...model, baseModel })),
    ...slices.flatMap((slice) => slice.sources.map((source) => ({ ...source, baseModel: slice.baseModel ?? baseModel }))),
  ]);
}

function checkReferences(recipe: Recipe, listed: readonly Participation[]): void {
  if (recipe.contributors.size > 0) invalid(recipe, 'contributors: is for rounds', { fix: 'List `models:` instead.' });
  if (recipe.description.acrossRounds === true)
    invalid(recipe, `${recipe.method} keeps a state from round to round, and an offline merge has no rounds`, {
      fix: 'Use it in a round of a coordinator; offline, fedavg is its first step with server_lr 1.',
    });
  if (listed.length === 0) invalid(recipe, 'the recipe lists no models', { expected: 'models: a list of {model: path}' });
  for (const reference of [...listed.flatMap(({ model, baseModel }) => [model, baseModel]), recipe.baseModel]) {
    if (reference?.startsWith('base:') === true)
      invalid(recipe, `${reference} is a model known to a coordinator; an offline merge needs a folder`, {
        fix: 'Write the path of a folder, or use this recipe in a round.',
      });
  }
  const paths = new Map<string, string>();
  for (const { model } of recipe.models) {
    const path = keyOf(model);
    const other = paths.get(path);
    if (other !== undefined) invalid(recipe, `${other} and ${model} are the same folder`, { fix: 'Give it one entry.' });
    paths.set(path, model);
  }
}

/** Those whose weights count. A base's own task vector is zero: listing it, as mergekit's examples do, changes nothing. */
function takingPart(recipe: Recipe, listed: readonly Participation[], warnings: string[]): Participation[] {
  const { baseModel, description } = recipe;
  const isBase = ({ model, baseModel: base }: Participation): boolean => base !== undefined && keyOf(model) === keyOf(base);
  const taking = listed.filter((one) => description.baseAsModel || !isBase(one));
  if (taking.length === 0) invalid(recipe, 'the recipe lists no model but the base');
  const unlisted = description.baseAsModel && recipe.models.length > 0 && baseModel !== undefined && !listed.some(isBase);
  if (!unlisted) return taking;
  if (recipe.rule.combine === 'karcher' && recipe.numerics === 'mergekit')
    return [...taking, { model: baseModel, parameters: new Map(), baseModel }];
  warnings.push(
    recipe.rule.combine === 'sum'
      ? `${baseModel} is the base and not listed under models: it takes part with weight 0`
      : `${baseModel} is the base and not listed under models: it takes no part`,
  );
  return taking;
}

/** An adapter by itself belongs to one base, whatever slices it stands in. */
function requireOneBase(recipe: Recipe, reference: string, bases: ReadonlySet<string | undefined>): void {
  if (bases.size > 1)
    invalid(recipe, `${reference} is a LoRA adapter, and the recipe has it on different models`, {
      expected: `MODEL+${reference} for each of them`,
    });
}

/** @throws RECIPE_INVALID, and what opening checkpoints and adapters throws */
export async function openModels(recipe: Recipe): Promise<OpenedModels> {
  const listed = participationsIn(recipe);
  checkReferences(recipe, listed);
  const warnings: string[] = recipe.map === undefined ? [] : ['map: has no effect offline; it is for rounds of a coordinator'];
  const taking = takingPart(recipe, listed, warnings);
  const { baseModel } = recipe;
  const baseKey = baseModel === undefined ? undefined : keyOf(baseModel);

  const first = new Map<string, Participation>();
  for (const one of taking) if (!first.has(keyOf(one.model))) first.set(keyOf(one.model), one);
  const references = [...(baseModel === undefined ? [] : [baseModel]), ...listed.flatMap((one) => [one.model, one.baseModel ?? one.model])];
  const named = new Map(references.map((reference) => [keyOf(reference), reference]).reverse() as [string, string][]);
  const opener = createModelOpener(recipe);
  const opened = new Map<string, OfflineModel>();
  await Promise.all(
    [...named].map(async ([key, reference]) => {
      const bases = new Set(listed.flatMap((one) => (keyOf(one.model) === key ? [one.baseModel] : [])));
      const [only] = bases;
      const model = await opener.open(reference, only);
      if (model.adapter !== undefined && !reference.includes('+')) requireOneBase(recipe, reference, bases);
      opened.set(key, model);
    }),
  );
  const modelAt = (key: string): OfflineModel => {
    const model = opened.get(key);
    if (model === undefined) throw new TributaryError('INTERNAL', { what: `${key} was not opened` });
    return model;
  };
  const order = [...first.keys()];
  const inputs = order.map((key): MergeInput => {
    const { model: name, samples, steps, parameters } = first.get(key) as Participation;
    const { tensors, adapter } = modelAt(key);
    return { name, kind: 'full', tensors, stored: adapter?.tensors, samples, steps, parameters, isBase: key === baseKey };
  });
  const byKey = new Map(
    [...opened].map(([key, { tensors, checkpoint, adapter }]) => {
      const index = order.indexOf(key);
      const name = inputs[index]?.name ?? named.get(key) ?? key;
      return [key, { name, tensors, input: index === -1 ? undefined : index, checkpoint, adapter }];
    }),
  );
  const models = new Map(
    references.flatMap((reference) => {
      const model = byKey.get(keyOf(reference));
      return model === undefined ? [] : [[reference, model] as const];
    }),
  );
  const [firstKey = ''] = listed.map(({ model }) => keyOf(model));
  return {
    base: baseModel === undefined || baseKey === undefined ? undefined : { name: baseModel, ...modelAt(baseKey) },
    inputs,
    models,
    template: modelAt(baseKey ?? firstKey).checkpoint,
    warnings,
  };
}
