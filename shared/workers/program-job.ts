/** What workers are told about tensors that have a program, and where they leave and find statistics: types and the layout of shared arrays. */
import type { TensorProgram } from '../merge/program.js';

export interface TaskSource {
  readonly source: number;
  /** DTYPE_CODE */
  readonly dtype: number;
}

export interface TaskUse extends TaskSource {
  /** VALUE_MODE */
  readonly mode: number;
  /** Number of the input. */
  readonly input: number;
}

/** One tensor of a job. */
export interface TensorTask {
  /** Its first tile in the merge plan; findings name it. */
  readonly tile: number;
  readonly program: TensorProgram;
  /** Elements. */
  readonly count: number;
  readonly uses: readonly TaskUse[];
  readonly base?: TaskSource | undefined;
  readonly outDtype: number;
  /** First entry in `numbers`: STATISTIC.fields for each stage and input, then as many for each input for the combination. */
  readonly numbersAt: number;
  /** First entry in `ties`: for each band stage, input and unit two counts; they are running sums once the pass is over. */
  readonly tiesAt: number;
  /** First byte in `bits`, for the della stage: for each input ceil(count / 8) bytes. */
  readonly bitsAt: number;
  /** Where the masks of the uses are written: number of the file, bytes from its start. */
  readonly masks?: { readonly shard: number; readonly offsets: readonly number[] } | undefined;
}

/** What a stage knows of one input after its statistics passes. */
export const STATISTIC = {
  /** The band as `keepBand` wants it. */
  low: 0,
  lowFrom: 1,
  lowTo: 2,
  high: 3,
  highTo: 4,
  /** What kept elements are multiplied by. */
  factor: 5,
  fields: 6,
} as const;

/** Index in `numbers` of a stage's statistic for an input; the stage after the last is the combination. */
export function numberIndex(
  { numbersAt, uses }: Pick<TensorTask, 'numbersAt' | 'uses'>,
  stage: number,
  use: number,
  field: number,
): number {
  return numbersAt + (stage * uses.length + use) * STATISTIC.fields + field;
}

/** Written between passes by the main thread, read by the workers. */
export interface ProgramStatistics {
  readonly numbers: Float64Array;
  readonly ties: Uint32Array;
  readonly bits: Uint8Array;
}

export const ALL_TIES = 0xffffffff;

/** Magnitudes [low, high] of one input, to be listed. */
export interface GatherRange {
  readonly use: number;
  readonly low: number;
  readonly high: number;
  /** In `keys`: how many are listed, then for each unit where its first one stands, how many they are, and how many are smaller. */
  readonly indexAt: number;
  /** In `keys`: the list, and its room. More than that are counted, but not listed. */
  readonly listAt: number;
  readonly room: number;
}

export const UNIT_INDEX_FIELDS = 3;

/** One look at the vectors of a tensor, for a stage or for the combination. */
export type Look =
  /**
   * Counts magnitudes (`scores`: of scores above and below zero, two tables an input) by the upper half of their bits: of all elements, or of a
   * sample of every unit.
   */
  | { readonly kind: 'high'; readonly stage: number; readonly tables: number; readonly sampled?: boolean; readonly scores?: true }
  /** Counts the lower halves of those with the given upper halves: up to two an input. */
  | {
      readonly kind: 'low';
      readonly stage: number;
      readonly tables: number;
      readonly highs: readonly (readonly number[])[];
      readonly scores?: true;
    }
  /** Lists the magnitudes in some ranges and counts those below, for each unit: of all elements, or of a sample of every unit. */
  | { readonly kind: 'gather'; readonly stage: number; readonly ranges: readonly GatherRange[]; readonly sampled?: boolean }
  /** Finds positions in what was gathered; ties of each unit go to `tiesAt` in `keys` (select-lists.ts). A unit is a border. */
  | {
      readonly kind: 'select';
      readonly stage: number;
      /** Ranges ascend, without a gap between them. */
      readonly borders: readonly { readonly position: number; readonly ranges: readonly GatherRange[] }[];
      /** What was gathered; `indexAt` and `listAt` are places in it. */
      readonly keys: Uint32Array;
      /** Of the tensor. */
      readonly units: number;
      readonly sumsAt: number;
      readonly tiesAt: number;
    }
  /** For small tensors: all magnitudes, in the order of the elements. */
  | { readonly kind: 'keys'; readonly stage: number; readonly keysAt: number }
  /** For each unit and input how many elements have the magnitude of the band's borders. */
  | { readonly kind: 'ties'; readonly stage: number }
  /** For each unit and input the sums of magnitudes before and after the stage. */
  | { readonly kind: 'sums'; readonly stage: number; readonly sumsAt: number }
  /** Draws the della mask into `bits`, and sums as above. */
  | { readonly kind: 'draw'; readonly stage: number; readonly sumsAt: number }
  /** For each unit and input the sum of squares after all stages. */
  | { readonly kind: 'energy'; readonly sumsAt: number }
  /** For each unit the products of all pairs of vectors (i <= j, row by row), or of each with itself, before any stage. */
  | { readonly kind: 'gram'; readonly sumsAt: number; readonly pairs: boolean }
  /** For each unit and input the sum of magnitudes, and that of the merged vector where the input's mask is set. */
  | { readonly kind: 'sizes'; readonly sumsAt: number }
  /** For each unit the sum of magnitudes of the sum of all vectors before any stage, and that of the merged vector. */
  | { readonly kind: 'norms'; readonly sumsAt: number }
  /** For each group of rows the products of two inputs, column by column: a a, a b, b b. */
  | { readonly kind: 'columns'; readonly sumsAt: number }
  /** For each row the divergence of its softmax from the base's. */
  | { readonly kind: 'divergence'; readonly sumsAt: number }
  /** For each unit how many sums over the inputs are above zero, less how many are below. */
  | { readonly kind: 'signs'; readonly sumsAt: number };

export interface LookTask {
  readonly task: TensorTask;
  readonly look: Look;
  /** Units of all tasks of a job are numbered through. */
  readonly firstUnit: number;
  readonly units: number;
}

/** Written by all workers of a job. */
export interface LookBuffers {
  /** Counts (u32) of all threads; added under `lock`. */
  readonly tables: Uint32Array;
  readonly lock: Int32Array;
  /** Each entry belongs to one unit, which one thread does. */
  readonly sums: Float64Array;
  readonly keys: Uint32Array;
}
