/** Eigenvalues of a symmetric tridiagonal matrix by the root-free QL method (Pal, Walker & Kahan; Parlett, The Symmetric Eigenvalue Problem, 8.15). */
import { at, get, set } from './rows';

/** Sweeps an eigenvalue may take; two are usual. */
const MAX_SWEEPS: i32 = 60;
const HALF_ULP: f64 = 1.1102230246251565e-16;

/** A square below it has lost digits to the end of the range, which would not stay where they are lost; it counts as zero. */
const NOTHING: f64 = 1e-280;

@inline function square(value: f64): f64 {
  const result = value * value;
  return result < NOTHING ? 0 : result;
}

/** Rows first to last in opposite order: the same eigenvalues. */
function reverse(d: usize, squares: usize, first: i32, last: i32): void {
  for (let i = first, j = last; i < j; i++, j--) {
    const other = get(d, i);
    set(d, i, get(d, j));
    set(d, j, other);
  }
  for (let i = first, j = last - 1; i < j; i++, j--) {
    const other = get(squares, i);
    set(squares, i, get(squares, j));
    set(squares, j, other);
  }
}

/** Eigenvalues of rows i and i + 1, which nothing else couples. */
function solvePair(d: usize, squares: usize, i: i32): void {
  const a = get(d, i);
  const c = get(d, i + 1);
  const half = 0.5 * (a - c);
  const root = Math.sqrt(half * half + get(squares, i));
  const middle = 0.5 * (a + c);
  set(d, i, middle - root);
  set(d, i + 1, middle + root);
  set(squares, i, 0);
}

/** One sweep with the shift of the first two rows, from the last row to the first. */
function sweep(d: usize, squares: usize, first: i32, last: i32): void {
  const root = Math.sqrt(get(squares, first));
  const ratio = (get(d, first + 1) - get(d, first)) / (2 * root);
  const length = Math.sqrt(ratio * ratio + 1);
  const shift = get(d, first) - root / (ratio + (ratio < 0 ? -length : length));
  let c: f64 = 1;
  let s: f64 = 0;
  let gamma = get(d, last) - shift;
  let p = square(gamma);
  for (let i = last - 1; i >= first; i--) {
    const beside = get(squares, i);
    const r = p + beside;
    if (i != last - 1) set(squares, i + 1, s * r);
    const oldC = c;
    c = p / r;
    s = beside / r;
    const oldGamma = gamma;
    const value = get(d, i);
    gamma = c * (value - shift) - s * oldGamma;
    set(d, i + 1, oldGamma + (value - gamma));
    p = c != 0 ? square(gamma) / c : oldC * beside;
  }
  set(squares, first, s * p);
  set(d, first, shift + gamma);
}

/** `d` becomes the n eigenvalues, in no order; `squares`: squares of the n - 1 off-diagonal elements, destroyed. 1 when it does not converge. */
export function tridiagonalValues(d: usize, squares: usize, n: i32): i32 {
  let norm: f64 = 0;
  for (let i = 0; i < n; i++) norm = max(norm, Math.abs(get(d, i)));
  for (let i = 0; i < n - 1; i++) norm = max(norm, Math.sqrt(get(squares, i)));
  const negligible = HALF_ULP * HALF_ULP * norm * norm;
  let blockEnd = -1;
  let sweeps = 0;
  for (let first = 0; first < n; ) {
    const isNew = first > blockEnd;
    let last = first;
    while (last < n - 1 && get(squares, last) > negligible) last++;
    if (isNew) {
      blockEnd = last;
      if (Math.abs(get(d, last)) < Math.abs(get(d, first))) reverse(d, squares, first, last);
    }
    if (last > first + 1) {
      if (++sweeps > MAX_SWEEPS) return 1;
      sweep(d, squares, first, last);
      continue;
    }
    if (last == first + 1) solvePair(d, squares, first);
    first = last + 1;
    sweeps = 0;
  }
  return 0;
}
