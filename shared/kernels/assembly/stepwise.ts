/** Rules as they come out when every operation's result is rounded to a dtype before the next one reads it, as tensor libraries do. */
import { roundedTo } from './rounding';
import { bytesOf } from './vectors';

@inline function nearswapLanes(a: v128, b: v128, t: v128, least: v128, dtype: i32): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  const apart = f32x4.pmax(roundedTo(f32x4.abs(roundedTo(f32x4.sub(a, b), dtype)), dtype), least);
  // A number divided by a tensor is the tensor's reciprocal times the number: two roundings. Infinity times t = 0 counts as 0.
  let q = roundedTo(f32x4.mul(roundedTo(f32x4.div(one, apart), dtype), t), dtype);
  q = f32x4.pmin(one, f32x4.pmax(zero, q));
  const taken = roundedTo(f32x4.mul(q, b), dtype);
  const left = roundedTo(f32x4.mul(roundedTo(f32x4.sub(one, q), dtype), a), dtype);
  return roundedTo(f32x4.add(taken, left), dtype);
}

/**
 * As nearswap32, every step rounded: |a - b|, its reciprocal, the product with t, q b, 1 - q, (1 - q) a, their sum.
 *
 * @param dtype that steps are rounded to; F32 is what f32 lanes do anyway
 */
export function nearswapStepwise32(a: usize, b: usize, out: usize, count: i32, t: f64, dtype: i32): void {
  const ts = f32x4.splat(<f32>t);
  const least = roundedTo(f32x4.splat(1e-6), dtype);
  const bytes = bytesOf<f32>(count);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(out + i, nearswapLanes(v128.load(a + i), v128.load(b + i), ts, least, dtype));
  }
}
