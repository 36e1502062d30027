/**
 * Sorts the n values of every element across n vectors: medians and trimmed means are then sums of some of the vectors. Compare-exchange networks,
 * in registers up to eight vectors (Knuth, The Art of Computer Programming 3, 5.3.4), merge exchange in memory beyond (5.2.2, algorithm M).
 */
import { greater, lesser, sort2, sort3, sort4, sort5, sort6, sort7, sort8 } from './sort-networks';
import { bytesOf, vectorAt } from './vectors';

/** Bytes of every vector that are sorted before the next ones: n of them stay in the first-level cache. */
const STRIP: usize = 512;

@inline function exchangeStrip<T>(a: usize, b: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 32) {
    const a0 = v128.load(a + i);
    const a1 = v128.load(a + i, 16);
    const b0 = v128.load(b + i);
    const b1 = v128.load(b + i, 16);
    v128.store(a + i, lesser<T>(a0, b0));
    v128.store(a + i, lesser<T>(a1, b1), 16);
    v128.store(b + i, greater<T>(a0, b0));
    v128.store(b + i, greater<T>(a1, b1), 16);
  }
}

/** Batcher's merge exchange for any n. */
function mergeExchange<T>(ptrs: usize, n: i32, start: usize, bytes: usize): void {
  const top = 1 << (31 - clz(n - 1));
  for (let p = top; p > 0; p >>= 1) {
    let q = top;
    let r = 0;
    let d = p;
    while (true) {
      for (let i = 0; i < n - d; i++) {
        if ((i & p) == r) exchangeStrip<T>(vectorAt(ptrs, i) + start, vectorAt(ptrs, i + d) + start, bytes);
      }
      if (q == p) break;
      d = q - p;
      q >>= 1;
      r = p;
    }
  }
}

@inline function sortAcross<T>(ptrs: usize, n: i32, count: i32): void {
  const bytes = bytesOf<T>(count);
  if (n < 2) return;
  if (n == 2) sort2<T>(ptrs, bytes);
  else if (n == 3) sort3<T>(ptrs, bytes);
  else if (n == 4) sort4<T>(ptrs, bytes);
  else if (n == 5) sort5<T>(ptrs, bytes);
  else if (n == 6) sort6<T>(ptrs, bytes);
  else if (n == 7) sort7<T>(ptrs, bytes);
  else if (n == 8) sort8<T>(ptrs, bytes);
  else for (let i: usize = 0; i < bytes; i += STRIP) mergeExchange<T>(ptrs, n, i, min(STRIP, bytes - i));
}

/** In place: afterwards vector 0 has the smallest value of every element, vector n - 1 the largest. Zeros of either sign are equal. */
export function sortAcross32(ptrs: usize, n: i32, count: i32): void {
  sortAcross<f32>(ptrs, n, count);
}

export function sortAcross64(ptrs: usize, n: i32, count: i32): void {
  sortAcross<f64>(ptrs, n, count);
}
