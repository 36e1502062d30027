/**
 * Masks of single inputs against a merged vector: consensus and TALL masks (arXiv 2405.07813), the unified vector and masks of EMR-Merging
 * (arXiv 2405.17461).
 */
import { bytesOf, eightBits, signs, vectorAt } from './vectors';

/** Lanes where |v| > lambda |merged - v|. */
@inline function beyond<T>(v: v128, merged: v128, lambda: v128): v128 {
  return v128.gt<T>(v128.abs<T>(v), v128.mul<T>(lambda, v128.abs<T>(v128.sub<T>(merged, v))));
}

@inline function consensusMask<T>(ptrs: usize, merged: usize, n: i32, count: i32, lambda: f64, k: i32): void {
  const bytes = bytesOf<T>(count);
  const lambdas = v128.splat<T>(<T>lambda);
  const one = v128.splat<T>(1);
  const needed = v128.splat<T>(<T>k);
  for (let i: usize = 0; i < bytes; i += 16) {
    const whole = v128.load(merged + i);
    let votes = v128.splat<T>(0);
    for (let j = 0; j < n; j++) {
      votes = v128.add<T>(votes, v128.and(one, beyond<T>(v128.load(vectorAt(ptrs, j) + i), whole, lambdas)));
    }
    v128.store(merged + i, v128.and(whole, v128.ge<T>(votes, needed)));
  }
}

/** Bits of a comparison of two vectors: beyond (with lambda), or same sign. */
@inline function compare<T>(a: usize, b: usize, lambda: v128, sameSign: bool): v128 {
  const x = v128.load(a);
  const y = v128.load(b);
  if (!sameSign) return beyond<T>(x, y, lambda);
  const zero = v128.splat<T>(0);
  return v128.or(
    v128.and(v128.gt<T>(x, zero), v128.gt<T>(y, zero)),
    v128.and(v128.lt<T>(x, zero), v128.lt<T>(y, zero)),
  );
}

@inline function bitsOf<T>(a: usize, b: usize, count: i32, lambda: f64, bits: usize, sameSign: bool): void {
  const lambdas = v128.splat<T>(<T>lambda);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 8 * sizeof<T>(), b += 8 * sizeof<T>(), bits++) {
    const m0 = compare<T>(a, b, lambdas, sameSign);
    const m1 = compare<T>(a + 16, b + 16, lambdas, sameSign);
    const m2 = sizeof<T>() == 4 ? m0 : compare<T>(a + 32, b + 32, lambdas, sameSign);
    const m3 = sizeof<T>() == 4 ? m0 : compare<T>(a + 48, b + 48, lambdas, sameSign);
    store<u8>(bits, <u8>eightBits<T>(m0, m1, m2, m3));
  }
}

@inline function unify<T>(ptrs: usize, n: i32, out: usize, count: i32): void {
  const bytes = bytesOf<T>(count);
  const zero = v128.splat<T>(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    let sum = v128.load(vectorAt(ptrs, 0) + i);
    for (let j = 1; j < n; j++) sum = v128.add<T>(sum, v128.load(vectorAt(ptrs, j) + i));
    const flip = v128.andnot(signs<T>(), v128.gt<T>(sum, zero));
    let largest = zero;
    for (let j = 0; j < n; j++) largest = v128.pmax<T>(largest, v128.xor(v128.load(vectorAt(ptrs, j) + i), flip));
    v128.store(out + i, v128.add<T>(v128.xor(largest, flip), zero));
  }
}

/** merged stays where at least k inputs have |v_i| > lambda |merged - v_i|, and becomes +0 elsewhere. In place. */
export function consensusMask32(ptrs: usize, merged: usize, n: i32, count: i32, lambda: f64, k: i32): void {
  consensusMask<f32>(ptrs, merged, n, count, lambda, k);
}

export function consensusMask64(ptrs: usize, merged: usize, n: i32, count: i32, lambda: f64, k: i32): void {
  consensusMask<f64>(ptrs, merged, n, count, lambda, k);
}

/** bit = |v| > lambda |merged - v| */
export function maskBeyond32(v: usize, merged: usize, count: i32, lambda: f64, bits: usize): void {
  bitsOf<f32>(v, merged, count, lambda, bits, false);
}

export function maskBeyond64(v: usize, merged: usize, count: i32, lambda: f64, bits: usize): void {
  bitsOf<f64>(v, merged, count, lambda, bits, false);
}

/** out = sign of the sum (not above zero: negative) x the largest |v_i| of those with that sign; +0 if there are none. */
export function unify32(ptrs: usize, n: i32, out: usize, count: i32): void {
  unify<f32>(ptrs, n, out, count);
}

export function unify64(ptrs: usize, n: i32, out: usize, count: i32): void {
  unify<f64>(ptrs, n, out, count);
}

/** bit = v and unified have the same sign, neither being zero (v x unified > 0 without underflow) */
export function agreeMask32(v: usize, unified: usize, count: i32, bits: usize): void {
  bitsOf<f32>(v, unified, count, 0, bits, true);
}

export function agreeMask64(v: usize, unified: usize, count: i32, bits: usize): void {
  bitsOf<f64>(v, unified, count, 0, bits, true);
}

/** Sum of the inputs divided by the number of those that are not zero, element by element (Localize-and-Stitch, arXiv 2408.13656). */
@inline function meanOfKept<T>(ptrs: usize, n: i32, out: usize, count: i32): void {
  const bytes = bytesOf<T>(count);
  const zero = v128.splat<T>(0);
  const one = v128.splat<T>(1);
  for (let i: usize = 0; i < bytes; i += 16) {
    let sum = zero;
    let kept = zero;
    for (let j = 0; j < n; j++) {
      const v = v128.load(vectorAt(ptrs, j) + i);
      sum = v128.add<T>(sum, v);
      kept = v128.add<T>(kept, v128.and(one, v128.ne<T>(v, zero)));
    }
    v128.store(out + i, v128.div<T>(sum, v128.max<T>(kept, one)));
  }
}

export function meanOfKept32(ptrs: usize, n: i32, out: usize, count: i32): void {
  meanOfKept<f32>(ptrs, n, out, count);
}

export function meanOfKept64(ptrs: usize, n: i32, out: usize, count: i32): void {
  meanOfKept<f64>(ptrs, n, out, count);
}
