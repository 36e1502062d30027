/**
 * Singular values and vectors of an upper bidiagonal matrix by divide and conquer (Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995). A node is n rows
 * and n or n + 1 columns; without its middle row it falls into two nodes, the first of which always has a column more than rows. Vectors are rows; the
 * vectors of a node at `start` have nonzero elements in its own columns alone, and the last one of a node with n + 1 columns is its null vector.
 */
import { deflate, BOTH, FIRST, SECOND } from './deflate';
import {
  cell, columns, couplings, dead, diagonal, gathered, index, innerLeft, innerRight, kinds, layOut, left, live, off, order, right, sequence, setIndex, step,
  values,
} from './divide-memory';
import { innerValues, innerVectors } from './inner';
import { addProduct64 } from './product';
import { get, rotate, set } from './rows';

/** Part of the largest number in a node below which a coupling or a gap is none. */
const TOLERANCE: f64 = 8.8817841970012523e-16;
/** A node all below it, of a matrix of about 1, is zero: squares of its numbers would leave the range of f64. */
const NOTHING: f64 = 1e-100;

/** Rows of two lists that ascend by their values, as one. */
function mergeLists(a: usize, aCount: i32, b: usize, bCount: i32, to: usize): void {
  let i = 0;
  let j = 0;
  while (i + j < aCount + bCount) {
    const fromA = j == bCount || (i < aCount && get(values, index(a, i)) <= get(values, index(b, j)));
    setIndex(to, i + j, fromA ? index(a, i) : index(b, j));
    if (fromA) i++;
    else j++;
  }
}

/** Sorts a list of rows by their values; it is almost in order. */
function sortList(list: usize, count: i32): void {
  for (let i = 1; i < count; i++) {
    const row = index(list, i);
    const value = get(values, row);
    let j = i;
    for (; j > 0 && get(values, index(list, j - 1)) > value; j--) setIndex(list, j, index(list, j - 1));
    setIndex(list, j, row);
  }
}

/** How many poles belong to rows that are FIRST or BOTH. */
let withBoth: i32 = 0;

/** Gives every pole its column among the inner vectors, by kind of its row; sets `withBoth` and returns how many are FIRST. */
function placeColumns(k: i32): i32 {
  let next = 0;
  let first = 0;
  for (let kind = FIRST; kind <= SECOND; kind++) {
    for (let j = 0; j < k; j++) if (index(kinds, index(live, j)) == kind) setIndex(columns, j, next++);
    if (kind == FIRST) first = next;
    if (kind == BOTH) withBoth = next;
  }
  return first;
}

/** Vectors of one side: rows `start` to start + n of `matrix` become inner x (rows that stay), from `firstLive` on, then the rows that are done. */
function multiplyBack(
  matrix: usize, inner: usize, start: i32, n: i32, width: i32, k: i32, firstKind: i32, firstLive: i32, firstWidth: i32, secondStart: i32, isLeft: bool,
): void {
  const bytes = <usize>width << 3;
  for (let j = 0; j < k; j++) memory.copy(cell(gathered, index(columns, j), 0), cell(matrix, index(live, j), start), bytes);
  for (let j = k; j < n; j++) memory.copy(cell(gathered, j, 0), cell(matrix, index(dead, j - k), start), bytes);
  // The left vector of the middle row is a column of its own.
  if (isLeft) memory.fill(cell(gathered, index(columns, 0), 0), 0, bytes);
  for (let i = firstLive; i < k; i++) memory.fill(cell(matrix, start + i, start), 0, bytes);
  const rows = k - firstLive;
  const from = cell(inner, firstLive, 0);
  addProduct64(rows, firstWidth, withBoth, 1, from, step, false, gathered, step, false, cell(matrix, start + firstLive, start), step, false);
  addProduct64(
    rows, start + width - secondStart, k - firstKind, 1, from + (<usize>firstKind << 3), step, false, cell(gathered, firstKind, secondStart - start), step, false,
    cell(matrix, start + firstLive, secondStart), step, false,
  );
  if (isLeft) for (let i = firstLive; i < k; i++) set(cell(matrix, start + i, secondStart - 1), 0, get(cell(inner, i, 0), index(columns, 0)));
  for (let j = k; j < n; j++) memory.copy(cell(matrix, start + j, start), cell(gathered, j, 0), bytes);
}

/** Couplings and kinds of the rows of two solved halves; the null vectors of both become the middle row's vector and the null vector of the whole. */
function couple(start: i32, n: i32, width: i32, middle: i32): f64 {
  const alpha = get(diagonal, middle);
  const beta = middle + 1 < start + width ? get(off, middle) : 0;
  let largest = Math.max(Math.abs(alpha), Math.abs(beta));
  for (let row = start; row < start + width; row++) {
    const isFirst = row <= middle;
    set(couplings, row, isFirst ? alpha * get(cell(right, row, middle), 0) : beta * get(cell(right, row, middle + 1), 0));
    setIndex(kinds, row, isFirst ? FIRST : SECOND);
    if (row != middle && row < start + n) largest = Math.max(largest, get(values, row));
  }
  if (width > n && largest >= NOTHING) {
    const a = get(couplings, middle);
    const b = get(couplings, start + n);
    const length = Math.sqrt(a * a + b * b);
    if (length >= NOTHING) rotate(cell(right, middle, start), cell(right, start + n, start), width, a / length, b / length);
    set(couplings, middle, length);
    setIndex(kinds, middle, BOTH);
  }
  return largest;
}

/** Solves the node; vectors of its `wanted` largest values. */
function solve(start: i32, n: i32, width: i32, wanted: i32): void {
  if (n == 0) {
    if (width > 0) set(cell(right, start, start), 0, 1);
    return;
  }
  const half = n >> 1;
  const middle = start + half;
  const rest = n - half - 1;
  solve(start, half, half + 1, half);
  solve(middle + 1, rest, width - half - 1, rest);
  const largest = couple(start, n, width, middle);
  mergeLists(order + (<usize>start << 2), half, order + (<usize>(middle + 1) << 2), rest, sequence);
  if (largest < NOTHING) {
    set(values, middle, 0);
    if (left != 0) set(cell(left, middle, middle), 0, 1);
    setIndex(order, start, middle);
    memory.copy(order + (<usize>(start + 1) << 2), sequence, <usize>(n - 1) << 2);
    return;
  }
  const k = deflate(start, n, width, middle, TOLERANCE * largest);
  // Values of rows that are done move behind those of the inner problem.
  for (let j = k; j < n; j++) set(couplings, start + j, get(values, index(dead, j - k)));
  innerValues(k, start);
  for (let j = k; j < n; j++) set(values, start + j, get(couplings, start + j));
  for (let j = 0; j < k; j++) setIndex(sequence, j, start + j);
  for (let j = k; j < n; j++) setIndex(sequence, j, start + j);
  sortList(sequence + (<usize>k << 2), n - k);
  mergeLists(sequence, k, sequence + (<usize>k << 2), n - k, order + (<usize>start << 2));
  let firstLive = k;
  for (let i = n - wanted; i < n; i++) firstLive = min(firstLive, index(order, start + i) - start);
  const firstKind = placeColumns(k);
  innerVectors(k, firstLive);
  multiplyBack(right, innerRight, start, n, width, k, firstKind, firstLive, half + 1, middle + 1, false);
  if (left != 0) multiplyBack(left, innerLeft, start, n, n, k, firstKind, firstLive, half, middle + 1, true);
}

/**
 * B = U S W^T of order n: `singular` gets the n values, descending, and rightTo and leftTo (0: not wanted) the vectors of the `wanted` largest, a row each.
 * `diagonalAt`, `offAt`: B. `scratch`: divideBytes(n, leftTo != 0).
 */
export function solveBidiagonal(
  n: i32, diagonalAt: usize, offAt: usize, wanted: i32, singular: usize, rightTo: usize, rightStep: usize, leftTo: usize, leftStep: usize,
  scratch: usize,
): void {
  layOut(n, leftTo != 0, diagonalAt, offAt, scratch);
  solve(0, n, n, wanted);
  for (let i = 0; i < n; i++) {
    const row = index(order, n - 1 - i);
    set(singular, i, get(values, row));
    if (i >= wanted) continue;
    memory.copy(rightTo + <usize>i * rightStep, cell(right, row, 0), <usize>n << 3);
    if (leftTo != 0) memory.copy(leftTo + <usize>i * leftStep, cell(left, row, 0), <usize>n << 3);
  }
}
