/** DELLA's masks where every rank is known already; what decides nearly all elements without it is in rank-draw.ts. Both decide by `isKept`. */
import { leadingBytes, lowBits } from './random';

/** Elements whose bytes are made at a time. */
const CHUNK: i32 = 4096;
const BYTES = memory.data(4096 + 256, 16);
export const WORD_UNIT: f64 = 2.3283064365386963e-10;
export const BYTE_UNIT: f64 = 0.00390625;
/** From the smallest word with some leading byte to the largest, in units of 2^32. */
export const BYTE_SPAN: f64 = BYTE_UNIT - WORD_UNIT;

export function wordAt(byte: u32, index: u64, keyLo: u32, keyHi: u32): u32 {
  return (byte << 24) | lowBits(index, keyLo, keyHi);
}

/** The definition: an element is kept where word x 2^-32 < p, p = low + step x rank, all in f64. The rest of the word is only made where the byte is not enough. */
@inline export function isKept(byte: u32, index: u64, keyLo: u32, keyHi: u32, p: f64): bool {
  const least = <f64>byte * BYTE_UNIT;
  if (least + BYTE_SPAN < p) return true;
  if (least >= p) return false;
  return <f64>wordAt(byte, index, keyLo, keyHi) * WORD_UNIT < p;
}

/** Four elements at `a` with their leading bytes and ranks. */
@inline function dellaFour<T>(
  a: usize, bytes: usize, ranks: v128, low: v128, step: v128, index: u64, keyLo: u32, keyHi: u32, divide: bool,
): void {
  const unit = f64x2.splat(WORD_UNIT);
  const span = f64x2.splat(BYTE_SPAN);
  const p0 = f64x2.add(low, f64x2.mul(step, f64x2.convert_low_i32x4_u(ranks)));
  const p1 = f64x2.add(low, f64x2.mul(step, f64x2.convert_low_i32x4_u(v128.shuffle<i32>(ranks, ranks, 2, 3, 2, 3))));
  const leads = i32x4.shl(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.splat(load<i32>(bytes)))), 24);
  const least0 = f64x2.mul(unit, f64x2.convert_low_i32x4_u(leads));
  const least1 = f64x2.mul(unit, f64x2.convert_low_i32x4_u(v128.shuffle<i32>(leads, leads, 2, 3, 2, 3)));
  let kept0 = f64x2.lt(f64x2.add(least0, span), p0);
  let kept1 = f64x2.lt(f64x2.add(least1, span), p1);
  const open = v128.or(v128.andnot(f64x2.lt(least0, p0), kept0), v128.andnot(f64x2.lt(least1, p1), kept1));
  if (v128.any_true(open)) {
    const w0 = <f64>wordAt(load<u8>(bytes), index, keyLo, keyHi);
    const w1 = <f64>wordAt(load<u8>(bytes, 1), index + 1, keyLo, keyHi);
    const w2 = <f64>wordAt(load<u8>(bytes, 2), index + 2, keyLo, keyHi);
    const w3 = <f64>wordAt(load<u8>(bytes, 3), index + 3, keyLo, keyHi);
    kept0 = f64x2.lt(f64x2.mul(unit, f64x2.replace_lane(f64x2.splat(w0), 1, w1)), p0);
    kept1 = f64x2.lt(f64x2.mul(unit, f64x2.replace_lane(f64x2.splat(w2), 1, w3)), p1);
  }
  if (sizeof<T>() == 4) {
    let x = v128.load(a);
    if (divide) {
      const p = v128.shuffle<f32>(f32x4.demote_f64x2_zero(p0), f32x4.demote_f64x2_zero(p1), 0, 1, 4, 5);
      x = f32x4.div(x, p);
    }
    v128.store(a, v128.and(x, v128.shuffle<i32>(kept0, kept1, 0, 2, 4, 6)));
  } else {
    let x0 = v128.load(a);
    let x1 = v128.load(a, 16);
    if (divide) {
      x0 = f64x2.div(x0, p0);
      x1 = f64x2.div(x1, p1);
    }
    v128.store(a, v128.and(x0, kept0));
    v128.store(a, v128.and(x1, kept1), 16);
  }
}

@inline function dellaMask<T>(
  a: usize, ranks: usize, count: i32, columns: i32, low: f64, step: f64, start: f64, keyLo: u32, keyHi: u32, divide: bool,
): void {
  const lows = f64x2.splat(low);
  const steps = f64x2.splat(columns > 1 ? step : 0);
  for (let i = 0; i < count; i += CHUNK) {
    const size = min(CHUNK, count - i) as i32;
    const first = <u64>start + i;
    const bytes = leadingBytes(BYTES, size, first, keyLo, keyHi);
    for (let j = 0; j < size; j += 4) {
      dellaFour<T>(a, bytes + j, v128.load(ranks), lows, steps, first + j, keyLo, keyHi, divide);
      a += 4 * sizeof<T>();
      ranks += 16;
    }
  }
}

/**
 * DELLA (arXiv 2406.11617): an element of rank r in its row is kept with probability p = low + step r (f64): zeroed (as +0) where word 2^-32 >= p.
 *
 * @param ranks u32 an element, the rank in its own row, 0 the smallest magnitude
 * @param columns elements in a row; with one column there is nothing to rank and `step` is taken as 0, whatever it is
 * @param start index of the first element in its tensor
 * @param divide kept elements are divided by their p, which is rounded to the vector's precision before
 */
export function dellaMask32(
  a: usize, ranks: usize, count: i32, columns: i32, low: f64, step: f64, start: f64, keyLo: u32, keyHi: u32, divide: bool,
): void {
  dellaMask<f32>(a, ranks, count, columns, low, step, start, keyLo, keyHi, divide);
}

export function dellaMask64(
  a: usize, ranks: usize, count: i32, columns: i32, low: f64, step: f64, start: f64, keyLo: u32, keyHi: u32, divide: bool,
): void {
  dellaMask<f64>(a, ranks, count, columns, low, step, start, keyLo, keyHi, divide);
}
