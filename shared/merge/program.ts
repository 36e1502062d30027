/**
 * The arithmetic of a tensor whose rule is no weighted sum: stages that thin out each input's vector, then one way to make one vector of them.
 * Plain data: planned on the main thread, carried out block by block by the workers (workers/program-tiles.ts). A new rule is a new stage or
 * a new combination here, not a new engine.
 */

/** Elements the workers handle at a time; several such blocks of all inputs fit into the second-level cache. */
export const BLOCK_ELEMENTS = 4096;

/**
 * Elements of a tile of a program and of a unit of statistics. Part of the result, not a tuning knob: it fixes the order in which sums of
 * fp64 are added up.
 */
export const UNIT_ELEMENTS = 65_536;

/** Elements of one vector in the order of their magnitude, ascending: those at positions [from, to) are kept. */
export interface Band {
  readonly from: number;
  readonly to: number;
  /**
   * Of several elements of equal magnitude: the one that comes `first`, or `last`, in the tensor stands higher. For orders over a whole model,
   * those at the lower border are `all` or `none` kept.
   */
  readonly ties: 'first' | 'last' | 'all' | 'none';
}

/** Two 32-bit words: what the random numbers of one tensor of one contribution depend on, besides the element's index. */
export type RandomKey = readonly [low: number, high: number];

/** `l1`: kept elements times the ratio of the 1-norms before and after. `probability`: divided by their probability of being kept. */
export type Rescale = 'none' | 'l1' | 'probability';

/** One entry an input everywhere. */
export type Stage =
  /** Undefined: that input is left as it is. `model`: one order over all tensors of the model. */
  | { readonly kind: 'band'; readonly scope: 'tensor' | 'model'; readonly bands: readonly (Band | undefined)[]; readonly rescale: Rescale }
  | { readonly kind: 'drop'; readonly densities: readonly number[]; readonly keys: readonly RandomKey[]; readonly rescale: Rescale }
  /** Keep probability by the rank of the magnitude within its row, from density - epsilon to density + epsilon. */
  | {
      readonly kind: 'della';
      readonly densities: readonly number[];
      readonly epsilons: readonly number[];
      readonly keys: readonly RandomKey[];
      readonly rescale: Rescale;
      /**
       * Rows lie along the second dimension: of a convolution (out, in, height, width) height x width of them, one element apart, fill the
       * `columns` behind the first dimension.
       */
      readonly interleaved: number;
    }
  /** Factors that follow from the norms of whole task vectors (clipping); 1 until they are known. */
  | { readonly kind: 'scale'; readonly factors: readonly number[] }
  /** Elements whose bit is set in a file: bit i & 7 of byte i >> 3 from `offset` on. One input. */
  | { readonly kind: 'mask'; readonly path: string; readonly offset: number }
  /** The same elements in all inputs: the share `topk` of those whose variance over the inputs is not zero, the most varying ones. */
  | { readonly kind: 'variance'; readonly topk: number }
  /** Elements whose importance, |v| x divergence of the row's softmax from the base's, is far above that of most (Arcee Fusion). One input. */
  | { readonly kind: 'importance' };

/** `agree`: where the input has the merged sign (EMR). `beyond`: where |v| > threshold |merged - v| (TALL). */
export type TaskMask = { readonly kind: 'agree' } | { readonly kind: 'beyond'; readonly threshold: number };

export type Combine =
  | { readonly kind: 'sum'; readonly weights: readonly number[]; readonly normalize: boolean }
  /** Elements whose sign agrees with the elected one, averaged or summed. */
  | {
      readonly kind: 'consensus';
      readonly weights: readonly number[];
      /** The election counts weight x element, or the elements alone. */
      readonly weighted: boolean;
      /** Divides by the weights, or by the number, of those kept. */
      readonly divide: 'no' | 'weights' | 'count';
      /** Sign of an element whose sum is zero: plus, or the majority over all elements of the model. */
      readonly zero: 'plus' | 'majority';
    }
  /** Sign consensus weighted by each input's share of the sum of squares. `floor`: below it mergekit takes uniform shares. */
  | { readonly kind: 'energy'; readonly floor: number }
  | { readonly kind: 'agreement'; readonly rho: number; readonly mean: boolean }
  /** Mean of the values at places [from, to) of the inputs sorted for each element: median and trimmed mean. */
  | { readonly kind: 'sorted'; readonly from: number; readonly to: number }
  /** alpha x sum, where at least `k` inputs reach beyond `threshold` x |alpha sum - input|. */
  | { readonly kind: 'shared'; readonly alpha: number; readonly threshold: number; readonly k: number }
  /** The largest of the elements with the majority's sign (EMR). */
  | { readonly kind: 'unify' }
  /** Sum divided by the number of inputs that are not zero there. */
  | { readonly kind: 'mean_of_kept' }
  /** Each element weighed by its magnitude among all of its input and its agreement with the others; the share `ratio` of the best counts (PCB). */
  | { readonly kind: 'competition'; readonly ratio: number }
  | { readonly kind: 'nearswap'; readonly t: number }
  /** Each row turned on its own sphere from the first input to the second. */
  | { readonly kind: 'row_slerp'; readonly t: number }
  /** The same of each column, the elements that are `columns` apart. */
  | { readonly kind: 'column_slerp'; readonly t: number }
  | { readonly kind: 'row_stock' }
  /** Of a server optimiser: from what was merged and, if there is one, the moment so far. `yogi`: Zaheer et al.'s form, else Adam's. */
  | { readonly kind: 'second_moment'; readonly beta2: number; readonly yogi: boolean }
  /** The step that a first and a second moment make: m / (sqrt(v) + tau). */
  | { readonly kind: 'adaptive'; readonly tau: number };

/** LiNeS with alpha: auto. */
export interface LinesFactor {
  /** Of the whole merge. */
  readonly inputs: number;
  /** Added up to the last layer; `auto`: 1 - alpha. */
  readonly beta: number | 'auto';
  /** 0 in the first layer, 1 in the last; undefined outside of layers. */
  readonly depth?: number | undefined;
}

export interface TensorProgram {
  /** Lanes of the arithmetic: 64 for F32 outputs, so that their one rounding is the last one; 32 for all others. */
  readonly precision: 32 | 64;
  /** `numerics: mergekit`: DTYPE_CODE of the dtype that every operation's result is rounded to. 0: no rounding but the last. */
  readonly rounding: number;
  /** DTYPE_CODE of the dtype that inputs and base are rounded to when they are loaded; as `rounding` when absent. */
  readonly cast?: number | undefined;
  /** Reproduces mergekit's absolute thresholds, which make results depend on scale. */
  readonly quirks: boolean;
  /** Length of a row: the last dimension, or all but the first for rules of columns; all elements for one-dimensional tensors. */
  readonly columns: number;
  readonly stages: readonly Stage[];
  readonly combine: Combine;
  readonly lambda: number;
  /** The result is base + vector, not the vector itself. */
  readonly plusBase: boolean;
  /** `lambda` is multiplied by a factor that is measured first (measure-lines.ts). */
  readonly lines?: LinesFactor | undefined;
  /** Rules with one model for each task: what is kept of the merged vector for an input (task-masks.ts). */
  readonly taskMask?: TaskMask | undefined;
}
