/**
 * Element by element across n vectors. `ptrs`: u32[n], where the vectors lie; `weights`: f64[n]. Sums go in index order; `out` may not be an input.
 */
import { bytesOf, signs, vectorAt, weightAt } from './vectors';

@inline function weightedSum<T>(ptrs: usize, weights: usize, n: i32, out: usize, count: i32): void {
  const bytes = bytesOf<T>(count);
  for (let i: usize = 0; i < bytes; i += 32) {
    const w = weightAt<T>(weights, 0);
    const v = vectorAt(ptrs, 0) + i;
    let lower = v128.mul<T>(w, v128.load(v));
    let upper = v128.mul<T>(w, v128.load(v, 16));
    for (let j = 1; j < n; j++) {
      const w = weightAt<T>(weights, j);
      const v = vectorAt(ptrs, j) + i;
      lower = v128.add<T>(lower, v128.mul<T>(w, v128.load(v)));
      upper = v128.add<T>(upper, v128.mul<T>(w, v128.load(v, 16)));
    }
    v128.store(out + i, lower);
    v128.store(out + i, upper, 16);
  }
}

/** -1, 0 or 1. */
@inline function signOf<T>(v: v128): v128 {
  const one = v128.or(v128.and(v, signs<T>()), v128.splat<T>(1));
  return v128.and(one, v128.ne<T>(v, v128.splat<T>(0)));
}

@inline function agreement<T>(ptrs: usize, n: i32, out: usize, count: i32, rho: f64, mean: bool): void {
  const bytes = bytesOf<T>(count);
  const all = v128.splat<T>(<T>n);
  const one = v128.splat<T>(1);
  const enough = v128.splat<T>(<T>rho);
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(vectorAt(ptrs, 0) + i);
    let sum = v;
    let votes = signOf<T>(v);
    for (let j = 1; j < n; j++) {
      const v = v128.load(vectorAt(ptrs, j) + i);
      sum = v128.add<T>(sum, v);
      votes = v128.add<T>(votes, signOf<T>(v));
    }
    const agreed = v128.div<T>(v128.abs<T>(votes), all);
    const merged = v128.mul<T>(v128.bitselect(one, agreed, v128.ge<T>(agreed, enough)), sum);
    v128.store(out + i, mean ? v128.div<T>(merged, all) : merged);
  }
}

@inline function variance<T>(ptrs: usize, n: i32, out: usize, count: i32): void {
  const bytes = bytesOf<T>(count);
  const all = v128.splat<T>(<T>n);
  for (let i: usize = 0; i < bytes; i += 16) {
    let sum = v128.load(vectorAt(ptrs, 0) + i);
    for (let j = 1; j < n; j++) sum = v128.add<T>(sum, v128.load(vectorAt(ptrs, j) + i));
    const mean = v128.div<T>(sum, all);
    let squares = v128.splat<T>(0);
    for (let j = 0; j < n; j++) {
      const off = v128.sub<T>(v128.load(vectorAt(ptrs, j) + i), mean);
      squares = v128.add<T>(squares, v128.mul<T>(off, off));
    }
    v128.store(out + i, v128.div<T>(squares, all));
  }
}

@inline function nearswap<T>(a: usize, b: usize, out: usize, count: i32, t: f64): void {
  const bytes = bytesOf<T>(count);
  const ts = v128.splat<T>(<T>t);
  const least = v128.splat<T>(<T>1e-6);
  const zero = v128.splat<T>(0);
  const one = v128.splat<T>(1);
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(a + i);
    const y = v128.load(b + i);
    const apart = v128.pmax<T>(v128.abs<T>(v128.sub<T>(x, y)), least);
    const q = v128.pmin<T>(v128.pmax<T>(v128.div<T>(ts, apart), zero), one);
    v128.store(out + i, v128.add<T>(v128.mul<T>(q, y), v128.mul<T>(v128.sub<T>(one, q), x)));
  }
}

/** out = sum of weight_i v_i */
export function weightedSum32(ptrs: usize, weights: usize, n: i32, out: usize, count: i32): void {
  weightedSum<f32>(ptrs, weights, n, out, count);
}

export function weightedSum64(ptrs: usize, weights: usize, n: i32, out: usize, count: i32): void {
  weightedSum<f64>(ptrs, weights, n, out, count);
}

/**
 * Gradient agreement (FedGMA, arXiv 2201.11986): A = |sum of signs| / n; out = (A >= rho ? 1 : A) x sum of v_i, divided by n if `mean`.
 *
 * @param rho in [0, 1]
 */
export function agreement32(ptrs: usize, n: i32, out: usize, count: i32, rho: f64, mean: bool): void {
  agreement<f32>(ptrs, n, out, count, rho, mean);
}

export function agreement64(ptrs: usize, n: i32, out: usize, count: i32, rho: f64, mean: bool): void {
  agreement<f64>(ptrs, n, out, count, rho, mean);
}

/** Population variance over the vectors: the mean of (v_i - mean)^2. */
export function variance32(ptrs: usize, n: i32, out: usize, count: i32): void {
  variance<f32>(ptrs, n, out, count);
}

export function variance64(ptrs: usize, n: i32, out: usize, count: i32): void {
  variance<f64>(ptrs, n, out, count);
}

/** q = t / max(|a - b|, 1e-6) held in [0, 1]; out = q b + (1 - q) a, `a` being the base. */
export function nearswap32(a: usize, b: usize, out: usize, count: i32, t: f64): void {
  nearswap<f32>(a, b, out, count, t);
}

export function nearswap64(a: usize, b: usize, out: usize, count: i32, t: f64): void {
  nearswap<f64>(a, b, out, count, t);
}
