/** Where the divide and conquer of a bidiagonal matrix keeps what it works on; carved out of one scratch. */
import { at } from './rows';

/** Bytes from row to row of a matrix with so many f64 columns: whole cache lines, and never a large power of two, which would crowd few cache sets. */
export function stepBytes(columns: i32): usize {
  const bytes = (<usize>columns * 8 + 63) & ~63;
  return (bytes & 1023) == 0 ? bytes + 64 : bytes;
}

/** Upper bidiagonal matrix: n elements on the diagonal, n - 1 beside it. */
export let diagonal: usize = 0;
export let off: usize = 0;
/** Bytes from row to row of every matrix here. */
export let step: usize = 0;

/** Right singular vectors, left ones (0: not wanted), vectors of the inner problem of both sides, and rows gathered for a product. */
export let right: usize = 0;
export let left: usize = 0;
export let innerRight: usize = 0;
export let innerLeft: usize = 0;
export let gathered: usize = 0;

/** f64 by row: singular values, and the first row of the inner matrix. */
export let values: usize = 0;
export let couplings: usize = 0;
/** f64 by pole of the inner matrix: pole, square of its coupling, signed coupling as recomputed, and a vector in the making. */
export let poles: usize = 0;
export let squares: usize = 0;
export let adjusted: usize = 0;
export let vector: usize = 0;
/** i32: rows in ascending order of values; rows in the order of a merge; rows that stay; rows that are done; columns of the poles; kinds by row. */
export let order: usize = 0;
export let sequence: usize = 0;
export let live: usize = 0;
export let dead: usize = 0;
export let columns: usize = 0;
export let kinds: usize = 0;

/** A number beyond 4 GiB must not come back small: f64. */
export function divideBytes(n: i32, withLeft: bool): f64 {
  return (withLeft ? 5.0 : 3.0) * <f64>n * <f64>stepBytes(n) + 12.0 * <f64>(stepBytes(n) + 64);
}

export function layOut(n: i32, withLeft: bool, diagonalAt: usize, offAt: usize, scratch: usize): void {
  diagonal = diagonalAt;
  off = offAt;
  step = stepBytes(n);
  const matrix = <usize>n * step;
  right = scratch;
  innerRight = right + matrix;
  gathered = innerRight + matrix;
  let top = gathered + matrix;
  left = withLeft ? top : 0;
  innerLeft = top + matrix;
  if (withLeft) top += 2 * matrix;
  memory.fill(right, 0, matrix);
  if (withLeft) memory.fill(left, 0, matrix);
  const list = step + 64;
  values = top;
  couplings = values + list;
  poles = couplings + list;
  squares = poles + list;
  adjusted = squares + list;
  vector = adjusted + list;
  order = vector + list;
  sequence = order + list;
  live = sequence + list;
  dead = live + list;
  columns = dead + list;
  kinds = columns + list;
}

@inline export function index(list: usize, i: i32): i32 {
  return load<i32>(list + (<usize>i << 2));
}

@inline export function setIndex(list: usize, i: i32, value: i32): void {
  store<i32>(list + (<usize>i << 2), value);
}

/** Address of element (row, column). */
@inline export function cell(matrix: usize, row: i32, column: i32): usize {
  return at(matrix + <usize>row * step, column);
}
