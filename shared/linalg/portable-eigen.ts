import type { Eigen, Matrix } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, scaleOf, stageBytes, takeIn } from './portable-memory.js';
import { tridiagonalAt, valuesOf, vectorsOf } from './portable-tridiagonal.js';

/** Householder tridiagonalisation, root-free QL for the values, divide and conquer for the vectors. @throws LINALG_FAILED */
export function eigh(memory: LinalgMemory, a: Matrix<Float64Array>): Eigen {
  const order = a.rows;
  const what = describe('eigendecomposition', a);
  const factor = scaleOf(what, a, true);
  const { run } = memory;
  const step = run.stepBytes(order);
  const at = memory.layOut(what, {
    matrix: order * step,
    lists: 3 * order * 8,
    stage: stageBytes(order),
    vectors: order * step,
    bidiagonal: 2 * order * 8,
    singular: order * 8,
    scratch: Math.max(run.divideBytes(order, 0), run.tridiagonalBytes(step), run.applyBytes(order)),
  });
  takeIn(memory, a, { pointer: at.matrix, step, factor }, at.stage);
  const taus = at.lists + 2 * order * 8;
  run.tridiagonalise(at.matrix, step, order, at.lists, at.lists + order * 8, taus, at.scratch);
  const tridiagonal = tridiagonalAt(memory, at.lists, order);
  const values = valuesOf(memory, what, tridiagonal, at.scratch);
  vectorsOf(memory, tridiagonal, values, order, { ...at, step });
  run.applyTridiagonal(at.vectors, step, order, at.matrix, step, order, taus, 0, at.scratch);
  // From the last row to the first: ascending.
  const vectors = giveOut(
    memory,
    { pointer: at.vectors + Math.max(0, order - 1) * step, step: -step },
    newMatrix(a.data, order, order),
    at.stage,
  );
  return { values: values.map((value) => value / factor).reverse(), vectors };
}
