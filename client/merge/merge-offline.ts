/**
 * The offline merge: a recipe and local folders in, one Hugging Face folder out. No network, no coordinator. Start-up counts, so this module
 * imports next to nothing: the worker thread boots while everything else is loaded.
 */
import { availableParallelism } from 'node:os';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import type { MergeProgress } from '../../shared/merge/run-merge.js';
import { startPool } from '../../shared/workers/pool.js';
import type { AdapterReport } from './adapter-report.js';

export interface OfflineMergeOptions {
  readonly recipeText: string;
  /** Named in errors. */
  readonly recipePath: string;
  readonly outDir: string;
  readonly threads?: number | undefined;
  readonly shardSizeBytes?: number | undefined;
  readonly tileElements?: number | undefined;
  /** Replace an earlier merge in `outDir`. */
  readonly force?: boolean | undefined;
  /** For rules on whole matrices; default: the portable engine. */
  readonly findEngine?: (() => Promise<FoundEngine>) | undefined;
  /** Of random masks, in the place of the recipe's. */
  readonly seed?: number | undefined;
  /** Bring the tokenizer's files along; default true. */
  readonly copyTokenizer?: boolean | undefined;
  /** Write README.md; default true. Without it `force` does not know the folder for ours. */
  readonly writeModelCard?: boolean | undefined;
  readonly journalIntervalMs?: number | undefined;
  readonly progressIntervalMs?: number | undefined;
  /** For the model card. */
  readonly version: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: MergeProgress) => void) | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

export interface OfflineMergeReport {
  readonly outDir: string;
  readonly method: string;
  readonly models: number;
  readonly tensors: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly files: readonly string[];
  readonly resumed: boolean;
  /** What worked on whole matrices, where the rule has such steps. */
  readonly engine?: string | undefined;
  readonly warnings: readonly string[];
  /** Of recipes with `output: adapter`; `fromProducts` counts modules whose changes were added up without being written out. */
  readonly adapter?: (AdapterReport & { readonly fromProducts: number }) | undefined;
}

/** @throws whatever is wrong with recipe, models or disk, as a TributaryError; the output folder then does not exist */
export async function mergeOffline(options: OfflineMergeOptions): Promise<OfflineMergeReport> {
  const pool = startPool(options.threads ?? availableParallelism(), { callerHelps: true });
  try {
    const { runOfflineJob } = await import('./offline-job.js');
    return await runOfflineJob(options, pool);
  } finally {
    await pool.close();
  }
}
