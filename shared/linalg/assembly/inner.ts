/**
 * The inner problem of a merge: a matrix with couplings z in its first row and poles d on the diagonal (d_0 = 0). Its couplings are recomputed from the roots, as
 * those for which the roots are exact, so that the vectors are orthogonal to the last digits however close the poles lie (Gu & Eisenstat, Loewner's formula).
 */
import { adjusted, cell, columns, index, innerLeft, innerRight, left, poles, squares, values, vector } from './divide-memory';
import { solveRoot } from './secular';
import { at, dot, get, set } from './rows';

/** squares_j *= -gaps_j / (pole^2 - d_j^2) for j in a range; gaps are d_j^2 - root. */
export function multiplyRatios(gaps: usize, pole: f64, from: i32, to: i32): void {
  const p = f64x2.splat(pole);
  let j = from;
  for (; j + 2 <= to; j += 2) {
    const d = v128.load(at(poles, j));
    const ratio = f64x2.div(v128.load(at(gaps, j)), f64x2.mul(f64x2.sub(d, p), f64x2.add(d, p)));
    v128.store(at(squares, j), f64x2.mul(v128.load(at(squares, j)), ratio));
  }
  for (; j < to; j++) {
    const d = get(poles, j);
    set(squares, j, get(squares, j) * (get(gaps, j) / ((d - pole) * (d + pole))));
  }
}

/** vector_j = adjusted_j / gaps_j */
export function divideCouplings(gaps: usize, k: i32): void {
  let j = 0;
  for (; j + 2 <= k; j += 2) v128.store(at(vector, j), f64x2.div(v128.load(at(adjusted, j)), v128.load(at(gaps, j))));
  if (j < k) set(vector, j, get(adjusted, j) / get(gaps, j));
}

/** A row of the inner vectors: `vector` at unit length, its elements in their columns. */
function writeUnit(row: usize, k: i32): void {
  const factor = 1 / Math.sqrt(dot(vector, vector, k));
  for (let j = 0; j < k; j++) set(row, index(columns, j), get(vector, j) * factor);
}

/** k singular values, ascending, to values[start ...]; row i of innerRight becomes d_j^2 - value_i^2. */
export function innerValues(k: i32, start: i32): void {
  for (let i = 0; i < k; i++) set(values, start + i, solveRoot(poles, squares, k, i, cell(innerRight, i, 0)));
}

/** After innerValues: vectors of the values from `first` on, as rows of innerRight and innerLeft. */
export function innerVectors(k: i32, first: i32): void {
  for (let j = 0; j < k; j++) set(squares, j, -get(cell(innerRight, k - 1, 0), j));
  for (let i = 0; i < k - 1; i++) {
    const gaps = cell(innerRight, i, 0);
    multiplyRatios(gaps, get(poles, i + 1), 0, i + 1);
    multiplyRatios(gaps, get(poles, i), i + 1, k);
  }
  for (let j = 0; j < k; j++) {
    const length = Math.sqrt(Math.abs(get(squares, j)));
    set(adjusted, j, get(adjusted, j) < 0 ? -length : length);
  }
  for (let i = first; i < k; i++) {
    const row = cell(innerRight, i, 0);
    divideCouplings(row, k);
    writeUnit(row, k);
    if (left == 0) continue;
    // The left vector is the inner matrix times the right one.
    for (let j = 1; j < k; j++) set(vector, j, get(vector, j) * get(poles, j));
    set(vector, 0, -1);
    writeUnit(cell(innerLeft, i, 0), k);
  }
}
