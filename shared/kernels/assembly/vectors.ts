/**
 * Access to a vector: a block of f32 (T = f32) or f64 (T = f64) numbers in natural order. What always holds:
 * - loads leave zeros behind the last element, up to a multiple of eight, and every primitive that writes a vector maps zeros to zeros there;
 *   so loops over vectors run over whole groups of eight, and only what counts elements looks at the exact count;
 * - numbers are handed in as f64 and rounded to T once, before the arithmetic.
 */
import { demote } from './lanes';

/** Bytes of the whole groups of eight that hold `count` elements: 32 or 64 bytes each. */
@inline export function bytesOf<T>(count: i32): usize {
  return <usize>((count + 7) & ~7) * sizeof<T>();
}

/** The sign bit of every lane. */
@inline export function signs<T>(): v128 {
  return v128.neg<T>(v128.splat<T>(0));
}

/** The key of an element: the bits of its magnitude as f32, 31 of them. They order magnitudes. */
@inline export function keyAt<T>(a: usize): i32 {
  if (sizeof<T>() == 4) return load<i32>(a) & 0x7fffffff;
  return reinterpret<i32>(<f32>load<f64>(a)) & 0x7fffffff;
}

/** The keys of four elements. */
@inline export function fourKeys<T>(a: usize): v128 {
  const v = sizeof<T>() == 4 ? v128.load(a) : demote(v128.load(a), v128.load(a, 16));
  return v128.and(v, i32x4.splat(0x7fffffff));
}

/** Zeroes those of four elements whose lane of `kept` (four 32-bit masks) is zero. */
@inline export function keepFour<T>(a: usize, kept: v128): void {
  if (sizeof<T>() == 4) {
    v128.store(a, v128.and(v128.load(a), kept));
  } else {
    v128.store(a, v128.and(v128.load(a), v128.shuffle<i32>(kept, kept, 0, 0, 1, 1)));
    v128.store(a, v128.and(v128.load(a, 16), v128.shuffle<i32>(kept, kept, 2, 2, 3, 3)), 16);
  }
}

/** Where vector `index` lies, in a list of u32 pointers. */
@inline export function vectorAt(ptrs: usize, index: i32): usize {
  return load<u32>(ptrs + (<usize>index << 2));
}

/** Its weight, in a list of f64. */
@inline export function weightAt<T>(weights: usize, index: i32): v128 {
  return v128.splat<T>(<T>load<f64>(weights + (<usize>index << 3)));
}

/** A byte of eight elements' masks, four of them a v128 (f32) or two (f64; `m2` and `m3` serve only there). */
@inline export function eightBits<T>(m0: v128, m1: v128, m2: v128, m3: v128): i32 {
  if (sizeof<T>() == 4) return i32x4.bitmask(m0) | (i32x4.bitmask(m1) << 4);
  return i64x2.bitmask(m0) | (i64x2.bitmask(m1) << 2) | (i64x2.bitmask(m2) << 4) | (i64x2.bitmask(m3) << 6);
}
