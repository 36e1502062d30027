/** Sums over the softmax of a row and of what it was before a change, in fp64; and magnitudes weighed by a number. Rows may begin anywhere. */
import { bytesOf } from './vectors';

@inline function pairAt<T>(a: usize): v128 {
  return sizeof<T>() == 4 ? f64x2.promote_low_f32x4(v128.load64_zero(a)) : v128.load(a);
}

/** A single element; the other lane is zero. */
@inline function oneAt<T>(a: usize): v128 {
  return f64x2.replace_lane(f64x2.splat(0), 0, <f64>load<T>(a));
}

/** e^x for x <= 0, within 2 ulps; below -708 it is 0. Cody-Waite reduction, the Taylor series up to r^13 on |r| <= ln 2 / 2. */
@inline function exponential(x: v128): v128 {
  const held = f64x2.max(x, f64x2.splat(-708));
  const n = f64x2.nearest(f64x2.mul(held, f64x2.splat(1.4426950408889634)));
  const upper = f64x2.sub(held, f64x2.mul(n, f64x2.splat(6.93147180369123816490e-1)));
  const r = f64x2.sub(upper, f64x2.mul(n, f64x2.splat(1.90821492927058770002e-10)));
  let p = f64x2.splat(1.6059043836821613e-10);
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.08767569878681e-9));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.505210838544172e-8));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.755731922398589e-7));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.7557319223985893e-6));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(2.48015873015873e-5));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.984126984126984e-4));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.3888888888888889e-3));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(8.333333333333333e-3));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(4.1666666666666664e-2));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1.6666666666666666e-1));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(0.5));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1));
  p = f64x2.add(f64x2.mul(p, r), f64x2.splat(1));
  const exponent = i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(n));
  const power = i64x2.shl(i64x2.add(exponent, i64x2.splat(1023)), 52);
  return v128.and(f64x2.mul(p, power), f64x2.ge(x, f64x2.splat(-708)));
}

@inline function largestSum<T>(v: usize, base: usize, count: i32): f64 {
  let largest = -Infinity;
  for (let i = 0; i < count; i++) {
    const at = <usize>i * sizeof<T>();
    largest = max<f64>(largest, <f64>load<T>(base + at) + <f64>load<T>(v + at));
  }
  return largest;
}

@inline function largest<T>(a: usize, count: i32): f64 {
  let found = -Infinity;
  for (let i = 0; i < count; i++) found = max<f64>(found, <f64>load<T>(a + <usize>i * sizeof<T>()));
  return found;
}

/**
 * KL(p || q), p = softmax(base + v), q = softmax(base):
 * sum of p_i (x_i - y_i) - (max x + log sum e^(x - max x)) + (max y + log sum e^(y - max y)).
 */
@inline function softmaxDivergence<T>(v: usize, base: usize, count: i32): f64 {
  const top = largestSum<T>(v, base, count);
  const topOfBase = largest<T>(base, count);
  const tops = f64x2.splat(top);
  const topsOfBase = f64x2.splat(topOfBase);
  let all = f64x2.splat(0);
  let allOfBase = f64x2.splat(0);
  let change = f64x2.splat(0);
  const pairs = count & ~1;
  for (let i = 0; i < pairs; i += 2) {
    const d = pairAt<T>(v + <usize>i * sizeof<T>());
    const y = pairAt<T>(base + <usize>i * sizeof<T>());
    const p = exponential(f64x2.sub(f64x2.add(y, d), tops));
    all = f64x2.add(all, p);
    change = f64x2.add(change, f64x2.mul(p, d));
    allOfBase = f64x2.add(allOfBase, exponential(f64x2.sub(y, topsOfBase)));
  }
  if (pairs != count) {
    const first = f64x2.replace_lane(f64x2.splat(0), 0, 1);
    const d = oneAt<T>(v + <usize>pairs * sizeof<T>());
    const y = oneAt<T>(base + <usize>pairs * sizeof<T>());
    const p = f64x2.mul(first, exponential(f64x2.sub(f64x2.add(y, d), tops)));
    all = f64x2.add(all, p);
    change = f64x2.add(change, f64x2.mul(p, d));
    allOfBase = f64x2.add(allOfBase, f64x2.mul(first, exponential(f64x2.sub(y, topsOfBase))));
  }
  const sum = f64x2.extract_lane(all, 0) + f64x2.extract_lane(all, 1);
  const sumOfBase = f64x2.extract_lane(allOfBase, 0) + f64x2.extract_lane(allOfBase, 1);
  const mean = (f64x2.extract_lane(change, 0) + f64x2.extract_lane(change, 1)) / sum;
  return max<f64>(0, mean - (top - topOfBase) - (NativeMath.log(sum) - NativeMath.log(sumOfBase)));
}

@inline function weighedMagnitudes<T>(a: usize, factor: f64, out: usize, count: i32): void {
  const factors = v128.splat<T>(<T>factor);
  const bytes = bytesOf<T>(count);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, v128.mul<T>(factors, v128.abs<T>(v128.load(a + i))));
}

export function softmaxDivergence32(v: usize, base: usize, count: i32): f64 {
  return softmaxDivergence<f32>(v, base, count);
}

export function softmaxDivergence64(v: usize, base: usize, count: i32): f64 {
  return softmaxDivergence<f64>(v, base, count);
}

/** out = factor |a|; whole groups of eight are written, whatever lies behind the last element. */
export function weighedMagnitudes32(a: usize, factor: f64, out: usize, count: i32): void {
  weighedMagnitudes<f32>(a, factor, out, count);
}

export function weighedMagnitudes64(a: usize, factor: f64, out: usize, count: i32): void {
  weighedMagnitudes<f64>(a, factor, out, count);
}
