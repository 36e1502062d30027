/**
 * Selection by magnitude without sorting: an element's key is the bit pattern of |x| rounded to f32. A histogram of its high 15 bits, then one of the low 16
 * bits inside a single bucket, tells the key of any rank. Everything here counts exactly `count` elements.
 */
import { fourKeys, keyAt } from './vectors';

@inline function bump(table: usize, index: i32): void {
  const at = table + (<usize>index << 2);
  store<u32>(at, load<u32>(at) + 1);
}

@inline function bumpHigh(table: usize, key: i32): void {
  const at = table + ((<u32>key >>> 14) & 0x1fffc);
  store<u32>(at, load<u32>(at) + 1);
}

@inline function histogramHigh<T>(a: usize, count: i32, table: usize): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    if (sizeof<T>() == 4) {
      bumpHigh(table, load<i32>(a));
      bumpHigh(table, load<i32>(a, 4));
      bumpHigh(table, load<i32>(a, 8));
      bumpHigh(table, load<i32>(a, 12));
    } else {
      const keys = fourKeys<T>(a);
      bumpHigh(table, i32x4.extract_lane(keys, 0));
      bumpHigh(table, i32x4.extract_lane(keys, 1));
      bumpHigh(table, i32x4.extract_lane(keys, 2));
      bumpHigh(table, i32x4.extract_lane(keys, 3));
    }
    a += 4 * sizeof<T>();
  }
  for (; i < count; i++, a += sizeof<T>()) bumpHigh(table, keyAt<T>(a));
}

@inline function bumpLow<T>(a: usize, high: i32, table: usize): void {
  const key = keyAt<T>(a);
  if (key >>> 16 == high) bump(table, key & 0xffff);
}

@inline function histogramLow<T>(a: usize, count: i32, high: i32, table: usize): void {
  const highs = i32x4.splat(high);
  let i = 0;
  for (; i + 8 <= count; i += 8) {
    const e0 = i32x4.eq(i32x4.shr_u(fourKeys<T>(a), 16), highs);
    const e1 = i32x4.eq(i32x4.shr_u(fourKeys<T>(a + 4 * sizeof<T>()), 16), highs);
    if (v128.any_true(v128.or(e0, e1))) {
      let hits = i32x4.bitmask(e0) | (i32x4.bitmask(e1) << 4);
      while (hits != 0) {
        bump(table, keyAt<T>(a + <usize>ctz(hits) * sizeof<T>()) & 0xffff);
        hits &= hits - 1;
      }
    }
    a += 8 * sizeof<T>();
  }
  for (; i < count; i++, a += sizeof<T>()) bumpLow<T>(a, high, table);
}

@inline function gatherKeys<T>(a: usize, count: i32, low: i32, high: i32, to: usize, found: usize): void {
  const lows = i32x4.splat(low);
  const highs = i32x4.splat(high);
  let below = i32x4.splat(0);
  let smaller = 0;
  const first = to;
  let i = 0;
  for (; i + 8 <= count; i += 8, a += 8 * sizeof<T>()) {
    const k0 = fourKeys<T>(a);
    const k1 = fourKeys<T>(a + 4 * sizeof<T>());
    const b0 = i32x4.lt_s(k0, lows);
    const b1 = i32x4.lt_s(k1, lows);
    below = i32x4.sub(below, i32x4.add(b0, b1));
    const in0 = v128.andnot(i32x4.le_s(k0, highs), b0);
    const in1 = v128.andnot(i32x4.le_s(k1, highs), b1);
    if (!v128.any_true(v128.or(in0, in1))) continue;
    let hits = i32x4.bitmask(in0) | (i32x4.bitmask(in1) << 4);
    while (hits != 0) {
      store<i32>(to, keyAt<T>(a + <usize>ctz(hits) * sizeof<T>()));
      to += 4;
      hits &= hits - 1;
    }
  }
  for (; i < count; i++, a += sizeof<T>()) {
    const key = keyAt<T>(a);
    if (key < low) smaller++;
    else if (key <= high) {
      store<i32>(to, key);
      to += 4;
    }
  }
  smaller += i32x4.extract_lane(below, 0) + i32x4.extract_lane(below, 1) + i32x4.extract_lane(below, 2) + i32x4.extract_lane(below, 3);
  store<i32>(found, <i32>((to - first) >> 2));
  store<i32>(found, smaller, 4);
}

@inline function countKey<T>(a: usize, count: i32, key: i32): i32 {
  const keys = i32x4.splat(key);
  let lanes = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= count; i += 4, a += 4 * sizeof<T>()) lanes = i32x4.sub(lanes, i32x4.eq(fourKeys<T>(a), keys));
  let found = i32x4.extract_lane(lanes, 0) + i32x4.extract_lane(lanes, 1) + i32x4.extract_lane(lanes, 2) + i32x4.extract_lane(lanes, 3);
  for (; i < count; i++, a += sizeof<T>()) if (keyAt<T>(a) == key) found++;
  return found;
}

/** table[key >>> 16] += 1; table: u32[32768]. */
export function histogramHigh32(a: usize, count: i32, table: usize): void {
  histogramHigh<f32>(a, count, table);
}

export function histogramHigh64(a: usize, count: i32, table: usize): void {
  histogramHigh<f64>(a, count, table);
}

/** table[key & 0xffff] += 1 for the elements with key >>> 16 == high; table: u32[65536]. */
export function histogramLow32(a: usize, count: i32, high: i32, table: usize): void {
  histogramLow<f32>(a, count, high, table);
}

export function histogramLow64(a: usize, count: i32, high: i32, table: usize): void {
  histogramLow<f64>(a, count, high, table);
}

/** How many elements have this key. */
export function countKey32(a: usize, count: i32, key: i32): i32 {
  return countKey<f32>(a, count, key);
}

export function countKey64(a: usize, count: i32, key: i32): i32 {
  return countKey<f64>(a, count, key);
}

/** Writes the keys in [low, high] (u32) in their order; leaves at `found` how many they are and how many are smaller. */
export function gatherKeys32(a: usize, count: i32, low: i32, high: i32, to: usize, found: usize): void {
  gatherKeys<f32>(a, count, low, high, to, found);
}

export function gatherKeys64(a: usize, count: i32, low: i32, high: i32, to: usize, found: usize): void {
  gatherKeys<f64>(a, count, low, high, to, found);
}
