/** Runs the matrices of a contribution through threads that own a linear algebra engine, as many at a time as memory allows. */
import { freemem } from 'node:os';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { isMergeDType, type StoredTensor } from '../../shared/formats/tensor.js';
import { compileKernels, DTYPE_CODE } from '../../shared/kernels/kernels.js';
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';
import { createMatrixThreads } from '../../shared/merge/matrix-threads.js';
import { peakBytes } from '../../shared/spectral/memory.js';
import { createMemoryBudget } from '../../shared/util/memory-budget.js';
import type { CompressedMatrix, CompressTask, NotFinite, StoredMatrix } from '../../shared/workers/matrix-job.js';
import { createSourceTableBuilder, type SourceTableBuilder } from '../../shared/workers/source-table.js';

/** Share of the free memory that matrices may take. */
const MEMORY_SHARE = 0.6;

export interface MatrixToCompress {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Fine-tuned weights and the base's: F32, F16 or BF16. */
  readonly tuned: StoredTensor;
  readonly base: StoredTensor;
  /** The file that takes what is made. */
  readonly path: string;
}

export interface CompressMatricesOptions {
  readonly eta: number;
  readonly engine: EngineChoice;
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: MatrixProgress) => void;
}

export interface MatrixProgress {
  /** Matrices, and bytes of their fine-tuned weights. */
  readonly done: number;
  readonly total: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

function stored(builder: SourceTableBuilder, tensor: StoredTensor): StoredMatrix {
  return { source: builder.addTensor(tensor), dtype: isMergeDType(tensor.dtype) ? DTYPE_CODE[tensor.dtype] : -1 };
}

/** Beside what the factorisation takes at its peak: a matrix that stays whole is there as vector, product, base, sum and bytes at once. */
function bytesFor({ rows, columns }: MatrixToCompress): number {
  const all = 4 * rows * columns;
  return Math.max(all + peakBytes('starFactors', rows, columns, 1), 8 * all);
}

function notFiniteError({ name, tuned, base }: MatrixToCompress, { input, element, value }: NotFinite): TributaryError {
  const { path } = (input < 0 ? base : tuned).segments[0] ?? { path: '' };
  return new TributaryError('NON_FINITE', {
    what: `${input < 0 ? 'The base' : 'The checkpoint'} holds ${value} in tensor ${name}`,
    where: `${path}: ${name}, element ${element}`,
    expected: 'finite numbers',
    got: String(value),
    fix: 'The training diverged or the file is damaged.',
  });
}

/** In the order of the matrices. @throws NON_FINITE, LINALG_FAILED, ENGINE_UNAVAILABLE, INTERRUPTED, DISK_FULL */
export async function compressMatrices(
  matrices: readonly MatrixToCompress[],
  { eta, engine, threads: count, signal, onProgress }: CompressMatricesOptions,
): Promise<CompressedMatrix[]> {
  const builder = createSourceTableBuilder();
  const tasks = matrices.map(
    ({ rows, columns, tuned, base, path }): CompressTask => ({
      rows,
      columns,
      eta,
      path,
      tuned: stored(builder, tuned),
      base: stored(builder, base),
    }),
  );
  const sources = builder.build();
  const threads = createMatrixThreads(engine.engine === 'tensorflow' ? 1 : count, { engine, kernels: await compileKernels() });
  const budget = createMemoryBudget(freemem() * MEMORY_SHARE);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const totalBytes = matrices.reduce((sum, { tuned }) => sum + tuned.sizeBytes, 0);
  let [done, doneBytes] = [0, 0];

  async function compress(matrix: MatrixToCompress, task: CompressTask): Promise<CompressedMatrix> {
    const bytes = bytesFor(matrix);
    await budget.take(bytes);
    try {
      const { notFinite, compressed } = await threads.run({ kind: 'compress', task, sources }, either);
      if (notFinite !== undefined) throw notFiniteError(matrix, notFinite);
      if (compressed === undefined) throw new TributaryError('INTERNAL', { what: 'a matrix came back without a result' });
      done += 1;
      doneBytes += matrix.tuned.sizeBytes;
      onProgress({ done, total: matrices.length, doneBytes, totalBytes });
      return compressed;
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      budget.giveBack(bytes);
    }
  }

  try {
    const results = await Promise.allSettled(matrices.map((matrix, index) => compress(matrix, tasks[index] as CompressTask)));
    signal.throwIfAborted();
    if (stop.signal.aborted) throw stop.signal.reason;
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  } finally {
    await threads.close();
  }
}
