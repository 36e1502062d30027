/** Rounding f32 lanes to the values of a narrower dtype, to nearest, ties to even; the result is f32 again. */
import { F16, F32, roundBf16 } from './lanes';

@inline function nearestHalf(v: v128): v128 {
  const sign = v128.and(v, i32x4.splat(0x80000000));
  const a = v128.xor(v, sign);
  const lowBit = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1));
  const normal = v128.and(i32x4.add(a, i32x4.add(lowBit, i32x4.splat(0xfff))), i32x4.splat(0xffffe000));
  const subnormal = f32x4.sub(f32x4.add(a, f32x4.splat(0.5)), f32x4.splat(0.5));
  let r = v128.bitselect(subnormal, normal, i32x4.lt_s(a, i32x4.splat(0x38800000)));
  r = v128.bitselect(i32x4.splat(0x7f800000), r, i32x4.ge_s(a, i32x4.splat(0x477ff000)));
  r = v128.bitselect(v128.or(a, i32x4.splat(0x400000)), r, i32x4.gt_s(a, i32x4.splat(0x7f800000)));
  return v128.or(r, sign);
}

/** By marker type: f32 rounds nothing (and is the marker of f64 lanes too), i16 to F16, u16 to BF16. */
@inline export function rounded<D>(v: v128): v128 {
  if (isFloat<D>()) return v;
  if (isSigned<D>()) return nearestHalf(v);
  return v128.and(roundBf16(v), i32x4.splat(0xffff0000));
}

/** By dtype code; F32 rounds nothing. */
@inline export function roundedTo(v: v128, dtype: i32): v128 {
  if (dtype == F32) return v;
  return dtype == F16 ? nearestHalf(v) : rounded<u16>(v);
}
