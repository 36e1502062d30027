/**
 * Rounding f32 lanes to the values of a narrower dtype, to nearest, ties to even; the result is f32 again. NaN stays NaN, of whatever sign and
 * payload.
 */
import { F16, F32 } from './lanes';

@inline function nearestBf16(v: v128): v128 {
  const lowBit = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(v, i32x4.splat(0x7fff)), lowBit);
  return v128.and(v128.or(rounded, f32x4.ne(v, v)), i32x4.splat(0xffff0000));
}

/**
 * Adding and taking away a power of two 13 binades up leaves ten bits of fraction; below the normal range of F16 the power stays the same, as the
 * steps between its numbers do.
 */
@inline function nearestHalf(v: v128): v128 {
  const sign = v128.and(v, i32x4.splat(0x80000000));
  const a = v128.xor(v, sign);
  const binade = i32x4.max_s(v128.and(a, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  const power = i32x4.add(binade, i32x4.splat(13 << 23));
  let r = f32x4.sub(f32x4.add(a, power), power);
  r = v128.bitselect(i32x4.splat(0x7f800000), r, i32x4.gt_s(a, i32x4.splat(0x477fefff)));
  r = v128.or(r, i32x4.gt_s(a, i32x4.splat(0x7f800000)));
  return v128.or(r, sign);
}

/** By marker type: f32 rounds nothing (and is the marker of f64 lanes too), i16 to F16, u16 to BF16. */
@inline export function rounded<D>(v: v128): v128 {
  if (isFloat<D>()) return v;
  return isSigned<D>() ? nearestHalf(v) : nearestBf16(v);
}

/** By dtype code; F32 rounds nothing. */
@inline export function roundedTo(v: v128, dtype: i32): v128 {
  if (dtype == F32) return v;
  return dtype == F16 ? nearestHalf(v) : nearestBf16(v);
}
