/**
 * Householder reflectors H = I - tau v v^T, and products of up to BLOCK of them in the compact form I - V^T T V (Schreiber & Van Loan, SIAM J. Sci. Stat.
 * Comput. 10, 1989). The vectors v are rows of V.
 */
import { addProduct64 } from './product';
import { addScaled, at, dot, get, scale, set } from './rows';

/** Reflectors in one block. */
export const BLOCK: i32 = 32;

/** A sum of squares below it has lost digits to the end of the range; its vector is nothing beside a matrix of about 1. */
const NOTHING: f64 = 1e-280;

/** tau and the remaining element of the reflector made last. */
export let tau: f64 = 0;
export let beta: f64 = 0;

/** H x = beta e for x of n elements, of which the one at `pivot` is kept: x becomes v, with v[pivot] = 1. The others lie at `rest`, n - 1 in a row. */
export function makeReflector(pivot: usize, rest: usize, others: i32): void {
  const alpha = load<f64>(pivot);
  const squares = dot(rest, rest, others);
  store<f64>(pivot, 1);
  if (squares < NOTHING) {
    memory.fill(rest, 0, <usize>others << 3);
    tau = 0;
    beta = alpha;
    return;
  }
  const length = Math.sqrt(alpha * alpha + squares);
  beta = alpha > 0 ? -length : length;
  tau = (beta - alpha) / beta;
  scale(rest, 1 / (alpha - beta), others);
}

const CROSS = memory.data(BLOCK * BLOCK * 8, 64);
const FACTOR = memory.data(BLOCK * BLOCK * 8, 64);
const COLUMN = memory.data(BLOCK * 8, 64);
const ROW_BYTES: usize = <usize>BLOCK << 3;

/** T (upper triangular) of H_0 H_1 ... H_(count - 1) into FACTOR; n elements in a row of V. */
function makeFactor(v: usize, step: usize, count: i32, n: i32, taus: usize): void {
  memory.fill(CROSS, 0, BLOCK * BLOCK * 8);
  memory.fill(FACTOR, 0, BLOCK * BLOCK * 8);
  addProduct64(count, count, n, 1, v, step, false, v, step, true, CROSS, ROW_BYTES, true);
  for (let j = 0; j < count; j++) {
    const tauOf = get(taus, j);
    for (let i = 0; i < j; i++) {
      let sum: f64 = 0;
      for (let p = i; p < j; p++) sum += get(FACTOR + <usize>i * ROW_BYTES, p) * get(CROSS + <usize>j * ROW_BYTES, p);
      set(COLUMN, i, -tauOf * sum);
    }
    for (let i = 0; i < j; i++) set(FACTOR + <usize>i * ROW_BYTES, j, get(COLUMN, i));
    set(FACTOR + <usize>j * ROW_BYTES, j, tauOf);
  }
}

/** Scratch of `applyBlock` for so many rows. */
export function applyBytes(rows: i32): f64 {
  return 2.0 * <f64>rows * <f64>ROW_BYTES;
}

/**
 * Every row z of `rows` becomes P z, or P^T z (`transposed`), with P = H_0 H_1 ... H_(count - 1); z and v have n elements.
 */
export function applyBlock(
  z: usize, zStep: usize, rows: i32, v: usize, vStep: usize, count: i32, n: i32, taus: usize, transposed: bool, scratch: usize,
): void {
  makeFactor(v, vStep, count, n, taus);
  const second = scratch + <usize>rows * ROW_BYTES;
  memory.fill(scratch, 0, 2 * <usize>rows * ROW_BYTES);
  addProduct64(rows, count, n, 1, z, zStep, false, v, vStep, true, scratch, ROW_BYTES, false);
  addProduct64(rows, count, count, 1, scratch, ROW_BYTES, false, FACTOR, ROW_BYTES, !transposed, second, ROW_BYTES, false);
  addProduct64(rows, n, count, -1, second, ROW_BYTES, false, v, vStep, false, z, zStep, false);
}

/**
 * Applies H_0 H_1 ... H_(count - 1) (`transposed`: in the opposite order) to every row of z. Reflector i is row i of v, zero before element i + offset and one
 * there; `n`: elements in a row.
 */
export function applyReflectors(
  z: usize, zStep: usize, rows: i32, v: usize, vStep: usize, count: i32, offset: i32, n: i32, taus: usize, transposed: bool, scratch: usize,
): void {
  const blocks = (count + BLOCK - 1) / BLOCK;
  for (let i = 0; i < blocks; i++) {
    const first = (transposed ? i : blocks - 1 - i) * BLOCK;
    const live = min(BLOCK, count - first);
    const skip = first + offset;
    applyBlock(at(z, skip), zStep, rows, at(v + <usize>first * vStep, skip), vStep, live, n - skip, at(taus, first), transposed, scratch);
  }
}

/** Every row x of `rows` becomes H x, one reflector at a time. */
export function applyReflector(x: usize, step: usize, rows: i32, v: usize, n: i32, tauOf: f64): void {
  for (let r = 0; r < rows; r++, x += step) addScaled(v, -tauOf * dot(v, x, n), n, x);
}
