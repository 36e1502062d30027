/** QR by blocks of Householder reflectors. The columns of the matrix are rows here. */
import { at, get, set } from './rows';
import { applyBlock, applyReflector, BLOCK, beta, makeReflector, tau } from './reflectors';

/**
 * The matrix whose columns are the `count` rows of a (n elements each) = Q R. Row j < k = min(count, n) of a becomes reflector j; row j of r (lower
 * triangular, count x k) becomes column j of R. `scratch`: applyBytes(count).
 */
export function factorQr(a: usize, step: usize, count: i32, n: i32, r: usize, rStep: usize, taus: usize, scratch: usize): void {
  const k = min(count, n);
  for (let first = 0; first < k; first += BLOCK) {
    const live = min(BLOCK, k - first);
    const end = first + live;
    for (let j = first; j < end; j++) {
      const row = a + <usize>j * step;
      memory.copy(r + <usize>j * rStep, row, <usize>j << 3);
      makeReflector(at(row, j), at(row, j + 1), n - j - 1);
      set(r + <usize>j * rStep, j, beta);
      memory.fill(at(r + <usize>j * rStep, j + 1), 0, <usize>(k - j - 1) << 3);
      set(taus, j, tau);
      applyReflector(at(row + step, j), step, end - j - 1, at(row, j), n - j, tau);
    }
    for (let j = first; j < end; j++) memory.fill(a + <usize>j * step, 0, <usize>j << 3);
    const rest = count - end;
    if (rest > 0) {
      applyBlock(at(a + <usize>end * step, first), step, rest, at(a + <usize>first * step, first), step, live, n - first, at(taus, first), true, scratch);
    }
  }
  for (let j = k; j < count; j++) memory.copy(r + <usize>j * rStep, a + <usize>j * step, <usize>k << 3);
}
