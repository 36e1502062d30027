/** What a merge's parts are: sets of tensors that are merged under the same parameters, of opened models. */
import type { TensorMap } from '../formats/tensor.js';
import type { Parameters, Recipe } from '../recipe/recipe.js';
import type { AlignedModel, NamedTensor } from './align-models.js';
import type { MergeBase, MergeInput } from './types.js';

/** A model as a recipe names it. */
export interface OpenedModel {
  readonly name: string;
  readonly tensors: TensorMap;
  /** Its number among the inputs; undefined when it is only a base. */
  readonly input?: number | undefined;
}

export interface OutputRequest {
  readonly recipe: Recipe;
  /** All that take part, in the order of the arithmetic. */
  readonly inputs: readonly MergeInput[];
  readonly base?: MergeBase | undefined;
  /** By the reference that the recipe has; needed for slices and modules. */
  readonly models?: ReadonlyMap<string, OpenedModel> | undefined;
  /** From config.json of the base (or first model), for gradients. */
  readonly numHiddenLayers?: number | undefined;
  readonly inRound?: boolean | undefined;
}

/** Tensors that are merged under the same parameters. */
export interface Part {
  readonly members: readonly {
    readonly model: AlignedModel;
    readonly input: number;
    readonly scopes: readonly (Parameters | undefined)[];
  }[];
  readonly base?: AlignedModel | undefined;
  readonly scopes: readonly (Parameters | undefined)[];
  /** t of an output tensor. */
  readonly position: (name: string) => number;
  readonly ofSlices: boolean;
}

export function named(tensors: TensorMap, keep: (name: string) => boolean = () => true): Map<string, NamedTensor> {
  const kept = new Map<string, NamedTensor>();
  for (const [name, tensor] of tensors) if (keep(name)) kept.set(name, { tensor, inputName: name });
  return kept;
}
