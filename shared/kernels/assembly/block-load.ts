/**
 * Tensors into vectors: 16- and 32-bit floats widened in natural order, alone or against a base that is loaded already. All of it is exact but the
 * one subtraction or addition.
 */
import { F16, F32, high, low, widenHalf } from './lanes';

const PLAIN: i32 = 0;
const MINUS_BASE: i32 = 1;
const PLUS_BASE: i32 = 2;

@inline function lowerFour<S>(raw: v128): v128 {
  if (isSigned<S>()) return widenHalf(i32x4.extend_low_i16x8_u(raw));
  return v128.shuffle<i16>(i32x4.splat(0), raw, 0, 8, 1, 9, 2, 10, 3, 11);
}

@inline function upperFour<S>(raw: v128): v128 {
  if (isSigned<S>()) return widenHalf(i32x4.extend_high_i16x8_u(raw));
  return v128.shuffle<i16>(i32x4.splat(0), raw, 4, 12, 5, 13, 6, 14, 7, 15);
}

@inline function put<T>(to: usize, base: usize, v: v128, mode: i32): void {
  if (mode == PLAIN) v128.store(to, v);
  else if (mode == MINUS_BASE) v128.store(to, v128.sub<T>(v, v128.load(base)));
  else v128.store(to, v128.add<T>(v, v128.load(base)));
}

@inline function loadFrom<T, S>(from: usize, base: usize, to: usize, count: i32, mode: i32): void {
  const end = to + <usize>count * sizeof<T>();
  const rest = count & 7;
  while (to < end) {
    const raw = v128.load(from);
    const lower = isFloat<S>() ? raw : lowerFour<S>(raw);
    const upper = isFloat<S>() ? v128.load(from, 16) : upperFour<S>(raw);
    if (sizeof<T>() == 4) {
      put<T>(to, base, lower, mode);
      put<T>(to + 16, base + 16, upper, mode);
    } else {
      put<T>(to, base, low(lower), mode);
      put<T>(to + 16, base + 16, high(lower), mode);
      put<T>(to + 32, base + 32, low(upper), mode);
      put<T>(to + 48, base + 48, high(upper), mode);
    }
    from += 8 * sizeof<S>();
    to += 8 * sizeof<T>();
    base += 8 * sizeof<T>();
  }
  if (rest != 0) memory.fill(end, 0, (8 - rest) * sizeof<T>());
}

@inline function loadAs<T>(from: usize, dtype: i32, base: usize, to: usize, count: i32, mode: i32): void {
  if (dtype == F32) loadFrom<T, f32>(from, base, to, count, mode);
  else if (dtype == F16) loadFrom<T, i16>(from, base, to, count, mode);
  else loadFrom<T, u16>(from, base, to, count, mode);
}

/** to = widen(from). The source is read, never written, up to eight elements behind its last one. */
export function load32(from: usize, dtype: i32, to: usize, count: i32): void {
  loadAs<f32>(from, dtype, 0, to, count, PLAIN);
}

export function load64(from: usize, dtype: i32, to: usize, count: i32): void {
  loadAs<f64>(from, dtype, 0, to, count, PLAIN);
}

/** to = widen(from) - base, `base` a vector of the same precision. */
export function loadDelta32(from: usize, dtype: i32, base: usize, to: usize, count: i32): void {
  loadAs<f32>(from, dtype, base, to, count, MINUS_BASE);
}

export function loadDelta64(from: usize, dtype: i32, base: usize, to: usize, count: i32): void {
  loadAs<f64>(from, dtype, base, to, count, MINUS_BASE);
}

/** to = widen(from) + base. */
export function loadSum32(from: usize, dtype: i32, base: usize, to: usize, count: i32): void {
  loadAs<f32>(from, dtype, base, to, count, PLUS_BASE);
}

export function loadSum64(from: usize, dtype: i32, base: usize, to: usize, count: i32): void {
  loadAs<f64>(from, dtype, base, to, count, PLUS_BASE);
}
