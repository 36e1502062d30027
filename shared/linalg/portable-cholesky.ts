import { TributaryError } from '../errors/tributary-error.js';
import type { Matrix } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, scaleOf, stageBytes, takeIn } from './portable-memory.js';

/** @throws LINALG_FAILED when a is not positive definite */
export function choleskySolve(memory: LinalgMemory, a: Matrix<Float64Array>, b: Matrix<Float64Array>): Matrix<Float64Array> {
  const what = describe('Cholesky factorisation', a);
  if (a.rows !== a.columns || b.rows !== a.rows) {
    throw new TributaryError('INTERNAL', {
      what: 'shapes of a system of equations do not fit',
      got: `${a.rows} x ${a.columns} and a right-hand side of ${b.rows} rows`,
    });
  }
  const factor = scaleOf(what, a, true);
  const { run } = memory;
  const [step, bStep] = [run.stepBytes(a.columns), run.stepBytes(b.columns)];
  const stage = stageBytes(Math.max(a.columns, b.columns));
  const at = memory.layOut(what, { a: a.rows * step, b: b.rows * bStep, stage });
  takeIn(memory, a, { pointer: at.a, step, factor }, at.stage);
  takeIn(memory, b, { pointer: at.b, step: bStep, factor }, at.stage);
  const failed = run.factorCholesky(at.a, step, a.rows);
  if (failed !== 0) {
    throw new TributaryError('LINALG_FAILED', {
      what: `${what} failed: it is not positive definite`,
      where: `leading minor of order ${failed}`,
    });
  }
  run.solveCholesky(at.a, step, a.rows, at.b, bStep, b.columns);
  return giveOut(memory, { pointer: at.b, step: bStep }, newMatrix(b.data, b.rows, b.columns), at.stage);
}
