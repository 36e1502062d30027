/** The typed form of a recipe: everything checked, nothing defaulted away. Plain data; it crosses threads and is kept with a round. */
import type { MergeDType } from '../formats/tensor.js';
import type { MapBlock } from './map-block.js';

/** A number, or numbers spread over the layers (first entry at the first layer, last at the last, linear between). */
export type ParameterNumber = number | readonly number[];

/** Tried in order; the first whose filter is absent, `*` or a substring of the tensor's name counts. */
export interface ParameterCase {
  readonly filter?: string | undefined;
  readonly value: ParameterNumber;
}

export type ParameterValue = readonly ParameterCase[];
export type Parameters = ReadonlyMap<string, ParameterValue>;

export type Weighting = 'uniform' | 'samples' | 'steps' | 'given' | 'nan' | 'metagpt';
/** Done to each task vector by itself, in order. */
export type TransformStep = 'star' | 'clip' | 'trim' | 'outliers' | 'drop' | 'della';
export type CombineStep =
  | 'sum'
  | 'sign_consensus'
  | 'agreement'
  | 'median'
  | 'trimmed_mean'
  | 'geometric_median'
  | 'krum'
  | 'sce'
  | 'consensus_mask'
  | 'tall'
  | 'emr'
  | 'pcb'
  | 'localize'
  | 'slerp'
  | 'nuslerp'
  | 'multislerp'
  | 'karcher'
  | 'model_stock'
  | 'nearswap'
  | 'arcee_fusion'
  | 'passthrough'
  | MatrixCombineStep;
/** Combinations that look at whole matrices; tensors that are none are averaged. */
export type MatrixCombineStep = 'tsv' | 'iso_c' | 'iso_cts' | 'knots' | 'wudi';
/** Done to the merged vector, in order. */
export type PostStep = 'lines' | 'server' | 'scale';

/**
 * What a method name stands for. `of` says what is combined: of task vectors the result is base + V, of weights V itself. Everything with a
 * number is a parameter (`normalize`, `lambda`, ...), never part of the composition.
 */
export interface RuleComposition {
  readonly of: 'task_vectors' | 'weights';
  readonly transforms: readonly TransformStep[];
  readonly weighting: Weighting;
  readonly combine: CombineStep;
  readonly post: readonly PostStep[];
}

/** What a rule (or one step of it) can be told. Numbers land in `Recipe.parameters`, words in `Recipe.options`. */
export interface RuleParameter {
  readonly name: string;
  /** Whether it is looked up per model or once for all. */
  readonly scope: 'model' | 'global';
  readonly kind: 'number' | 'flag' | 'choice';
  /** Of a choice: the words there are. */
  readonly choices?: readonly string[] | undefined;
  /** Of a choice: what true and false stand for. */
  readonly flags?: { readonly true: string; readonly false: string } | undefined;
  /** Of a number: words that are taken in its place, such as `auto`. */
  readonly words?: readonly string[] | undefined;
  /** Undefined: required, or optional without a value of its own. */
  readonly default?: number | string | undefined;
  /** Required offline; in a round a weight is nevertheless 1 unless said. */
  readonly required?: true | undefined;
  /** One line. */
  readonly meaning: string;
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  readonly integer?: true | undefined;
}

export type RuleFamily = 'averaging' | 'task vectors' | 'spectral' | 'masks' | 'robust' | 'geometry' | 'across rounds';
export type RuleNeed = 'base' | 'samples' | 'steps' | 'rounds';

export interface RuleDescription {
  readonly name: string;
  readonly family: RuleFamily;
  readonly composition: RuleComposition;
  readonly parameters: readonly RuleParameter[];
  /** Parameters of its steps that this rule does not let anyone change, and their values. */
  readonly fixed: ReadonlyMap<string, number | string>;
  readonly formula: string;
  readonly source: string;
  /** What the rule cannot do without. */
  readonly needs: readonly RuleNeed[];
  /** Number of models or contributions, the base not counted unless `baseAsModel`. */
  readonly minModels?: number | undefined;
  readonly maxModels?: number | undefined;
  /** A base listed under `models` is a model like any other; with other rules its task vector is zero and it is left out. */
  readonly baseAsModel: boolean;
  /** Whether it can be computed when only sums of contributions become known. */
  readonly secureAggregation: { readonly works: boolean; readonly why: string };
  /** Known to mergekit by this name, so that mergekit's other parameters are no typing errors. */
  readonly mergekit?: true | undefined;
  /** Keeps a state from round to round: no offline merge. */
  readonly acrossRounds?: true | undefined;
  /** Gives one model per task, not one for all. */
  readonly perTask?: true | undefined;
}

export interface RecipeModel {
  readonly model: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters: Parameters;
}

/** Layers [start, end) of one model. */
export interface RecipeSource {
  readonly model: string;
  readonly layerRange: readonly [number, number];
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters: Parameters;
}

/** Layers of the output, one after the other: each made of the corresponding layer of every source. */
export interface RecipeSlice {
  /** Of equal length; no model twice. */
  readonly sources: readonly RecipeSource[];
  readonly baseModel?: string | undefined;
  readonly parameters: Parameters;
}

/** A part of the model with layers of its own, such as a vision tower. Either models or slices is empty. */
export interface RecipeModule {
  readonly name: string;
  readonly models: readonly RecipeModel[];
  readonly slices: readonly RecipeSlice[];
  readonly parameters: Parameters;
}

export interface RecipeContributor {
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly parameters: Parameters;
}

/** A LoRA adapter instead of a model: of at most `rank`, and of no higher one than keeps the share `energy` of the squared singular values. */
export interface AdapterOutput {
  readonly rank?: number | undefined;
  readonly energy?: number | undefined;
}

/** `exact`: one rounding at the end. `mergekit`: rounded where mergekit rounds, in the dtype it computes in. */
export type Numerics = 'exact' | 'mergekit';

export interface Recipe {
  /** The file as it was written, for the model card. */
  readonly text: string;
  readonly fileName: string;
  /** A preset's name, or `rule` when the composition was written out. */
  readonly method: string;
  readonly rule: RuleComposition;
  /** Of the preset or the composition, with what `weighting:` and `refine:` changed. */
  readonly description: RuleDescription;
  readonly baseModel?: string | undefined;
  /** At most one of models, slices and modules is not empty; in a round all are. */
  readonly models: readonly RecipeModel[];
  readonly slices: readonly RecipeSlice[];
  readonly modules: readonly RecipeModule[];
  readonly contributors: ReadonlyMap<string, RecipeContributor>;
  readonly parameters: Parameters;
  /** The word of every choice, chosen or by default, and of every number that is left to a word such as `auto`. */
  readonly options: ReadonlyMap<string, string>;
  readonly numerics: Numerics;
  /** Of the arithmetic under `numerics: mergekit`; else it only decides the storage dtype when there is no base (and warns). */
  readonly dtype?: MergeDType | undefined;
  readonly outDtype?: MergeDType | undefined;
  readonly seed: number;
  /** Undefined: the whole model. */
  readonly output?: AdapterOutput | undefined;
  /** In rounds: the Pareto front that agents measure once the model is published. */
  readonly map?: MapBlock | undefined;
  /** Whose tokenizer the output gets, when the recipe says it: `base`, `union`, or the reference of a model. */
  readonly tokenizer?: string | undefined;
  /** `auto`, the name of a template, or a Jinja template. */
  readonly chatTemplate?: string | undefined;
  readonly warnings: readonly string[];
}
