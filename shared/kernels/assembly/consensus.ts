/** Sign consensus across n vectors (TIES, arXiv 2306.01708): elect a sign for every element, merge those that agree with it. */
import { F16, F32 } from './lanes';
import { rounded } from './rounding';
import { bytesOf, signs, vectorAt, weightAt } from './vectors';

const ELECT_UNWEIGHTED: i32 = 1;
const ZERO_BY_MAJORITY: i32 = 2;
const COUNT: i32 = 4;
const NORMALIZE: i32 = 8;
const MAXIMUM: i32 = 16;

/** The sign bit where the elected sign is negative. `zeroes`: the sign bit if a sum of zero elects it, else zero. */
@inline function negative<T>(sum: v128, zeroes: v128): v128 {
  const zero = v128.splat<T>(0);
  return v128.or(v128.and(v128.lt<T>(sum, zero), signs<T>()), v128.and(v128.eq<T>(sum, zero), zeroes));
}

@inline function quotient<T, D>(num: v128, den: v128, epsilon: f64): v128 {
  const zero = v128.splat<T>(0);
  if (epsilon > 0) den = v128.max<T>(den, v128.splat<T>(<T>epsilon));
  den = rounded<D>(den);
  return rounded<D>(v128.div<T>(num, v128.bitselect(v128.splat<T>(1), den, v128.eq<T>(den, zero))));
}

function consensus<T, D>(
  ptrs: usize, weights: usize, n: i32, out: usize, count: i32, flags: i32, epsilon: f64, majority: f64,
): void {
  const bytes = bytesOf<T>(count);
  const zero = v128.splat<T>(0);
  const one = v128.splat<T>(1);
  const zeroes = (flags & ZERO_BY_MAJORITY) != 0 && majority < 0 ? signs<T>() : zero;
  const unweighted = (flags & ELECT_UNWEIGHTED) != 0;
  const counts = (flags & COUNT) != 0;
  const maximum = (flags & MAXIMUM) != 0;
  for (let i: usize = 0; i < bytes; i += 32) {
    let s0 = zero;
    let s1 = zero;
    for (let j = 0; j < n; j++) {
      const v = vectorAt(ptrs, j) + i;
      let t0 = v128.load(v);
      let t1 = v128.load(v, 16);
      if (!unweighted) {
        const w = weightAt<T>(weights, j);
        t0 = rounded<D>(v128.mul<T>(w, t0));
        t1 = rounded<D>(v128.mul<T>(w, t1));
      }
      s0 = v128.add<T>(s0, t0);
      s1 = v128.add<T>(s1, t1);
    }
    const flip0 = negative<T>(s0, zeroes);
    const flip1 = negative<T>(s1, zeroes);
    let num0 = zero;
    let num1 = zero;
    let den0 = zero;
    let den1 = zero;
    for (let j = 0; j < n; j++) {
      const v = vectorAt(ptrs, j) + i;
      const v0 = v128.load(v);
      const v1 = v128.load(v, 16);
      const w = weightAt<T>(weights, j);
      const t0 = rounded<D>(v128.mul<T>(w, v0));
      const t1 = rounded<D>(v128.mul<T>(w, v1));
      const kept0 = v128.gt<T>(v128.xor(unweighted ? v0 : t0, flip0), zero);
      const kept1 = v128.gt<T>(v128.xor(unweighted ? v1 : t1, flip1), zero);
      if (maximum) {
        num0 = v128.pmax<T>(num0, v128.and(kept0, v128.abs<T>(v0)));
        num1 = v128.pmax<T>(num1, v128.and(kept1, v128.abs<T>(v1)));
      } else {
        num0 = v128.add<T>(num0, v128.and(kept0, t0));
        num1 = v128.add<T>(num1, v128.and(kept1, t1));
        const d = counts ? one : w;
        den0 = v128.add<T>(den0, v128.and(kept0, d));
        den1 = v128.add<T>(den1, v128.and(kept1, d));
      }
    }
    if (maximum) {
      num0 = v128.add<T>(v128.xor(num0, flip0), zero);
      num1 = v128.add<T>(v128.xor(num1, flip1), zero);
    } else {
      num0 = rounded<D>(num0);
      num1 = rounded<D>(num1);
      if ((flags & NORMALIZE) != 0) {
        num0 = quotient<T, D>(num0, den0, epsilon);
        num1 = quotient<T, D>(num1, den1, epsilon);
      }
    }
    v128.store(out + i, num0);
    v128.store(out + i, num1, 16);
  }
}

/**
 * Terms t_i = weight_i v_i; the elected sign is + where S = sum of t_i >= 0 (zero of either sign), else -; kept are the inputs whose t_i has the elected sign,
 * never zeros. num = sum of the kept t_i, den = sum of their weights. out = num / den with den = 0 taken as 1 (NORMALIZE), or num.
 *
 * @param flags 1 ELECT_UNWEIGHTED: v_i in place of t_i in the election and in "has the elected sign"; 2 ZERO_BY_MAJORITY: S = 0 elects the sign of `majority`;
 *   4 COUNT: den is the number of the kept; 8 NORMALIZE; 16 MAXIMUM: out = elected sign x the largest |v_i| of the kept (+0 if none), nothing else
 * @param rounding dtype that each t_i, num, den and the quotient are rounded to, 0 for none. S is not: sums of such numbers never round to zero
 * @param epsilon above 0: den is at least that much, weighed before den is rounded
 * @param majority 1 or -1
 */
export function consensus32(
  ptrs: usize, weights: usize, n: i32, out: usize, count: i32, flags: i32, rounding: i32, epsilon: f64, majority: f64,
): void {
  if (rounding == F32) consensus<f32, f32>(ptrs, weights, n, out, count, flags, epsilon, majority);
  else if (rounding == F16) consensus<f32, i16>(ptrs, weights, n, out, count, flags, epsilon, majority);
  else consensus<f32, u16>(ptrs, weights, n, out, count, flags, epsilon, majority);
}

/** As consensus32; `rounding` has no meaning here. */
export function consensus64(
  ptrs: usize, weights: usize, n: i32, out: usize, count: i32, flags: i32, rounding: i32, epsilon: f64, majority: f64,
): void {
  consensus<f64, f32>(ptrs, weights, n, out, count, flags, epsilon, majority);
}
