/** What an adapter is made of. */
import type { MergeDType, TensorInfo } from '../formats/tensor.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import type { MergeBase } from '../merge/types.js';
import type { FactorSize } from '../spectral/factors.js';
import type { WorkerPool } from '../workers/pool.js';
import type { SlotHint } from './factor-slots.js';
import type { VectorSources } from './vector-source.js';

export interface AdapterRequest {
  readonly base: MergeBase;
  readonly vector: VectorSources;
  /** Of weights that other adapters have factors of. */
  readonly hints: ReadonlyMap<string, SlotHint>;
  /** Of weights without hint: they lie as (in, out). */
  readonly fanInFanOut: boolean;
  readonly mayFactor: (tensor: TensorInfo) => boolean;
  /** Full names of modules whose weights are kept whole. */
  readonly modulesToSave: readonly string[];
  /** What happens to tensors that change, have no factors, and are no biases: their modules are saved whole, or they are refused, or left out. */
  readonly rest: 'save' | 'refuse' | 'leave';
  readonly size: FactorSize;
  /** Of the factors. */
  readonly dtype: MergeDType;
  /** Of whole weights; undefined: as in the base. */
  readonly wholeDtype?: MergeDType | undefined;
  /** For the configuration. */
  readonly baseName?: string | undefined;
  readonly taskType?: string | undefined;
  /** The recipe or command, for errors. */
  readonly where: string;
  /** What to do about tensors that cannot be in the adapter. */
  readonly fixRest: (names: readonly string[]) => string;
  /** Writes sums of products out; for weights that turn out to be kept whole. */
  readonly store: (names: readonly string[]) => Promise<VectorSources>;
}

export interface AdapterEnvironment {
  /** For what is only needed on the way; there and empty. */
  readonly workDir: string;
  /** Where the files are put. */
  readonly outputDir: string;
  readonly pool: WorkerPool;
  readonly threads: number;
  readonly engine: FoundEngine;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number) => void;
}
