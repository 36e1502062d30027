/**
 * A symmetric matrix to tridiagonal form by Householder reflectors, in panels whose rank-2 updates are applied together (Dongarra, Sorensen & Hammarling,
 * J. Comput. Appl. Math. 27, 1989). Only the lower triangle is read. Rows are eliminated from the last to the first, so that every vector is a row.
 */
import { addProduct64 } from './product';
import { addRows, addScaled, at, dot, get, rowsTimes, scale, set } from './rows';
import { applyBlock, BLOCK, beta, makeReflector, tau } from './reflectors';

const COEFFICIENTS = memory.data(BLOCK * 2 * 8, 64);
const ACCUMULATED = memory.data(64, 64);

/** Four rows of the lower triangle at once: y_r += a_r x, y += x_r a_r, over the first n columns. */
export function fourRows(a: usize, step: usize, n: i32, x: usize, y: usize, xr: usize, yr: usize): void {
  const b = a + step;
  const c = b + step;
  const d = c + step;
  const xa = v128.load64_splat(xr);
  const xb = v128.load64_splat(xr, 8);
  const xc = v128.load64_splat(xr, 16);
  const xd = v128.load64_splat(xr, 24);
  let sa = f64x2.splat(0);
  let sb = sa;
  let sc = sa;
  let sd = sa;
  for (let i: usize = 0, end = <usize>n << 3; i < end; i += 16) {
    const va = v128.load(a + i);
    const vb = v128.load(b + i);
    const vc = v128.load(c + i);
    const vd = v128.load(d + i);
    const vx = v128.load(x + i);
    sa = f64x2.add(sa, f64x2.mul(va, vx));
    sb = f64x2.add(sb, f64x2.mul(vb, vx));
    sc = f64x2.add(sc, f64x2.mul(vc, vx));
    sd = f64x2.add(sd, f64x2.mul(vd, vx));
    const ab = f64x2.add(f64x2.mul(va, xa), f64x2.mul(vb, xb));
    const cd = f64x2.add(f64x2.mul(vc, xc), f64x2.mul(vd, xd));
    v128.store(y + i, f64x2.add(v128.load(y + i), f64x2.add(ab, cd)));
  }
  v128.store(ACCUMULATED, sa);
  v128.store(ACCUMULATED, sb, 16);
  v128.store(ACCUMULATED, sc, 32);
  v128.store(ACCUMULATED, sd, 48);
  for (let r = 0; r < 4; r++) set(yr, r, get(yr, r) + (get(ACCUMULATED, 2 * r) + get(ACCUMULATED, 2 * r + 1)));
}

/** y = a x for symmetric a of order n. */
function symmetricTimes(a: usize, step: usize, n: i32, x: usize, y: usize): void {
  memory.fill(y, 0, <usize>n << 3);
  let r = 0;
  for (; r + 4 <= n; r += 4) {
    const row = a + <usize>r * step;
    fourRows(row, step, r, x, y, at(x, r), at(y, r));
    for (let i = 0; i < 4; i++) corner(at(row + <usize>i * step, r), i, at(x, r), at(y, r));
  }
  for (; r < n; r++) {
    const row = a + <usize>r * step;
    addScaled(row, get(x, r), r, y);
    set(y, r, get(y, r) + dot(row, x, r) + get(row, r) * get(x, r));
  }
}

/** Row i of a corner on the diagonal: columns 0 to i. */
@inline function corner(row: usize, i: i32, x: usize, y: usize): void {
  let sum: f64 = 0;
  for (let j = 0; j < i; j++) {
    const value = get(row, j);
    sum += value * get(x, j);
    set(y, j, get(y, j) + value * get(x, i));
  }
  set(y, i, get(y, i) + sum + get(row, i) * get(x, i));
}

/** Scratch of `tridiagonalise`. */
export function tridiagonalBytes(step: usize): f64 {
  return 3.0 * <f64>BLOCK * <f64>step;
}

/**
 * a = Q T Q^T of order n. `diagonal` gets n, `off` n - 1 numbers (off[i] couples i and i + 1); row i of a becomes reflector i (i >= 1), zero from element i on
 * and one at i - 1, and taus[i] its factor (taus[0] = 0): Q = H_(n-1) ... H_1.
 */
export function tridiagonalise(a: usize, step: usize, n: i32, diagonal: usize, off: usize, taus: usize, scratch: usize): void {
  set(taus, 0, 0);
  // Rows V, W, V of a panel: the two factors of the update V^T W + W^T V overlap in them.
  const v = scratch;
  for (let last = n - 1; last >= 0; ) {
    const count = min(BLOCK, last + 1);
    const w = v + <usize>count * step;
    for (let t = 0; t < count; t++) {
      const i = last - t;
      const row = a + <usize>i * step;
      for (let s = 0; s < t; s++) {
        set(COEFFICIENTS, s, get(w + <usize>s * step, i));
        set(COEFFICIENTS, t + s, get(v + <usize>s * step, i));
      }
      addRows(v, step, t, COEFFICIENTS, -1, i + 1, row);
      addRows(w, step, t, at(COEFFICIENTS, t), -1, i + 1, row);
      set(diagonal, i, get(row, i));
      memory.fill(at(row, i), 0, <usize>(n - i) << 3);
      if (i == 0) break;
      makeReflector(at(row, i - 1), row, i - 1);
      set(off, i - 1, beta);
      set(taus, i, tau);
      const vRow = v + <usize>t * step;
      const wRow = w + <usize>t * step;
      memory.copy(vRow, row, <usize>i << 3);
      symmetricTimes(a, step, i, row, wRow);
      rowsTimes(v, step, t, row, i, COEFFICIENTS);
      rowsTimes(w, step, t, row, i, at(COEFFICIENTS, t));
      addRows(w, step, t, COEFFICIENTS, -1, i, wRow);
      addRows(v, step, t, at(COEFFICIENTS, t), -1, i, wRow);
      scale(wRow, tau, i);
      addScaled(row, -0.5 * tau * dot(wRow, row, i), i, wRow);
    }
    last -= count;
    if (last < 0) return;
    memory.copy(w + <usize>count * step, v, <usize>count * step);
    addProduct64(last + 1, last + 1, 2 * count, -1, v, step, true, w, step, false, a, step, true);
  }
}

/** Every row z becomes Q z, or Q^T z (`transposed`). `scratch`: applyBytes(rows). */
export function applyTridiagonal(
  z: usize, zStep: usize, rows: i32, a: usize, step: usize, n: i32, taus: usize, transposed: bool, scratch: usize,
): void {
  const blocks = (n + BLOCK - 1) / BLOCK;
  for (let i = 0; i < blocks; i++) {
    const first = (transposed ? blocks - 1 - i : i) * BLOCK;
    const live = min(BLOCK, n - first);
    applyBlock(z, zStep, rows, a + <usize>first * step, step, live, first + live, at(taus, first), !transposed, scratch);
  }
}
