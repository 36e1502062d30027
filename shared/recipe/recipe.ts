/** The typed form of a recipe: everything checked, nothing defaulted away. Plain data; it crosses threads and is kept with a round. */
import type { MergeDType } from '../formats/tensor.js';

/** A number, or numbers spread over the layers (first entry at the first layer, last at the last, linear between). */
export type ParameterNumber = number | readonly number[];

/** Tried in order; the first whose filter is absent, `*` or a substring of the tensor's name counts. */
export interface ParameterCase {
  readonly filter?: string | undefined;
  readonly value: ParameterNumber;
}

export type ParameterValue = readonly ParameterCase[];
export type Parameters = ReadonlyMap<string, ParameterValue>;

export type Weighting = 'uniform' | 'samples' | 'given';

/**
 * What a method name stands for: V = sum of c_i v_i, divided by the sum of c_i when `normalize`, times lambda. `of` says what v_i is and so
 * what the result is: of task vectors base + V, of weights V itself.
 */
export interface RuleComposition {
  readonly weighting: Weighting;
  readonly of: 'task_vectors' | 'weights';
  /** The default of the parameter `normalize`. */
  readonly normalize: boolean;
}

export interface RecipeModel {
  readonly model: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters: Parameters;
}

export interface RecipeContributor {
  readonly samples?: number | undefined;
  readonly parameters: Parameters;
}

export interface Recipe {
  /** The file as it was written, for the model card. */
  readonly text: string;
  readonly fileName: string;
  /** A preset's name, or `rule` when the composition was written out. */
  readonly method: string;
  readonly rule: RuleComposition;
  readonly baseModel?: string | undefined;
  /** Empty in a round. */
  readonly models: readonly RecipeModel[];
  readonly contributors: ReadonlyMap<string, RecipeContributor>;
  readonly parameters: Parameters;
  /** Of the arithmetic in mergekit; here it only decides the storage dtype when there is no base (and warns). */
  readonly dtype?: MergeDType | undefined;
  readonly outDtype?: MergeDType | undefined;
  readonly seed: number;
  readonly warnings: readonly string[];
}
