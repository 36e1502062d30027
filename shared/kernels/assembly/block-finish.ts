/** Vectors into tensors: the merged vector is scaled, added to the base, rounded to the dtype that is written, and watched for infinities. */
import { demote, F16, F32, high, infinityBits, low, roundBf16, roundHalf } from './lanes';
import { rounded, roundedTo } from './rounding';
import { bytesOf } from './vectors';

@inline function roundBlock<D>(a: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 32) {
    v128.store(a + i, rounded<D>(v128.load(a + i)));
    v128.store(a + i, rounded<D>(v128.load(a + i, 16)), 16);
  }
}

/** In place, to the nearest value of F16 or BF16, ties to even; F32 leaves everything. */
export function round32(a: usize, dtype: i32, count: i32): void {
  if (dtype == F32) return;
  if (dtype == F16) roundBlock<i16>(a, bytesOf<f32>(count));
  else roundBlock<u16>(a, bytesOf<f32>(count));
}

@inline function storeEight<O>(to: usize, lower: v128, upper: v128): void {
  if (isFloat<O>()) {
    v128.store(to, lower);
    v128.store(to, upper, 16);
  } else if (isSigned<O>()) {
    v128.store(to, i16x8.narrow_i32x4_u(roundHalf(lower), roundHalf(upper)));
  } else {
    v128.store(to, i16x8.narrow_i32x4_s(i32x4.shr_s(roundBf16(lower), 16), i32x4.shr_s(roundBf16(upper), 16)));
  }
}

/** base + lambda v; where lambda v is zero, the base's bits. */
@inline function finishLanes<T>(v: usize, base: usize, lambda: v128, scales: bool, plusBase: bool, rounding: i32): v128 {
  let x = v128.load(v);
  if (scales) x = v128.mul<T>(lambda, x);
  if (sizeof<T>() == 4) x = roundedTo(x, rounding);
  if (!plusBase) return x;
  const b = v128.load(base);
  let sum = v128.add<T>(b, x);
  if (sizeof<T>() == 4) sum = roundedTo(sum, rounding);
  return v128.bitselect(b, sum, v128.eq<T>(x, v128.splat<T>(0)));
}

function finishAs<T, O>(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, count: i32): i32 {
  const absolute = i32x4.splat(0x7fffffff);
  const lambdas = v128.splat<T>(<T>lambda);
  const scales = lambda != 1;
  let largest = i32x4.splat(0);
  for (let i = 0; i < count; i += 8) {
    let lower: v128;
    let upper: v128;
    if (sizeof<T>() == 4) {
      lower = finishLanes<T>(v, base, lambdas, scales, plusBase, rounding);
      upper = finishLanes<T>(v + 16, base + 16, lambdas, scales, plusBase, rounding);
    } else {
      const a = finishLanes<T>(v, base, lambdas, scales, plusBase, 0);
      const b = finishLanes<T>(v + 16, base + 16, lambdas, scales, plusBase, 0);
      lower = demote(a, b);
      const c = finishLanes<T>(v + 32, base + 32, lambdas, scales, plusBase, 0);
      const d = finishLanes<T>(v + 48, base + 48, lambdas, scales, plusBase, 0);
      upper = demote(c, d);
    }
    storeEight<O>(out, lower, upper);
    lower = v128.and(lower, absolute);
    upper = v128.and(upper, absolute);
    if (count - i < 8) {
      const rest = i32x4.splat(count - i);
      lower = v128.and(lower, i32x4.lt_s(i32x4(0, 1, 2, 3), rest));
      upper = v128.and(upper, i32x4.lt_s(i32x4(4, 5, 6, 7), rest));
    }
    largest = i32x4.max_s(largest, i32x4.max_s(lower, upper));
    out += 8 * sizeof<O>();
    v += 8 * sizeof<T>();
    base += 8 * sizeof<T>();
  }
  return v128.any_true(i32x4.ge_s(largest, i32x4.splat(infinityBits<O>()))) ? 1 : 0;
}

@inline function finish<T>(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, dtype: i32, count: i32): i32 {
  if (dtype == F32) return finishAs<T, f32>(v, base, plusBase, lambda, rounding, out, count);
  if (dtype == F16) return finishAs<T, i16>(v, base, plusBase, lambda, rounding, out, count);
  return finishAs<T, u16>(v, base, plusBase, lambda, rounding, out, count);
}

/**
 * out = narrow(base + lambda v), or narrow(lambda v) without `plusBase`. Where lambda v is zero, out has the base's bits, the sign of a zero included.
 *
 * @param lambda not multiplied by when exactly 1
 * @param rounding dtype to round to after the product and after the sum; 0 rounds nothing
 * @returns 1 if a result is NaN or infinite, or rounds to infinity in the dtype; NaN bits are then unspecified
 */
export function finish32(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, dtype: i32, count: i32): i32 {
  return finish<f32>(v, base, plusBase, lambda, rounding, out, dtype, count);
}

/** As finish32 in f64, rounded to f32 once and then to the dtype; `rounding` has no meaning here. */
export function finish64(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, dtype: i32, count: i32): i32 {
  return finish<f64>(v, base, plusBase, lambda, rounding, out, dtype, count);
}
