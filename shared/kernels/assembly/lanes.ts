/**
 * What all kernels share: dtypes, conversions between them lane by lane, and access to four or eight elements of a vector of f32 or f64.
 * Marker types choose code at compile time: f32 is F32 (or "no rounding"), i16 is F16, u16 is BF16.
 */

export const F32: i32 = 0;
export const F16: i32 = 1;

@inline export function width(dtype: i32): i32 {
  return dtype == F32 ? 4 : 2;
}

/** Zeroes the padding after the last element, so that whole vectors may be read. */
@inline export function pad(at: usize, dtype: i32, count: i32): void {
  const rest = count & 7;
  if (rest != 0) memory.fill(at + count * width(dtype), 0, (8 - rest) * width(dtype));
}

// ---- widening -------------------------------------------------------------------------------------------------------------------

@inline export function widenHalf(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff));
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  const normal = i32x4.add(i32x4.shl(magnitude, 13), i32x4.splat(112 << 23));
  const subnormal = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(5.9604644775390625e-8));
  const special = i32x4.add(normal, i32x4.splat(112 << 23));
  let r = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x400)));
  r = v128.bitselect(special, r, i32x4.gt_s(magnitude, i32x4.splat(0x7bff)));
  return v128.or(r, sign);
}

@inline export function low(v: v128): v128 {
  return f64x2.promote_low_f32x4(v);
}

@inline export function high(v: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3));
}

// ---- narrowing: to nearest, ties to even; NaN stays a quiet NaN of the same sign -----------------------------------------------------

@inline export function roundBf16(v: v128): v128 {
  const lowBit = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = i32x4.add(v, i32x4.add(lowBit, i32x4.splat(0x7fff)));
  return v128.bitselect(v128.or(v, i32x4.splat(0x400000)), rounded, f32x4.ne(v, v));
}

@inline export function roundHalf(v: v128): v128 {
  const sign = v128.and(v, i32x4.splat(0x80000000));
  const a = v128.xor(v, sign);
  const lowBit = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(a, i32x4.add(lowBit, i32x4.splat(0xc8000fff))), 13);
  const subnormal = i32x4.sub(f32x4.add(a, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const nan = v128.or(v128.and(i32x4.shr_u(a, 13), i32x4.splat(0x1ff)), i32x4.splat(0x7e00));
  let r = v128.bitselect(subnormal, normal, i32x4.lt_s(a, i32x4.splat(0x38800000)));
  r = v128.bitselect(i32x4.splat(0x7c00), r, i32x4.ge_s(a, i32x4.splat(0x47800000)));
  r = v128.bitselect(nan, r, i32x4.gt_s(a, i32x4.splat(0x7f800000)));
  return v128.or(r, i32x4.shr_u(sign, 16));
}

/** The smallest magnitude, as bits, that is or rounds to infinity. */
@inline export function infinityBits<T>(): i32 {
  if (isFloat<T>()) return 0x7f800000;
  if (isSigned<T>()) return 0x477ff000;
  return 0x7f7f8000;
}

@inline export function demote(lower: v128, upper: v128): v128 {
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(lower), f32x4.demote_f64x2_zero(upper), 0, 1, 4, 5);
}

