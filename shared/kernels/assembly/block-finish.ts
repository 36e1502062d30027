/** Vectors into tensors: the merged vector is scaled, added to the base, rounded to the dtype that is written, and watched for infinities. */
import { demote, F16, F32, infinityBits, roundHalf } from './lanes';
import { rounded, roundedTo } from './rounding';
import { bytesOf, signs } from './vectors';

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

/** Finite numbers to bf16 in the upper halves; a NaN may become any number, which `finish` has told by then. */
@inline function finiteBf16(v: v128): v128 {
  return i32x4.add(i32x4.add(v, i32x4.splat(0x7fff)), v128.and(i32x4.shr_u(v, 16), i32x4.splat(1)));
}

@inline function storeEight<O>(to: usize, lower: v128, upper: v128): void {
  if (isFloat<O>()) {
    v128.store(to, lower);
    v128.store(to, upper, 16);
  } else if (isSigned<O>()) {
    v128.store(to, i16x8.narrow_i32x4_u(roundHalf(lower), roundHalf(upper)));
  } else {
    v128.store(to, i16x8.narrow_i32x4_s(i32x4.shr_s(finiteBf16(lower), 16), i32x4.shr_s(finiteBf16(upper), 16)));
  }
}

/** base + lambda v; where lambda v is zero, the base's bits: -0 is added there, which is neutral for zeros of either sign. */
@inline function finishLanes<T>(v: usize, base: usize, lambda: v128, plusBase: bool, rounds: bool, rounding: i32): v128 {
  let x = v128.mul<T>(lambda, v128.load(v));
  if (rounds) x = roundedTo(x, rounding);
  if (!plusBase) return x;
  const b = v128.load(base);
  const zero = v128.eq<T>(x, v128.splat<T>(0));
  const sum = v128.add<T>(b, v128.or(x, v128.and(zero, signs<T>())));
  return rounds ? v128.bitselect(b, roundedTo(sum, rounding), zero) : sum;
}

@inline function finishBlock<T, O>(v: usize, base: usize, plusBase: bool, lambda: f64, rounds: bool, rounding: i32, out: usize, count: i32): i32 {
  const absolute = i32x4.splat(0x7fffffff);
  const lambdas = v128.splat<T>(<T>lambda);
  let largest = i32x4.splat(0);
  for (let i = 0; i < count; i += 8) {
    let lower = finishLanes<T>(v, base, lambdas, plusBase, rounds, rounding);
    let upper = finishLanes<T>(v + 16, base + 16, lambdas, plusBase, rounds, rounding);
    if (sizeof<T>() == 8) {
      lower = demote(lower, upper);
      upper = demote(
        finishLanes<T>(v + 32, base + 32, lambdas, plusBase, rounds, rounding),
        finishLanes<T>(v + 48, base + 48, lambdas, plusBase, rounds, rounding),
      );
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

function finishAs<T, O>(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, count: i32): i32 {
  if (sizeof<T>() == 8 || rounding == F32) {
    if (plusBase) return finishBlock<T, O>(v, base, true, lambda, false, F32, out, count);
    return finishBlock<T, O>(v, base, false, lambda, false, F32, out, count);
  }
  if (plusBase) return finishBlock<T, O>(v, base, true, lambda, true, rounding, out, count);
  return finishBlock<T, O>(v, base, false, lambda, true, rounding, out, count);
}

@inline function finish<T>(v: usize, base: usize, plusBase: bool, lambda: f64, rounding: i32, out: usize, dtype: i32, count: i32): i32 {
  if (dtype == F32) return finishAs<T, f32>(v, base, plusBase, lambda, rounding, out, count);
  if (dtype == F16) return finishAs<T, i16>(v, base, plusBase, lambda, rounding, out, count);
  return finishAs<T, u16>(v, base, plusBase, lambda, rounding, out, count);
}

/**
 * out = narrow(base + lambda v), or narrow(lambda v) without `plusBase`. Where lambda v is zero, out has the base's bits, the sign of a zero included.
 *
 * @param lambda 1 changes nothing
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
