/** Many requests to threads that work on whole matrices: as many at a time as fit into memory, the first failure ends them all. */
import { freemem } from 'node:os';
import { compileKernels } from '../kernels/kernels.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import { createMemoryBudget } from '../util/memory-budget.js';
import type { MatrixDone, MatrixRequest } from '../workers/matrix-job.js';
import { createMatrixThreads, type MatrixThreads } from './matrix-threads.js';

/** Share of the free memory that matrices may take. */
const MEMORY_SHARE = 0.6;

export interface MatrixRequests<Result> {
  readonly requests: readonly MatrixRequest[];
  /** What a request takes at its peak. */
  readonly bytesOf: (index: number) => number;
  /** Called as each is done, in no order. */
  readonly resultOf: (done: MatrixDone, index: number) => Result;
  readonly signal?: AbortSignal | undefined;
}

export interface MatrixBatch<Result> extends MatrixRequests<Result> {
  readonly engine: EngineChoice;
  readonly threads: number;
}

/** @returns in the order of the requests. @throws what resultOf throws, LINALG_FAILED, ENGINE_UNAVAILABLE, INTERRUPTED, DISK_FULL */
export async function runMatrixRequests<Result>(threads: MatrixThreads, wanted: MatrixRequests<Result>): Promise<Result[]> {
  const { requests, bytesOf, resultOf, signal } = wanted;
  const budget = createMemoryBudget(freemem() * MEMORY_SHARE);
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const run = async (request: MatrixRequest, index: number): Promise<Result> => {
    const bytes = bytesOf(index);
    await budget.take(bytes);
    try {
      return resultOf(await threads.run(request, stop), index);
    } catch (error) {
      if (!failed.signal.aborted) failed.abort(error);
      throw error;
    } finally {
      budget.giveBack(bytes);
    }
  };
  const results = await Promise.allSettled(requests.map(run));
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** The same with threads that are there for nothing else. @throws as runMatrixRequests */
export async function runMatrixBatch<Result>(batch: MatrixBatch<Result>): Promise<Result[]> {
  const threads = createMatrixThreads(batch.threads, { engine: batch.engine, kernels: await compileKernels() });
  try {
    return await runMatrixRequests(threads, batch);
  } finally {
    await threads.close();
  }
}
