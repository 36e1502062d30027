import type { Matrix, Reals } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, scaleOf, stageBytes, takeIn } from './portable-memory.js';

/**
 * Thin QR by blocked Householder reflectors, in fp64. With `ofTranspose` the rows of a are the columns that are factored, and q and r come back transposed
 * likewise: a = r q, q k x columns with orthonormal rows. @throws LINALG_FAILED
 */
export function qr<T extends Reals>(
  memory: LinalgMemory,
  a: Matrix<T>,
  ofTranspose = false,
): { readonly q: Matrix<T>; readonly r: Matrix<T> } {
  const what = describe('QR', a);
  const factor = scaleOf(what, a);
  const { run } = memory;
  const [length, count] = ofTranspose ? [a.columns, a.rows] : [a.rows, a.columns];
  const k = Math.min(length, count);
  const [step, rStep] = [run.stepBytes(length), run.stepBytes(k)];
  const at = memory.layOut(what, {
    vectors: count * step,
    r: count * rStep,
    q: k * step,
    taus: k * 8,
    stage: stageBytes(Math.max(length, count)),
    scratch: run.applyBytes(Math.max(count, k)),
  });
  const across = !ofTranspose;
  takeIn(memory, a, { pointer: at.vectors, step, factor, across }, at.stage);
  run.factorQr(at.vectors, step, count, length, at.r, rStep, at.taus, at.scratch);
  const q = memory.doubles(at.q, (k * step) / 8).fill(0);
  for (let i = 0; i < k; i++) q[(i * step) / 8 + i] = 1;
  run.applyReflectors(at.q, step, k, at.vectors, step, k, 0, length, at.taus, 0, at.scratch);
  const shape = (rows: number, columns: number): Matrix<T> =>
    newMatrix(a.data, ...(across ? ([rows, columns] as const) : ([columns, rows] as const)));
  return {
    q: giveOut(memory, { pointer: at.q, step, across }, shape(length, k), at.stage),
    r: giveOut(memory, { pointer: at.r, step: rStep, factor: 1 / factor, across }, shape(k, count), at.stage),
  };
}
