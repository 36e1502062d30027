/** Runs the matrices of a contribution through threads that own a linear algebra engine, as many at a time as memory allows. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { StoredTensor } from '../../shared/formats/tensor.js';
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';
import { storedMatrix } from '../../shared/merge/compile-matrices.js';
import { runMatrixBatch } from '../../shared/merge/matrix-batch.js';
import { peakBytes } from '../../shared/spectral/memory.js';
import type { CompressedMatrix, CompressTask, NotFinite } from '../../shared/workers/matrix-job.js';
import { createSourceTableBuilder } from '../../shared/workers/source-table.js';

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
  { eta, engine, threads, signal, onProgress }: CompressMatricesOptions,
): Promise<CompressedMatrix[]> {
  const builder = createSourceTableBuilder();
  const tasks = matrices.map(
    ({ rows, columns, tuned, base, path }): CompressTask => ({
      rows,
      columns,
      eta,
      path,
      tuned: storedMatrix(builder, tuned),
      base: storedMatrix(builder, base),
    }),
  );
  const sources = builder.build();
  const totalBytes = matrices.reduce((sum, { tuned }) => sum + tuned.sizeBytes, 0);
  let [done, doneBytes] = [0, 0];
  return runMatrixBatch({
    engine,
    threads,
    signal,
    requests: tasks.map((task) => ({ kind: 'compress', task, sources })),
    bytesOf: (index) => bytesFor(matrices[index] as MatrixToCompress),
    resultOf({ notFinite, compressed }, index) {
      const matrix = matrices[index] as MatrixToCompress;
      if (notFinite !== undefined) throw notFiniteError(matrix, notFinite);
      if (compressed === undefined) throw new TributaryError('INTERNAL', { what: 'a matrix came back without a result' });
      done += 1;
      doneBytes += matrix.tuned.sizeBytes;
      onProgress({ done, total: matrices.length, doneBytes, totalBytes });
      return compressed;
    },
  });
}
