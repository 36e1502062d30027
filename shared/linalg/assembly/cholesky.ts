/** Cholesky factor of a symmetric positive definite matrix, by blocks, and solutions with it. Lower triangles count. */
import { addProduct64 } from './product';
import { addScaled, at, dot, get, scale, set } from './rows';

const SIZE: i32 = 48;

/** Row i of the factor in columns first to last, when the rows above are done; the diagonal element's square if it belongs to them. */
function factorRow(a: usize, step: usize, i: i32, first: i32, last: i32): f64 {
  const row = a + <usize>i * step;
  for (let j = first; j < last; j++) {
    const other = a + <usize>j * step;
    const rest = get(row, j) - dot(at(row, first), at(other, first), j - first);
    if (j == i) return rest;
    set(row, j, rest / get(other, j));
  }
  return 0;
}

/** a = L L^T in place; 0, or the number (from 1) of the first leading minor that is not positive. */
export function factorCholesky(a: usize, step: usize, n: i32): i32 {
  for (let first = 0; first < n; first += SIZE) {
    const last = min(n, first + SIZE);
    for (let i = first; i < last; i++) {
      const square = factorRow(a, step, i, first, i + 1);
      if (!(square > 0)) return i + 1;
      set(a + <usize>i * step, i, Math.sqrt(square));
    }
    for (let i = last; i < n; i++) factorRow(a, step, i, first, last);
    const rest = n - last;
    const below = at(a + <usize>last * step, first);
    addProduct64(rest, rest, last - first, -1, below, step, false, below, step, true, at(a + <usize>last * step, last), step, true);
  }
  return 0;
}

/** b (n rows of m) becomes the x of L x = b. */
export function forwardCholesky(a: usize, step: usize, n: i32, b: usize, bStep: usize, m: i32): void {
  for (let first = 0; first < n; first += SIZE) {
    const last = min(n, first + SIZE);
    for (let i = first; i < last; i++) {
      const row = b + <usize>i * bStep;
      const factor = a + <usize>i * step;
      for (let j = first; j < i; j++) addScaled(b + <usize>j * bStep, -get(factor, j), m, row);
      scale(row, 1 / get(factor, i), m);
    }
    const below = at(a + <usize>last * step, first);
    addProduct64(n - last, m, last - first, -1, below, step, false, b + <usize>first * bStep, bStep, false, b + <usize>last * bStep, bStep, false);
  }
}

/** b (n rows of m) becomes the x of L L^T x = b. */
export function solveCholesky(a: usize, step: usize, n: i32, b: usize, bStep: usize, m: i32): void {
  forwardCholesky(a, step, n, b, bStep, m);
  for (let first = (n - 1) / SIZE * SIZE; first >= 0; first -= SIZE) {
    const last = min(n, first + SIZE);
    for (let i = last - 1; i >= first; i--) {
      const row = b + <usize>i * bStep;
      for (let j = i + 1; j < last; j++) addScaled(b + <usize>j * bStep, -get(a + <usize>j * step, i), m, row);
      scale(row, 1 / get(a + <usize>i * step, i), m);
    }
    addProduct64(first, m, last - first, -1, a + <usize>first * step, step, true, b + <usize>first * bStep, bStep, false, b, bStep, false);
  }
}
