/**
 * Trimming by magnitude: keeps a band of keys. Elements that equal a bound are chosen by their running number, so that exactly k elements stay
 * whatever ties there are.
 */
import { fourKeys, keepFour, keyAt } from './vectors';

const NONE: i32 = 0;
const ALL: i32 = 1;
const MIXED: i32 = 2;

/** Whether `found` elements with the running numbers seen, seen + 1, ... lie in [from, to): none, all, or some of them. */
@inline function verdict(seen: u32, found: u32, from: u32, to: u32): i32 {
  const after = seen + found;
  if (found == 0 || after <= from || seen >= to) return NONE;
  return seen >= from && after <= to ? ALL : MIXED;
}

@inline function keepBand<T>(a: usize, count: i32, low: i32, lowFrom: u32, lowTo: u32, high: i32, highTo: u32, state: usize): void {
  let lowSeen = load<u32>(state);
  let highSeen = load<u32>(state, 4);
  if (low == high) {
    lowTo = min(lowTo, highTo);
    highTo = 0;
  }
  const lows = i32x4.splat(low);
  const highs = i32x4.splat(high);
  let i = 0;
  while (i < count) {
    let group = 1;
    if (count - i >= 8) {
      const upper = a + 4 * sizeof<T>();
      const k0 = fourKeys<T>(a);
      const k1 = fourKeys<T>(upper);
      let kept0 = v128.and(i32x4.gt_s(k0, lows), i32x4.lt_s(k0, highs));
      let kept1 = v128.and(i32x4.gt_s(k1, lows), i32x4.lt_s(k1, highs));
      const l0 = i32x4.eq(k0, lows);
      const l1 = i32x4.eq(k1, lows);
      const h0 = i32x4.eq(k0, highs);
      const h1 = i32x4.eq(k1, highs);
      let lowVerdict = NONE;
      let highVerdict = NONE;
      let lowFound: u32 = 0;
      let highFound: u32 = 0;
      if (v128.any_true(v128.or(v128.or(l0, l1), v128.or(h0, h1)))) {
        lowFound = popcnt(i32x4.bitmask(l0) | (i32x4.bitmask(l1) << 4));
        highFound = popcnt(i32x4.bitmask(h0) | (i32x4.bitmask(h1) << 4));
        lowVerdict = verdict(lowSeen, lowFound, lowFrom, lowTo);
        highVerdict = verdict(highSeen, highFound, 0, highTo);
        if (lowVerdict == ALL) {
          kept0 = v128.or(kept0, l0);
          kept1 = v128.or(kept1, l1);
        }
        if (highVerdict == ALL) {
          kept0 = v128.or(kept0, h0);
          kept1 = v128.or(kept1, h1);
        }
      }
      if (lowVerdict != MIXED && highVerdict != MIXED) {
        keepFour<T>(a, kept0);
        keepFour<T>(upper, kept1);
        lowSeen += lowFound;
        highSeen += highFound;
        a += 8 * sizeof<T>();
        i += 8;
        continue;
      }
      group = 8;
    }
    for (const end = i + group; i < end; i++, a += sizeof<T>()) {
      const key = keyAt<T>(a);
      let kept = key > low && key < high;
      if (key == low) {
        kept = lowSeen >= lowFrom && lowSeen < lowTo;
        lowSeen++;
      }
      if (key == high) {
        kept = kept || highSeen < highTo;
        highSeen++;
      }
      if (!kept) store<T>(a, 0);
    }
  }
  store<u32>(state, lowSeen);
  store<u32>(state, highSeen, 4);
}

/**
 * Zeroes (as +0) every element outside the band. Kept are keys between `low` and `high`, both excluded; keys equal to `low` whose running number
 * among those is in [lowFrom, lowTo); keys equal to `high` whose number is below `highTo`. With low = high: numbers in [lowFrom, min(lowTo, highTo)).
 *
 * @param low -1: no lower bound
 * @param high 0x7fffffff: no upper bound
 * @param state two u32: how many elements equal to low, to high, there were before; updated (both, when low = high)
 */
export function keepBand32(a: usize, count: i32, low: i32, lowFrom: u32, lowTo: u32, high: i32, highTo: u32, state: usize): void {
  keepBand<f32>(a, count, low, lowFrom, lowTo, high, highTo, state);
}

export function keepBand64(a: usize, count: i32, low: i32, lowFrom: u32, lowTo: u32, high: i32, highTo: u32, state: usize): void {
  keepBand<f64>(a, count, low, lowFrom, lowTo, high, highTo, state);
}
