/** Opens what an offline recipe refers to: models, slices, modules, their bases. Who takes part, and in which order, is settled here. */
import { resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { OpenedModel } from '../../shared/merge/merge-part.js';
import type { MergeBase, MergeInput } from '../../shared/merge/types.js';
import type { Parameters, Recipe } from '../../shared/recipe/recipe.js';

export interface OpenedModels {
  readonly base: (MergeBase & { readonly checkpoint: Checkpoint }) | undefined;
  readonly inputs: readonly MergeInput[];
  /** By the reference that the recipe has. */
  readonly models: ReadonlyMap<string, OpenedModel & { readonly checkpoint: Checkpoint }>;
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
    const path = resolve(model);
    const other = paths.get(path);
    if (other !== undefined) invalid(recipe, `${other} and ${model} are the same folder`, { fix: 'Give it one entry.' });
    paths.set(path, model);
  }
}

/** Those whose weights count. A base's own task vector is zero: listing it, as mergekit's examples do, changes nothing. */
function takingPart(recipe: Recipe, listed: readonly Participation[], warnings: string[]): Participation[] {
  const { baseModel, description } = recipe;
  const isBase = ({ model, baseModel: base }: Participation): boolean => base !== undefined && resolve(model) === resolve(base);
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

/** @throws RECIPE_INVALID, and what opening a checkpoint throws */
export async function openModels(recipe: Recipe): Promise<OpenedModels> {
  const listed = participationsIn(recipe);
  checkReferences(recipe, listed);
  const warnings: string[] = [];
  const taking = takingPart(recipe, listed, warnings);
  const { baseModel } = recipe;
  const basePath = baseModel === undefined ? undefined : resolve(baseModel);

  const first = new Map<string, Participation>();
  for (const one of taking) if (!first.has(resolve(one.model))) first.set(resolve(one.model), one);
  const references = [...(baseModel === undefined ? [] : [baseModel]), ...listed.flatMap((one) => [one.model, one.baseModel ?? one.model])];
  const checkpoints = new Map<string, Checkpoint>();
  const paths = new Map(references.map((reference) => [resolve(reference), reference]).reverse() as [string, string][]);
  await Promise.all(
    [...paths].map(async ([path, reference]) => {
      checkpoints.set(path, await openCheckpoint(reference));
    }),
  );
  const checkpointAt = (path: string): Checkpoint => {
    const checkpoint = checkpoints.get(path);
    if (checkpoint === undefined) throw new TributaryError('INTERNAL', { what: `${path} was not opened` });
    return checkpoint;
  };
  const order = [...first.keys()];
  const inputs = order.map((path): MergeInput => {
    const { model: name, samples, steps, parameters } = first.get(path) as Participation;
    return { name, kind: 'full', tensors: checkpointAt(path).tensors, samples, steps, parameters, isBase: path === basePath };
  });
  const byPath = new Map(
    [...checkpoints].map(([path, checkpoint]) => {
      const index = order.indexOf(path);
      const name = inputs[index]?.name ?? paths.get(path) ?? path;
      return [path, { name, tensors: checkpoint.tensors, input: index === -1 ? undefined : index, checkpoint }];
    }),
  );
  const models = new Map(
    references.flatMap((reference) => {
      const opened = byPath.get(resolve(reference));
      return opened === undefined ? [] : [[reference, opened] as const];
    }),
  );
  const [firstPath = ''] = listed.map(({ model }) => resolve(model));
  return {
    base:
      baseModel === undefined || basePath === undefined
        ? undefined
        : { name: baseModel, tensors: checkpointAt(basePath).tensors, checkpoint: checkpointAt(basePath) },
    inputs,
    models,
    template: checkpointAt(basePath ?? firstPath),
    warnings,
  };
}
