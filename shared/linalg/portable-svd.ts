/**
 * Singular value decomposition in fp64: QR of the longer side, bidiagonal form of the square that is left, and its divide and conquer, or values alone from
 * the tridiagonal matrix [0 B^T; B 0] (Golub & Kahan), whose eigenvalues are the singular values with both signs.
 */
import type { Matrix, Reals, Svd } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, scaleOf, stageBytes, takeIn } from './portable-memory.js';
import { valuesOf } from './portable-tridiagonal.js';

/** Everything up to the bidiagonal form. */
function reduce(memory: LinalgMemory, what: string, a: Matrix<Reals>, withVectors: boolean) {
  const { run } = memory;
  const factor = scaleOf(what, a);
  const [k, length] = [Math.min(a.rows, a.columns), Math.max(a.rows, a.columns)];
  const [step, longStep] = [run.stepBytes(k), run.stepBytes(length)];
  const isSquare = k === length;
  const list = k * 8;
  const at = memory.layOut(what, {
    vectors: isSquare ? 0 : k * longStep,
    square: k * step,
    left: k * step,
    taus: 3 * list,
    bidiagonal: 2 * list,
    singular: list,
    stage: stageBytes(length),
    inner: withVectors ? k * step : 0,
    outer: withVectors ? k * longStep : 0,
    scratch: Math.max(run.applyBytes(k), run.bidiagonalBytes(step), 4 * list, withVectors ? run.divideBytes(k, 1) : 0),
  });
  // The k shorter vectors of the matrix as rows; `square` becomes G with G = them, or them = G Q^T.
  const across = a.rows > a.columns;
  if (isSquare) {
    takeIn(memory, a, { pointer: at.square, step, factor }, at.stage);
  } else {
    takeIn(memory, a, { pointer: at.vectors, step: longStep, factor, across }, at.stage);
    run.factorQr(at.vectors, longStep, k, length, at.square, step, at.taus, at.scratch);
  }
  const [leftTaus, rightTaus, off] = [at.taus + list, at.taus + 2 * list, at.bidiagonal + list];
  run.bidiagonalise(at.square, step, k, at.left, at.bidiagonal, off, leftTaus, rightTaus, at.scratch);
  return { at, factor, k, length, step, longStep, isSquare, across, leftTaus, rightTaus, off };
}

/** @throws LINALG_FAILED */
export function svd<T extends Reals>(memory: LinalgMemory, a: Matrix<T>): Svd<T> {
  const { run } = memory;
  const { at, factor, k, length, step, longStep, isSquare, across, leftTaus, rightTaus, off } = reduce(memory, describe('SVD', a), a, true);
  run.solveBidiagonal(k, at.bidiagonal, off, k, at.singular, at.outer, longStep, at.inner, step, at.scratch);
  const s = memory.doubles(at.singular, k).map((value) => value / factor);
  run.applyReflectors(at.inner, step, k, at.left, step, k, 0, k, leftTaus, 0, at.scratch);
  run.applyReflectors(at.outer, longStep, k, at.square, step, k - 1, 1, k, rightTaus, 0, at.scratch);
  if (!isSquare) {
    const outer = memory.doubles(at.outer, (k * longStep) / 8);
    for (let i = 0; i < k; i++) outer.fill(0, (i * longStep) / 8 + k, (i * longStep) / 8 + length);
    run.applyReflectors(at.outer, longStep, k, at.vectors, longStep, k, 0, length, at.taus, 0, at.scratch);
  }
  const inner = { pointer: at.inner, step };
  const outer = { pointer: at.outer, step: longStep };
  const [u, vt] = across ? [outer, inner] : [inner, outer];
  return {
    u: giveOut(memory, { ...u, across: true }, newMatrix(a.data, a.rows, k), at.stage),
    s,
    vt: giveOut(memory, vt, newMatrix(a.data, k, a.columns), at.stage),
  };
}

/** @throws LINALG_FAILED */
export function singularValues(memory: LinalgMemory, a: Matrix<Reals>): Float64Array {
  const what = describe('singular values', a);
  const { at, factor, k, off } = reduce(memory, what, a, false);
  const [d, e] = [memory.doubles(at.bidiagonal, k), memory.doubles(off, k)];
  const order = 2 * k;
  const between = new Float64Array(Math.max(0, order - 1)).map((_, i) => (i % 2 === 0 ? d[i / 2] : e[(i - 1) / 2]) ?? 0);
  const values = valuesOf(memory, what, { order, diagonal: new Float64Array(order), off: between }, at.scratch);
  return values.slice(0, k).map((value) => Math.max(0, value) / factor);
}
