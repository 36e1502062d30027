/**
 * Numbers that describe a vector, in fp64. Four pairs of lanes are summed over the block (element i goes to lane i mod 8), then added in a fixed order;
 * nothing depends on where the vector lies. Products and squares of f32 elements are exact.
 */
import { high, low } from './lanes';
import { bytesOf } from './vectors';

const SUM_ABS: i32 = 0;
const SUM_SQUARES: i32 = 1;
const DOT: i32 = 2;

@inline function term(x: v128, y: v128, what: i32): v128 {
  if (what == SUM_ABS) return f64x2.abs(x);
  return what == SUM_SQUARES ? f64x2.mul(x, x) : f64x2.mul(x, y);
}

@inline function reduce<T>(x: usize, y: usize, count: i32, what: i32): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  const end = x + bytesOf<T>(count);
  while (x < end) {
    if (sizeof<T>() == 4) {
      const xl = v128.load(x);
      const xu = v128.load(x, 16);
      const yl = v128.load(y);
      const yu = v128.load(y, 16);
      a = f64x2.add(a, term(low(xl), low(yl), what));
      b = f64x2.add(b, term(high(xl), high(yl), what));
      c = f64x2.add(c, term(low(xu), low(yu), what));
      d = f64x2.add(d, term(high(xu), high(yu), what));
    } else {
      a = f64x2.add(a, term(v128.load(x), v128.load(y), what));
      b = f64x2.add(b, term(v128.load(x, 16), v128.load(y, 16), what));
      c = f64x2.add(c, term(v128.load(x, 32), v128.load(y, 32), what));
      d = f64x2.add(d, term(v128.load(x, 48), v128.load(y, 48), what));
    }
    x += 8 * sizeof<T>();
    y += 8 * sizeof<T>();
  }
  const sum = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

@inline function countNonZero<T>(a: usize, count: i32): i32 {
  const zero = v128.splat<T>(0);
  let lanes = v128.splat<T>(0);
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 32) {
    if (sizeof<T>() == 4) {
      lanes = i32x4.sub(lanes, i32x4.add(f32x4.ne(v128.load(a), zero), f32x4.ne(v128.load(a, 16), zero)));
    } else {
      lanes = i64x2.sub(lanes, i64x2.add(f64x2.ne(v128.load(a), zero), f64x2.ne(v128.load(a, 16), zero)));
    }
  }
  if (sizeof<T>() == 8) return <i32>(i64x2.extract_lane(lanes, 0) + i64x2.extract_lane(lanes, 1));
  return i32x4.extract_lane(lanes, 0) + i32x4.extract_lane(lanes, 1) + i32x4.extract_lane(lanes, 2) + i32x4.extract_lane(lanes, 3);
}

/** Bits of magnitudes order them as integers; in f64 there is no such maximum, and the comparing one serves. */
@inline function maxAbs<T>(a: usize, count: i32): f64 {
  const end = a + bytesOf<T>(count);
  if (sizeof<T>() == 4) {
    const absolute = i32x4.splat(0x7fffffff);
    let largest = i32x4.splat(0);
    for (; a < end; a += 32) {
      largest = i32x4.max_s(largest, v128.and(v128.load(a), absolute));
      largest = i32x4.max_s(largest, v128.and(v128.load(a, 16), absolute));
    }
    largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
    return <f64>reinterpret<f32>(max(i32x4.extract_lane(largest, 0), i32x4.extract_lane(largest, 1)));
  }
  let largest = f64x2.splat(0);
  for (; a < end; a += 32) {
    largest = f64x2.pmax(largest, f64x2.abs(v128.load(a)));
    largest = f64x2.pmax(largest, f64x2.abs(v128.load(a, 16)));
  }
  return max(f64x2.extract_lane(largest, 0), f64x2.extract_lane(largest, 1));
}

/** Sum of |a_i|. */
export function sumAbs32(a: usize, count: i32): f64 {
  return reduce<f32>(a, a, count, SUM_ABS);
}

export function sumAbs64(a: usize, count: i32): f64 {
  return reduce<f64>(a, a, count, SUM_ABS);
}

/** Sum of a_i^2. */
export function sumSquares32(a: usize, count: i32): f64 {
  return reduce<f32>(a, a, count, SUM_SQUARES);
}

export function sumSquares64(a: usize, count: i32): f64 {
  return reduce<f64>(a, a, count, SUM_SQUARES);
}

/** Sum of a_i b_i. */
export function dot32(a: usize, b: usize, count: i32): f64 {
  return reduce<f32>(a, b, count, DOT);
}

export function dot64(a: usize, b: usize, count: i32): f64 {
  return reduce<f64>(a, b, count, DOT);
}

/** Elements that are not zero of either sign. */
export function countNonZero32(a: usize, count: i32): i32 {
  return countNonZero<f32>(a, count);
}

export function countNonZero64(a: usize, count: i32): i32 {
  return countNonZero<f64>(a, count);
}

/** The largest |a_i|, 0 for an empty vector; of no meaning if an element is NaN. */
export function maxAbs32(a: usize, count: i32): f64 {
  return maxAbs<f32>(a, count);
}

export function maxAbs64(a: usize, count: i32): f64 {
  return maxAbs<f64>(a, count);
}

/** Elements above zero less elements below it. */
@inline function signBalance<T>(a: usize, count: i32): i32 {
  const zero = v128.splat<T>(0);
  let balance = 0;
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 16) {
    const v = v128.load(a);
    const above = v128.gt<T>(v, zero);
    const below = v128.lt<T>(v, zero);
    balance += sizeof<T>() == 4 ? popcnt(i32x4.bitmask(above)) - popcnt(i32x4.bitmask(below)) : popcnt(i64x2.bitmask(above)) - popcnt(i64x2.bitmask(below));
  }
  return balance;
}

export function signBalance32(a: usize, count: i32): i32 {
  return signBalance<f32>(a, count);
}

export function signBalance64(a: usize, count: i32): i32 {
  return signBalance<f64>(a, count);
}
