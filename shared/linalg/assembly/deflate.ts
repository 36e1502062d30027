/**
 * Which singular values of two halves stay as they are in the whole: those hardly coupled to the row between them, and all but one of a group that is equal
 * (Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995, 3).
 */
import { cell, couplings, dead, index, kinds, left, live, poles, right, sequence, setIndex, squares, adjusted, values } from './divide-memory';
import { get, rotate, set } from './rows';

/** Columns in which a row of vectors has nonzero elements: those of the first half, of both, of the second half. */
export const FIRST: i32 = 0;
export const BOTH: i32 = 1;
export const SECOND: i32 = 2;

let found: i32 = 0;

/** Adds a pole: the value of a row, and its coupling as it is now. */
@inline function keep(row: i32, pole: f64): void {
  const z = get(couplings, row);
  setIndex(live, found, row);
  set(poles, found, pole);
  set(adjusted, found, z);
  set(squares, found, z * z);
  found++;
}

/**
 * Of a node at row and column `start` with n rows and `width` columns whose middle row is `middle`: goes through the n - 1 rows of `sequence` (ascending
 * values), fills live, poles, squares and adjusted (the couplings) and returns how many stay; `dead` gets the others.
 */
export function deflate(start: i32, n: i32, width: i32, middle: i32, tolerance: f64): i32 {
  found = 0;
  let done = 0;
  if (Math.abs(get(couplings, middle)) <= tolerance) set(couplings, middle, tolerance);
  keep(middle, 0);
  let pending = -1;
  for (let i = 0; i < n - 1; i++) {
    const row = index(sequence, i);
    const z = get(couplings, row);
    if (Math.abs(z) <= tolerance) {
      setIndex(dead, done++, row);
      continue;
    }
    if (pending >= 0) {
      if (get(values, row) - get(values, pending) <= tolerance) {
        const other = get(couplings, pending);
        const length = Math.sqrt(z * z + other * other);
        set(couplings, row, length);
        rotate(cell(right, row, start), cell(right, pending, start), width, z / length, other / length);
        if (left != 0) rotate(cell(left, row, start), cell(left, pending, start), n, z / length, other / length);
        if (index(kinds, row) != index(kinds, pending)) setIndex(kinds, row, BOTH);
        setIndex(dead, done++, pending);
      } else {
        keep(pending, get(values, pending));
      }
    }
    pending = row;
  }
  if (pending >= 0) keep(pending, get(values, pending));
  // The pole at zero belongs to the middle row; the next one keeps a distance.
  if (found > 1) set(poles, 1, Math.max(get(poles, 1), 0.5 * tolerance));
  return found;
}
