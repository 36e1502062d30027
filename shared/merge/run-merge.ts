/**
 * Carries out a merge plan. The same plan gives the same bytes whatever the number of threads, the tile size and the number of times it was
 * killed and continued. Memory does not depend on the size of the model or the number of contributions.
 */
import { rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ErrorCode } from '../errors/catalogue.js';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { compileKernels } from '../kernels/kernels.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import { startPool, type WorkerPool } from '../workers/pool.js';
import { CONTROL, type Finding } from '../workers/protocol.js';
import { derivationsOf, PORTABLE, prepareOutputs, requireUsable, tilePlan, writeTiles } from './carry-out.js';
import { compileMatrices } from './compile-matrices.js';
import { findingWarnings } from './findings.js';
import { openJournal, planDigest, readJournal } from './journal.js';
import { createMatrixStage } from './matrix-stage.js';
import { outputFiles } from './shards.js';
import { checkTarget, clearStaging, closeStaging, openStaging, publish, type Staging, stagingFor, syncDirectory } from './staging.js';
import type { MergePlan } from './types.js';

/** Bytes of output, counted in whole tiles. */
export interface MergeProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Share of `doneBytes` that an earlier, interrupted run had written. */
  readonly resumedBytes: number;
  /** Tensors whose matrices are worked on before they are merged, and how many are done. */
  readonly matrices?: { readonly done: number; readonly total: number } | undefined;
}

export interface MergeOptions {
  readonly outputDir: string;
  /** Default: one a processor. Ignored when a pool is given. */
  readonly threads?: number | undefined;
  /** Threads that are running already; the caller closes them. */
  readonly pool?: WorkerPool | undefined;
  /** Tiles of so many elements of 16 bits; half as many of 32 bits. Changes the speed, never the result. */
  readonly tileElements?: number | undefined;
  /** Flush data before the journal and everything before the rename: survives a power failure, not only a killed process. */
  readonly durable: boolean;
  /** Replace an earlier output of ours. */
  readonly force?: boolean | undefined;
  /** Stands for the inputs' content in the journal, instead of their size and time of change. */
  readonly inputIdentity?: string | undefined;
  /** Linear algebra for rules on whole matrices; asked for when the plan has some. Default: the portable engine. */
  readonly findEngine?: (() => Promise<FoundEngine>) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: MergeProgress) => void) | undefined;
  /** Called when the weights stand, with the folder that is about to be renamed: for configuration, tokenizer, model card. */
  readonly writeExtras?: ((folder: string, engine: FoundEngine | undefined) => Promise<void>) | undefined;
  readonly journalIntervalMs?: number | undefined;
  readonly progressIntervalMs?: number | undefined;
}

export interface MergeOutcome {
  readonly outputDir: string;
  readonly files: readonly { readonly name: string; readonly sizeBytes: number }[];
  readonly warnings: readonly string[];
  readonly tiles: number;
  readonly resumedTiles: number;
  /** What worked on whole matrices, where the rule has such steps. */
  readonly engine?: FoundEngine | undefined;
}

const JOURNAL_INTERVAL_MS = 250;
const DURABLE_JOURNAL_INTERVAL_MS = 2_000;
const PROGRESS_INTERVAL_MS = 100;

/** What no later run can do better with the same inputs. */
const HOPELESS: readonly ErrorCode[] = ['NON_FINITE', 'UNSUPPORTED_DTYPE', 'ZERO_NORM', 'RECIPE_INVALID', 'LINALG_FAILED'];

async function outputsStand(plan: MergePlan, staging: Staging): Promise<boolean> {
  for (const shard of outputFiles(plan)) {
    const sizeBytes = await stat(join(staging.output, shard.fileName)).then(
      (info) => info.size,
      () => -1,
    );
    if (sizeBytes !== shard.sizeBytes) return false;
  }
  return true;
}

/** @throws NON_FINITE, UNSUPPORTED_DTYPE, OUTPUT_EXISTS, DISK_FULL (what is written stays for a later run), INTERRUPTED, IO_ERROR */
export async function runMerge(plan: MergePlan, options: MergeOptions): Promise<MergeOutcome> {
  const { outputDir, force = false } = options;
  await checkTarget(outputDir, force);
  const pool = options.pool ?? startPool(options.threads ?? availableParallelism());
  const staging = stagingFor(outputDir);
  try {
    await openStaging(staging);
    try {
      return await mergeInto(plan, options, pool, staging);
    } catch (error) {
      if (error instanceof TributaryError && HOPELESS.includes(error.code)) {
        await rm(staging.root, { recursive: true, force: true });
      }
      throw error;
    } finally {
      await closeStaging(staging);
    }
  } catch (error) {
    throw toTributaryError(error, outputDir);
  } finally {
    if (options.pool === undefined) await pool.close();
  }
}

async function mergeInto(plan: MergePlan, options: MergeOptions, pool: WorkerPool, staging: Staging): Promise<MergeOutcome> {
  const { durable, signal } = options;
  const kernels = compileKernels();
  const tiled = tilePlan(plan, options.tileElements);
  const { layout, compiled, done, control } = tiled;
  const derivations = derivationsOf(plan);
  const engine = derivations.length === 0 ? undefined : await (options.findEngine?.() ?? PORTABLE);
  const ofMatrices = { ...compileMatrices(derivations, (path) => path), engine: `${engine?.library} ${engine?.device}` };
  const digest = await planDigest(plan, compiled, ofMatrices, options.inputIdentity);
  const resume = (await readJournal(staging.journal, digest, done)) && (await outputsStand(plan, staging));
  if (!resume) {
    done.fill(0);
    await clearStaging(staging);
  }
  const resumedTiles = done.reduce((sum, one) => sum + one, 0);
  const outputs = await prepareOutputs(plan, staging.output, resume);
  const syncOutputs = async (): Promise<void> => {
    for (const file of outputs) await file.datasync();
  };
  if (durable) {
    await syncOutputs();
    syncDirectory(staging.output);
  }
  const journal = await openJournal(staging.journal, digest, done, durable ? syncOutputs : undefined);
  const totalBytes = plan.totals.writeBytes;
  const bytesOf = (tiles: number): number => (layout.tiles === 0 ? totalBytes : Math.round((tiles / layout.tiles) * totalBytes));
  let derivedTensors = 0;
  const report = (): void => {
    const doneBytes = bytesOf(resumedTiles + Atomics.load(control, CONTROL.doneUnits));
    const matrices = engine === undefined ? undefined : { done: derivedTensors, total: derivations.length };
    options.onProgress?.({ doneBytes, totalBytes, resumedBytes: bytesOf(resumedTiles), matrices });
  };
  const stage =
    engine === undefined
      ? undefined
      : createMatrixStage({
          plan,
          scratchDir: staging.scratch,
          engine: engine.choice,
          threads: options.threads ?? availableParallelism(),
          kernels: await kernels,
          signal,
          onProgress: (count) => {
            derivedTensors = count;
          },
        });
  let findings: readonly Finding[];
  const progressTimer = setInterval(report, options.progressIntervalMs ?? PROGRESS_INTERVAL_MS);
  const keeper = keepJournal(
    (current) => journal.write(current),
    done,
    options.journalIntervalMs ?? (durable ? DURABLE_JOURNAL_INTERVAL_MS : JOURNAL_INTERVAL_MS),
  );
  try {
    findings = await writeTiles(tiled, { pool, kernels: await kernels, folder: staging.output, matrices: stage, signal });
  } finally {
    clearInterval(progressTimer);
    await stage?.close();
    await keeper.stop();
    await journal.write(done).catch(() => undefined);
    await journal.close();
    for (const file of outputs) await file.close();
  }
  requireUsable(tiled, findings);
  report();
  if (plan.indexText !== undefined) await writeFile(join(staging.output, 'model.safetensors.index.json'), plan.indexText);
  await options.writeExtras?.(staging.output, engine);
  await publish(staging, options.outputDir, { durable, force: options.force ?? false });
  return {
    outputDir: options.outputDir,
    files: outputFiles(plan).map(({ fileName, sizeBytes }) => ({ name: fileName, sizeBytes })),
    warnings: [...(engine?.notes ?? []), ...findingWarnings(plan, layout, findings)],
    tiles: layout.tiles,
    resumedTiles,
    engine,
  };
}

/** Writes the journal again and again, never two at a time, until told to stop; a failed write is left to the one at the end. */
function keepJournal(write: (done: Uint8Array) => Promise<void>, done: Uint8Array, intervalMs: number): { stop(): Promise<void> } {
  let writing: Promise<void> = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    writing = write(done)
      .catch(() => undefined)
      .then(() => {
        busy = false;
      });
  }, intervalMs);
  return {
    async stop() {
      clearInterval(timer);
      await writing;
    },
  };
}
