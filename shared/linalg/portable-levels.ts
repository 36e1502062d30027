/** One level of a spectrum: the Gram matrix of what is left of a matrix without some vectors, its eigenvalues, and eigenvectors on demand. */
import type { Matrix, Reals } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, stageBytes, takeIn } from './portable-memory.js';
import { addGram, chunkBytes } from './portable-products.js';
import { type Tridiagonal, tridiagonalAt, valuesOf, vectorsOf } from './portable-tridiagonal.js';

export interface Level {
  readonly what: string;
  /** Descending, of the matrix times its factor. */
  readonly eigenvalues: Float64Array;
  readonly tridiagonal: Tridiagonal;
  /** Reflectors as they lay in memory, rows at `step`, then their factors. */
  readonly reflectors: Float64Array;
  readonly step: number;
}

/** `removed`: orthonormal rows as long as the side, whose space is projected out. @throws LINALG_FAILED */
export function levelValues(
  memory: LinalgMemory,
  a: Matrix<Reals>,
  side: 'left' | 'right',
  factor: number,
  removed: Matrix<Float64Array> | undefined,
): Level {
  const what = describe('spectrum', a);
  const { run } = memory;
  const order = Math.min(a.rows, a.columns);
  const step = run.stepBytes(order);
  const count = removed?.rows ?? 0;
  const partStep = run.stepBytes(count);
  const at = memory.layOut(what, {
    gram: order * step + order * 8,
    lists: 2 * order * 8,
    stage: stageBytes(order),
    chunk: chunkBytes(memory, step),
    removed: count * step,
    part: chunkBytes(memory, partStep),
    scratch: Math.max(run.tridiagonalBytes(step), 2 * order * 8),
  });
  memory.doubles(at.gram, (order * step) / 8).fill(0);
  if (removed === undefined) {
    addGram(memory, a, side, { ...at, step }, factor);
  } else {
    takeIn(memory, removed, { pointer: at.removed, step }, at.stage);
    addGram(memory, a, side, { ...at, step }, factor, (vectors) => {
      memory.doubles(at.part, (vectors * partStep) / 8).fill(0);
      run.addProduct64(vectors, count, order, 1, at.chunk, step, 0, at.removed, step, 1, at.part, partStep, 0);
      run.addProduct64(vectors, order, count, -1, at.part, partStep, 0, at.removed, step, 0, at.chunk, step, 0);
    });
  }
  run.tridiagonalise(at.gram, step, order, at.lists, at.lists + order * 8, at.gram + order * step, at.scratch);
  const tridiagonal = tridiagonalAt(memory, at.lists, order);
  const eigenvalues = valuesOf(memory, what, tridiagonal, at.scratch);
  return { what, eigenvalues, tridiagonal, reflectors: memory.doubles(at.gram, (order * step) / 8 + order).slice(), step };
}

/** Eigenvectors of the `count` largest eigenvalues, as rows. @throws LINALG_FAILED */
export function levelVectors(memory: LinalgMemory, level: Level, count: number): Matrix<Float64Array> {
  const { run } = memory;
  const { step, reflectors, tridiagonal, eigenvalues, what } = level;
  const { order } = tridiagonal;
  const at = memory.layOut(what, {
    vectors: count * step,
    bidiagonal: 2 * order * 8,
    singular: order * 8,
    stage: stageBytes(order),
    scratch: Math.max(run.divideBytes(order, 0), reflectors.byteLength + run.applyBytes(count)),
  });
  vectorsOf(memory, tridiagonal, eigenvalues, count, { ...at, step });
  memory.doubles(at.scratch, reflectors.length).set(reflectors);
  const applyScratch = at.scratch + reflectors.byteLength;
  run.applyTridiagonal(at.vectors, step, count, at.scratch, step, order, at.scratch + order * step, 0, applyScratch);
  return giveOut(memory, { pointer: at.vectors, step }, newMatrix(reflectors, count, order), at.stage);
}
