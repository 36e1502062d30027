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
  if (epsilon > 0) den = v128.pmax<T>(den, v128.splat<T>(<T>epsilon));
  den = rounded<D>(den);
  return rounded<D>(v128.div<T>(num, v128.bitselect(v128.splat<T>(1), den, v128.eq<T>(den, zero))));
}

@inline function merged<T, D>(num: v128, den: v128, largest: v128, flip: v128, flags: i32, epsilon: f64): v128 {
  if ((flags & MAXIMUM) != 0) return v128.add<T>(v128.xor(largest, flip), v128.splat<T>(0));
  num = rounded<D>(num);
  return (flags & NORMALIZE) != 0 ? quotient<T, D>(num, den, epsilon) : num;
}

/** Any number of inputs, each read twice. */
@inline function consensusOfMany<T, D>(
  ptrs: usize, weights: usize, n: i32, out: usize, count: i32, flags: i32, epsilon: f64, zeroes: v128,
): void {
  const bytes = bytesOf<T>(count);
  const zero = v128.splat<T>(0);
  const one = v128.splat<T>(1);
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
    v128.store(out + i, merged<T, D>(num0, den0, num0, flip0, flags, epsilon));
    v128.store(out + i, merged<T, D>(num1, den1, num1, flip1, flags, epsilon), 16);
  }
}

/** Two, three or four inputs (`n` is a constant where this is inlined): every input is read, weighted and rounded once. */
@inline function consensusOfFew<T, D>(
  n: i32, ptrs: usize, weights: usize, out: usize, count: i32, flags: i32, epsilon: f64, zeroes: v128,
): void {
  const bytes = bytesOf<T>(count);
  const zero = v128.splat<T>(0);
  const one = v128.splat<T>(1);
  const unweighted = (flags & ELECT_UNWEIGHTED) != 0;
  const counts = (flags & COUNT) != 0;
  const maximum = (flags & MAXIMUM) != 0;
  const p0 = vectorAt(ptrs, 0);
  const p1 = vectorAt(ptrs, 1);
  const p2 = n > 2 ? vectorAt(ptrs, 2) : 0;
  const p3 = n > 3 ? vectorAt(ptrs, 3) : 0;
  const w0 = weightAt<T>(weights, 0);
  const w1 = weightAt<T>(weights, 1);
  const w2 = n > 2 ? weightAt<T>(weights, 2) : zero;
  const w3 = n > 3 ? weightAt<T>(weights, 3) : zero;
  const d0 = counts ? one : w0;
  const d1 = counts ? one : w1;
  const d2 = counts ? one : w2;
  const d3 = counts ? one : w3;
  for (let i: usize = 0; i < bytes; i += 16) {
    const v0 = v128.load(p0 + i);
    const v1 = v128.load(p1 + i);
    const v2 = n > 2 ? v128.load(p2 + i) : zero;
    const v3 = n > 3 ? v128.load(p3 + i) : zero;
    const t0 = rounded<D>(v128.mul<T>(w0, v0));
    const t1 = rounded<D>(v128.mul<T>(w1, v1));
    const t2 = n > 2 ? rounded<D>(v128.mul<T>(w2, v2)) : zero;
    const t3 = n > 3 ? rounded<D>(v128.mul<T>(w3, v3)) : zero;
    const e0 = unweighted ? v0 : t0;
    const e1 = unweighted ? v1 : t1;
    const e2 = unweighted ? v2 : t2;
    const e3 = unweighted ? v3 : t3;
    let sum = v128.add<T>(e0, e1);
    if (n > 2) sum = v128.add<T>(sum, e2);
    if (n > 3) sum = v128.add<T>(sum, e3);
    const flip = negative<T>(sum, zeroes);
    const k0 = v128.gt<T>(v128.xor(e0, flip), zero);
    const k1 = v128.gt<T>(v128.xor(e1, flip), zero);
    const k2 = n > 2 ? v128.gt<T>(v128.xor(e2, flip), zero) : zero;
    const k3 = n > 3 ? v128.gt<T>(v128.xor(e3, flip), zero) : zero;
    let largest = zero;
    if (maximum) {
      largest = v128.pmax<T>(v128.and(k0, v128.abs<T>(v0)), v128.and(k1, v128.abs<T>(v1)));
      if (n > 2) largest = v128.pmax<T>(largest, v128.and(k2, v128.abs<T>(v2)));
      if (n > 3) largest = v128.pmax<T>(largest, v128.and(k3, v128.abs<T>(v3)));
    }
    let num = v128.add<T>(v128.add<T>(zero, v128.and(k0, t0)), v128.and(k1, t1));
    if (n > 2) num = v128.add<T>(num, v128.and(k2, t2));
    if (n > 3) num = v128.add<T>(num, v128.and(k3, t3));
    let den = v128.add<T>(v128.and(k0, d0), v128.and(k1, d1));
    if (n > 2) den = v128.add<T>(den, v128.and(k2, d2));
    if (n > 3) den = v128.add<T>(den, v128.and(k3, d3));
    v128.store(out + i, merged<T, D>(num, den, largest, flip, flags, epsilon));
  }
}

function consensus<T, D>(
  ptrs: usize, weights: usize, n: i32, out: usize, count: i32, flags: i32, epsilon: f64, majority: f64,
): void {
  const zeroes = (flags & ZERO_BY_MAJORITY) != 0 && majority < 0 ? signs<T>() : v128.splat<T>(0);
  if (n == 2) consensusOfFew<T, D>(2, ptrs, weights, out, count, flags, epsilon, zeroes);
  else if (n == 3) consensusOfFew<T, D>(3, ptrs, weights, out, count, flags, epsilon, zeroes);
  else if (n == 4) consensusOfFew<T, D>(4, ptrs, weights, out, count, flags, epsilon, zeroes);
  else consensusOfMany<T, D>(ptrs, weights, n, out, count, flags, epsilon, zeroes);
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
