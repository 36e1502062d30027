/** A square matrix to upper bidiagonal form by Householder reflectors from both sides, in panels (as LAPACK Working Note 2, Dongarra, Sorensen & Hammarling). */
import { addProduct64 } from './product';
import { addRows, at, get, rowsTimes, scale, set } from './rows';
import { BLOCK, beta, makeReflector, tau } from './reflectors';

const COEFFICIENTS = memory.data(BLOCK * 2 * 8, 64);

/** Scratch of `bidiagonalise`. */
export function bidiagonalBytes(step: usize): f64 {
  return 5.0 * <f64>BLOCK * <f64>step;
}

/** COEFFICIENTS = element j of `count` rows. */
@inline function column(rows: usize, step: usize, count: i32, j: i32): usize {
  for (let s = 0; s < count; s++) set(COEFFICIENTS, s, get(rows + <usize>s * step, j));
  return COEFFICIENTS;
}

/** y -= sum of row_s of `to` times (row_s of `from` . x). */
@inline function subtractProduct(from: usize, fromStep: usize, to: usize, toStep: usize, count: i32, x: usize, n: i32, y: usize, m: i32): void {
  rowsTimes(from, fromStep, count, x, n, COEFFICIENTS);
  addRows(to, toStep, count, COEFFICIENTS, -1, m, y);
}

/**
 * a = L B R^T of order n. `diagonal` gets n and `off` n - 1 numbers; row j of `left` becomes reflector j of L = H_0 H_1 ..., zero before element j and one there;
 * row j of a that of R, zero before element j + 1 and one there; taus of both sides, n each (a reflector that does not exist has 0).
 */
export function bidiagonalise(
  a: usize, step: usize, n: i32, left: usize, diagonal: usize, off: usize, leftTaus: usize, rightTaus: usize, scratch: usize,
): void {
  // The panel's pending update: a - V^T Y - X^T U, with V rows of `left` and U the rows of `a` already made.
  const x = scratch;
  const y = x + <usize>BLOCK * step;
  const stacked = y + 2 * <usize>BLOCK * step;
  for (let start = 0; start < n; start += BLOCK) {
    const count = min(BLOCK, n - start);
    const v = left + <usize>start * step;
    const u = a + <usize>start * step;
    for (let t = 0; t < count; t++) {
      const j = start + t;
      const next = j + 1;
      const vRow = v + <usize>t * step;
      const uRow = u + <usize>t * step;
      for (let i = j; i < n; i++) set(vRow, i, get(a + <usize>i * step, j));
      addRows(at(v, j), step, t, column(y, step, t, j), -1, n - j, at(vRow, j));
      addRows(at(x, j), step, t, column(u, step, t, j), -1, n - j, at(vRow, j));
      memory.fill(vRow, 0, <usize>j << 3);
      makeReflector(at(vRow, j), at(vRow, next), n - next);
      set(diagonal, j, beta);
      set(leftTaus, j, tau);
      if (next == n) {
        memory.fill(uRow, 0, <usize>n << 3);
        set(rightTaus, j, 0);
        break;
      }
      const rest = n - next;
      const yRow = at(y + <usize>t * step, next);
      memory.fill(yRow, 0, <usize>rest << 3);
      addRows(at(uRow, next), step, n - j, at(vRow, j), 1, rest, yRow);
      subtractProduct(at(v, j), step, at(y, next), step, t, at(vRow, j), n - j, yRow, rest);
      subtractProduct(at(x, j), step, at(u, next), step, t, at(vRow, j), n - j, yRow, rest);
      scale(yRow, tau, rest);

      addRows(at(y, next), step, t + 1, column(v, step, t + 1, j), -1, rest, at(uRow, next));
      addRows(at(u, next), step, t, column(x, step, t, j), -1, rest, at(uRow, next));
      memory.fill(uRow, 0, <usize>next << 3);
      makeReflector(at(uRow, next), at(uRow, next + 1), rest - 1);
      set(off, j, beta);
      set(rightTaus, j, tau);
      const xRow = at(x + <usize>t * step, next);
      rowsTimes(at(uRow + step, next), step, rest, at(uRow, next), rest, xRow);
      subtractProduct(at(y, next), step, at(v, next), step, t + 1, at(uRow, next), rest, xRow, rest);
      subtractProduct(at(u, next), step, at(x, next), step, t, at(uRow, next), rest, xRow, rest);
      scale(xRow, tau, rest);
    }
    const end = start + count;
    if (end == n) return;
    updateTrailing(a, step, n, end, count, v, u, x, y, stacked);
  }
}

/** a -= [V; X]^T [Y; U] from row and column `end` on; `stacked` takes V and X, and U follows on Y. */
function updateTrailing(a: usize, step: usize, n: i32, end: i32, count: i32, v: usize, u: usize, x: usize, y: usize, stacked: usize): void {
  const bytes = <usize>count * step;
  memory.copy(stacked, v, bytes);
  memory.copy(stacked + bytes, x, bytes);
  memory.copy(y + bytes, u, bytes);
  const size = n - end;
  addProduct64(size, size, 2 * count, -1, at(stacked, end), step, true, at(y, end), step, false, at(a + <usize>end * step, end), step, false);
}
