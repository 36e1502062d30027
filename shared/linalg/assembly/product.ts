/**
 * Products of matrices in memory, blocked for the caches (Goto & van de Geijn, ACM TOMS 34, 2008): k in runs of STEPS, whose sums are added to the result in
 * order, so that no bit of an element depends on the size of the matrix around it.
 */
import { pack } from './pack';
import { TILE_ROWS, tile32, tile64, tileColumns } from './tiles';

/** Steps over k in one run. */
export const STEPS: i32 = 256;
/** Bytes of the packed blocks: of the left factor in the second-level cache, of the right one in the third. */
const LEFT_BYTES: usize = 262_144;
const RIGHT_BYTES: usize = 2_097_152;

const EDGE = memory.data(128, 64);

// Functions, because static data of later files moves the heap.

@inline function leftBlock(): usize {
  return (__heap_base + 63) & ~63;
}

@inline function rightBlock(): usize {
  return leftBlock() + LEFT_BYTES;
}

/** Where memory is free for matrices. */
export function freeMemory(): usize {
  return rightBlock() + RIGHT_BYTES;
}

@inline function runTile<T>(a: usize, b: usize, k: i32, alpha: T, c: usize, step: usize): void {
  if (sizeof<T>() == 4) tile32(a, b, k, <f32>alpha, c, step);
  else tile64(a, b, k, <f64>alpha, c, step);
}

/** A tile that does not fit: computed aside, its live part added. */
@inline function edgeTile<T>(a: usize, b: usize, k: i32, alpha: T, c: usize, step: usize, rows: i32, columns: i32): void {
  memory.fill(EDGE, 0, 128);
  runTile<T>(a, b, k, alpha, EDGE, 32);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = c + <usize>i * step + <usize>j * sizeof<T>();
      store<T>(at, load<T>(at) + load<T>(EDGE + <usize>i * 32 + <usize>j * sizeof<T>()));
    }
  }
}

/** Packed blocks m x k and k x n into c; tiles that lie above the diagonal `column = row + diagonal` are left out. */
@inline function multiplyPacked<T>(m: i32, n: i32, k: i32, alpha: T, c: usize, step: usize, diagonal: i32): void {
  const width = tileColumns<T>();
  const aBytes = <usize>(k * TILE_ROWS) * sizeof<T>();
  const bBytes = <usize>(k * width) * sizeof<T>();
  for (let j = 0, b = rightBlock(); j < n; j += width, b += bBytes) {
    for (let i = 0, a = leftBlock(); i < m; i += TILE_ROWS, a += aBytes) {
      if (j > i + TILE_ROWS - 1 + diagonal) continue;
      const at = c + <usize>i * step + <usize>j * sizeof<T>();
      if (i + TILE_ROWS <= m && j + width <= n) runTile<T>(a, b, k, alpha, at, step);
      else edgeTile<T>(a, b, k, alpha, at, step, min(TILE_ROWS, m - i), min(width, n - j));
    }
  }
}

/**
 * c += alpha op(a) op(b), c m x n, `*Step`: bytes from row to row; `lower`: only where column <= row has to be right.
 * `*Across`: the factor is stored transposed (a: k x m, b: n x k).
 */
@inline function multiply<T>(
  m: i32, n: i32, k: i32, alpha: T, a: usize, aStep: usize, aAcross: bool, b: usize, bStep: usize, bAcross: bool, c: usize, cStep: usize, lower: bool,
): void {
  const width = tileColumns<T>();
  const rows = <i32>(LEFT_BYTES / sizeof<T>()) / STEPS;
  const columns = <i32>(RIGHT_BYTES / sizeof<T>()) / STEPS;
  for (let j = 0; j < n; j += columns) {
    const nBlock = min(columns, n - j);
    for (let p = 0; p < k; p += STEPS) {
      const kBlock = min(STEPS, k - p);
      const from = bAcross ? b + <usize>j * bStep + <usize>p * sizeof<T>() : b + <usize>p * bStep + <usize>j * sizeof<T>();
      pack<T>(from, bStep, !bAcross, nBlock, width, kBlock, rightBlock());
      for (let i = lower ? j / rows * rows : 0; i < m; i += rows) {
        const mBlock = min(rows, m - i);
        const left = aAcross ? a + <usize>p * aStep + <usize>i * sizeof<T>() : a + <usize>i * aStep + <usize>p * sizeof<T>();
        pack<T>(left, aStep, aAcross, mBlock, TILE_ROWS, kBlock, leftBlock());
        const at = c + <usize>i * cStep + <usize>j * sizeof<T>();
        multiplyPacked<T>(mBlock, nBlock, kBlock, alpha, at, cStep, lower ? i - j : i32.MAX_VALUE >> 1);
      }
    }
  }
}

/** As `multiply`; in f32. */
export function addProduct32(
  m: i32, n: i32, k: i32, alpha: f32, a: usize, aStep: usize, aAcross: bool, b: usize, bStep: usize, bAcross: bool, c: usize, cStep: usize, lower: bool,
): void {
  multiply<f32>(m, n, k, alpha, a, aStep, aAcross, b, bStep, bAcross, c, cStep, lower);
}

/** As `multiply`; in f64. */
export function addProduct64(
  m: i32, n: i32, k: i32, alpha: f64, a: usize, aStep: usize, aAcross: bool, b: usize, bStep: usize, bAcross: bool, c: usize, cStep: usize, lower: bool,
): void {
  multiply<f64>(m, n, k, alpha, a, aStep, aAcross, b, bStep, bAcross, c, cStep, lower);
}
