/** Masks of one bit an element: bit i & 7 of byte i >> 3. Bits behind the last element, up to a whole byte, are zero for a vector with zeros there. */
import { bytesOf, eightBits } from './vectors';

@inline function maskOf<T>(a: usize, count: i32, bits: usize): void {
  const zero = v128.splat<T>(0);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 8 * sizeof<T>(), bits++) {
    const m0 = v128.ne<T>(v128.load(a), zero);
    const m1 = v128.ne<T>(v128.load(a, 16), zero);
    const m2 = sizeof<T>() == 4 ? zero : v128.ne<T>(v128.load(a, 32), zero);
    const m3 = sizeof<T>() == 4 ? zero : v128.ne<T>(v128.load(a, 48), zero);
    store<u8>(bits, <u8>eightBits<T>(m0, m1, m2, m3));
  }
}

@inline function keepWhere<T>(a: usize, bits: v128, which: v128): void {
  const set = v128.and(bits, which);
  v128.store(a, v128.and(v128.load(a), sizeof<T>() == 4 ? i32x4.eq(set, which) : i64x2.eq(set, which)));
}

@inline function applyMask<T>(a: usize, count: i32, bits: usize): void {
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 8 * sizeof<T>(), bits++) {
    if (sizeof<T>() == 4) {
      const eight = i32x4.splat(load<u8>(bits));
      keepWhere<T>(a, eight, i32x4(1, 2, 4, 8));
      keepWhere<T>(a + 16, eight, i32x4(16, 32, 64, 128));
    } else {
      const eight = i64x2.splat(load<u8>(bits));
      keepWhere<T>(a, eight, i64x2(1, 2));
      keepWhere<T>(a + 16, eight, i64x2(4, 8));
      keepWhere<T>(a + 32, eight, i64x2(16, 32));
      keepWhere<T>(a + 48, eight, i64x2(64, 128));
    }
  }
}

/** bit = element is not zero */
export function maskOf32(a: usize, count: i32, bits: usize): void {
  maskOf<f32>(a, count, bits);
}

export function maskOf64(a: usize, count: i32, bits: usize): void {
  maskOf<f64>(a, count, bits);
}

/** Zeroes (as +0) the elements whose bit is 0. */
export function applyMask32(a: usize, count: i32, bits: usize): void {
  applyMask<f32>(a, count, bits);
}

export function applyMask64(a: usize, count: i32, bits: usize): void {
  applyMask<f64>(a, count, bits);
}
