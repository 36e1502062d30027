/** Symmetric systems that are to be solved with many multiples of the unit matrix added: one reduction to tridiagonal form serves all. */
import { loadRows, storeRows, withLinalg } from './dense-memory.js';

/** matrix = Q T Q' with T tridiagonal, Q a product of Householder reflections (Golub and Van Loan, Matrix Computations, 8.3.1). */
export interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** size - 1 values beside the diagonal. */
  readonly beside: Float64Array;
  /** Every row := Q' row, in place; `rows` has any number of them, one behind another. */
  readonly rotate: (rows: Float64Array) => void;
  /** Every row := Q row, in place. */
  readonly rotateBack: (rows: Float64Array) => void;
}

/** @param matrix of which the lower triangle is read */
export function tridiagonalise(matrix: Float64Array, size: number): Tridiagonal {
  const diagonal = new Float64Array(size);
  const beside = new Float64Array(Math.max(size - 1, 0));
  const factors = new Float64Array(size);
  const reflections = new Float64Array(size * size);
  withLinalg((linalg) => {
    const { run } = linalg;
    const step = run.stepBytes(size);
    const line = size * 8;
    const sizes = { matrix: size * step, diagonal: line, beside: line, factors: line, scratch: run.tridiagonalBytes(step) };
    const at = linalg.layOut('tridiagonal form', sizes);
    loadRows(linalg, matrix, size, size, at.matrix, step);
    run.tridiagonalise(at.matrix, step, size, at.diagonal, at.beside, at.factors, at.scratch);
    diagonal.set(linalg.doubles(at.diagonal, size));
    beside.set(linalg.doubles(at.beside, beside.length));
    factors.set(linalg.doubles(at.factors, size));
    storeRows(linalg, at.matrix, step, size, size, reflections);
  });
  const apply = (rows: Float64Array, transposed: 0 | 1): void =>
    withLinalg((linalg) => {
      const { run } = linalg;
      const count = rows.length / Math.max(size, 1);
      const step = run.stepBytes(size);
      const sizes = { rows: count * step, matrix: size * step, factors: size * 8, scratch: run.applyBytes(count) };
      const at = linalg.layOut('rotated rows', sizes);
      loadRows(linalg, rows, count, size, at.rows, step);
      loadRows(linalg, reflections, size, size, at.matrix, step);
      linalg.doubles(at.factors, size).set(factors);
      run.applyTridiagonal(at.rows, step, count, at.matrix, step, size, at.factors, transposed, at.scratch);
      storeRows(linalg, at.rows, step, count, size, rows);
    });
  return { diagonal, beside, rotate: (rows) => apply(rows, 1), rotateBack: (rows) => apply(rows, 0) };
}

/** T + shift I = L D L', L unit lower bidiagonal. */
export interface ShiftedFactor {
  /** 1 / D. */
  readonly inverse: Float64Array;
  readonly below: Float64Array;
}

/** @returns undefined: T + shift I is not positive definite, to within `tolerance` */
export function factoriseShifted({ diagonal, beside }: Tridiagonal, shift: number, tolerance: number): ShiftedFactor | undefined {
  const size = diagonal.length;
  const inverse = new Float64Array(size);
  const below = new Float64Array(beside.length);
  for (let k = 0; k < size; k++) {
    const left = k === 0 ? 0 : (below[k - 1] as number) * (beside[k - 1] as number);
    const pivot = (diagonal[k] as number) + shift - left;
    if (!(pivot > tolerance)) return undefined;
    inverse[k] = 1 / pivot;
    if (k < beside.length) below[k] = (beside[k] as number) / pivot;
  }
  return { inverse, below };
}

/** (T + shift I)^-1 vector, in place. */
export function solveShifted({ inverse, below }: ShiftedFactor, vector: Float64Array): void {
  for (let k = 1; k < inverse.length; k++) vector[k] = (vector[k] as number) - (below[k - 1] as number) * (vector[k - 1] as number);
  for (let k = inverse.length - 1; k >= 0; k--) {
    const above = k < below.length ? (below[k] as number) * (vector[k + 1] as number) : 0;
    vector[k] = (vector[k] as number) * (inverse[k] as number) - above;
  }
}

/** row' (T + shift I)^-1 row of every row. Four rows side by side: each is a chain in which every operation waits for the one before. */
export function shiftedForms({ inverse, below }: ShiftedFactor, rows: Float64Array): Float64Array {
  const size = inverse.length;
  const count = rows.length / Math.max(size, 1);
  const forms = new Float64Array(count);
  for (let row = 0; row < count; row += 4) {
    const a = row * size;
    const b = Math.min(row + 1, count - 1) * size;
    const c = Math.min(row + 2, count - 1) * size;
    const d = Math.min(row + 3, count - 1) * size;
    let [formA, formB, formC, formD] = [0, 0, 0, 0];
    let [lastA, lastB, lastC, lastD] = [0, 0, 0, 0];
    for (let k = 0; k < size; k++) {
      const factor = k === 0 ? 0 : (below[k - 1] as number);
      const scale = inverse[k] as number;
      lastA = (rows[a + k] as number) - factor * lastA;
      lastB = (rows[b + k] as number) - factor * lastB;
      lastC = (rows[c + k] as number) - factor * lastC;
      lastD = (rows[d + k] as number) - factor * lastD;
      formA += lastA * lastA * scale;
      formB += lastB * lastB * scale;
      formC += lastC * lastC * scale;
      formD += lastD * lastD * scale;
    }
    // Beyond the last row there is no place: what is written there is lost.
    forms[row] = formA;
    forms[row + 1] = formB;
    forms[row + 2] = formC;
    forms[row + 3] = formD;
  }
  return forms;
}
