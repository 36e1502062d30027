/**
 * Random masks that depend on nothing but a key and an element's index: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * The counter is (index >> 2 as 64 bits, 0, 0), the element takes output word index & 3. Four counters are worked on at a time.
 */
import { keepFour } from './vectors';

/** Elements whose words are made at a time. */
const CHUNK: i32 = 2048;
const WORDS = memory.data(8192, 16);
/** Ten pairs of round keys, each as four equal lanes. */
const ROUND_KEYS = memory.data(320, 16);

function setKey(keyLo: u32, keyHi: u32): void {
  for (let at: usize = ROUND_KEYS; at < ROUND_KEYS + 320; at += 32) {
    v128.store(at, i32x4.splat(keyLo));
    v128.store(at, i32x4.splat(keyHi), 16);
    keyLo += 0x9e3779b9;
    keyHi += 0xbb67ae85;
  }
}

@inline function highWords(lower: v128, upper: v128): v128 {
  return v128.shuffle<i32>(lower, upper, 1, 3, 5, 7);
}

@inline function lowWords(lower: v128, upper: v128): v128 {
  return v128.shuffle<i32>(lower, upper, 0, 2, 4, 6);
}

@inline function storeWords(to: usize, x0: v128, x1: v128, x2: v128, x3: v128): void {
  const a = v128.shuffle<i32>(x0, x1, 0, 4, 1, 5);
  const b = v128.shuffle<i32>(x2, x3, 0, 4, 1, 5);
  const c = v128.shuffle<i32>(x0, x1, 2, 6, 3, 7);
  const d = v128.shuffle<i32>(x2, x3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(a, b, 0, 2));
  v128.store(to, v128.shuffle<i64>(a, b, 1, 3), 16);
  v128.store(to, v128.shuffle<i64>(c, d, 0, 2), 32);
  v128.store(to, v128.shuffle<i64>(c, d, 1, 3), 48);
}

/** Words of `count` elements (rounded up to 32) from the counter on: twice four counters, whose chains of multiplications overlap. */
function makeWords(to: usize, count: i32, counter: u64): void {
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  for (let i = 0; i < count; i += 32) {
    const first = i32x4.splat(<u32>counter);
    const upper = i32x4.splat(<u32>(counter >> 32));
    const k0 = v128.load(ROUND_KEYS);
    const k1 = v128.load(ROUND_KEYS, 16);
    // The first round, in which two of the four words are zero.
    let x1 = i32x4.add(first, i32x4(0, 1, 2, 3));
    let y1 = i32x4.add(first, i32x4(4, 5, 6, 7));
    let x0 = v128.xor(i32x4.sub(upper, i32x4.lt_u(x1, first)), k0);
    let y0 = v128.xor(i32x4.sub(upper, i32x4.lt_u(y1, first)), k0);
    const xl = i64x2.extmul_low_i32x4_u(x1, m0);
    const xh = i64x2.extmul_high_i32x4_u(x1, m0);
    const yl = i64x2.extmul_low_i32x4_u(y1, m0);
    const yh = i64x2.extmul_high_i32x4_u(y1, m0);
    let x2 = v128.xor(highWords(xl, xh), k1);
    let x3 = lowWords(xl, xh);
    let y2 = v128.xor(highWords(yl, yh), k1);
    let y3 = lowWords(yl, yh);
    x1 = i32x4.splat(0);
    y1 = x1;
    for (let key: usize = ROUND_KEYS + 32; key < ROUND_KEYS + 320; key += 32) {
      const k0 = v128.load(key);
      const k1 = v128.load(key, 16);
      let a = i64x2.extmul_low_i32x4_u(x0, m0);
      let b = i64x2.extmul_high_i32x4_u(x0, m0);
      let c = i64x2.extmul_low_i32x4_u(x2, m1);
      let d = i64x2.extmul_high_i32x4_u(x2, m1);
      x0 = v128.xor(v128.xor(highWords(c, d), x1), k0);
      x1 = lowWords(c, d);
      x2 = v128.xor(v128.xor(highWords(a, b), x3), k1);
      x3 = lowWords(a, b);
      a = i64x2.extmul_low_i32x4_u(y0, m0);
      b = i64x2.extmul_high_i32x4_u(y0, m0);
      c = i64x2.extmul_low_i32x4_u(y2, m1);
      d = i64x2.extmul_high_i32x4_u(y2, m1);
      y0 = v128.xor(v128.xor(highWords(c, d), y1), k0);
      y1 = lowWords(c, d);
      y2 = v128.xor(v128.xor(highWords(a, b), y3), k1);
      y3 = lowWords(a, b);
    }
    storeWords(to, x0, x1, x2, x3);
    storeWords(to + 64, y0, y1, y2, y3);
    counter += 8;
    to += 128;
  }
}

/** The words of `count` elements. start: index of the first one, a multiple of 4 (as f64, below 2^53); writes up to 15 words more. */
export function randomWords(to: usize, count: i32, start: f64, keyLo: u32, keyHi: u32): void {
  setKey(keyLo, keyHi);
  makeWords(to, count, <u64>start >> 2);
}

@inline function drop<T>(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  if (threshold >= 4294967296) return;
  if (!(threshold > 0)) {
    memory.fill(a, 0, <usize>count * sizeof<T>());
    return;
  }
  setKey(keyLo, keyHi);
  const largest = i32x4.splat(<u32>ceil(threshold) - 1);
  let counter = <u64>start >> 2;
  for (let i = 0; i < count; i += CHUNK) {
    const size = min(CHUNK, count - i) as i32;
    makeWords(WORDS, size, counter);
    for (let j: usize = 0; j < <usize>size * 4; j += 32) {
      keepFour<T>(a, i32x4.le_u(v128.load(WORDS + j), largest));
      keepFour<T>(a + 4 * sizeof<T>(), i32x4.le_u(v128.load(WORDS + j, 16), largest));
      a += 8 * sizeof<T>();
    }
    counter += CHUNK >> 2;
  }
}

/**
 * Zeroes (as +0) the elements whose word is not below the threshold: each is kept with probability threshold / 2^32.
 *
 * @param start index of the first element in its tensor, a multiple of 8
 * @param threshold in [0, 2^32]; 2^32 keeps all
 */
export function drop32(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  drop<f32>(a, count, start, keyLo, keyHi, threshold);
}

export function drop64(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  drop<f64>(a, count, start, keyLo, keyHi, threshold);
}

/** Four elements at `a` with their words and ranks. */
@inline function dellaFour<T>(a: usize, words: v128, ranks: v128, low: v128, step: v128, divide: bool): void {
  const unit = f64x2.splat(2.3283064365386963e-10);
  const p0 = f64x2.add(low, f64x2.mul(step, f64x2.convert_low_i32x4_u(ranks)));
  const p1 = f64x2.add(low, f64x2.mul(step, f64x2.convert_low_i32x4_u(v128.shuffle<i32>(ranks, ranks, 2, 3, 2, 3))));
  const kept0 = f64x2.lt(f64x2.mul(unit, f64x2.convert_low_i32x4_u(words)), p0);
  const kept1 = f64x2.lt(f64x2.mul(unit, f64x2.convert_low_i32x4_u(v128.shuffle<i32>(words, words, 2, 3, 2, 3))), p1);
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
  setKey(keyLo, keyHi);
  const lows = f64x2.splat(low);
  const steps = f64x2.splat(columns > 1 ? step : 0);
  let counter = <u64>start >> 2;
  for (let i = 0; i < count; i += CHUNK) {
    const size = min(CHUNK, count - i) as i32;
    makeWords(WORDS, size, counter);
    for (let j: usize = 0; j < <usize>size * 4; j += 16) {
      dellaFour<T>(a, v128.load(WORDS + j), v128.load(ranks + j), lows, steps, divide);
      a += 4 * sizeof<T>();
    }
    ranks += <usize>size * 4;
    counter += CHUNK >> 2;
  }
}

/**
 * DELLA (arXiv 2406.11617): an element of rank r in its row is kept with probability p = low + step r (f64): zeroed (as +0) where word 2^-32 >= p.
 *
 * @param ranks u32 an element, the rank in its own row, 0 the smallest magnitude
 * @param columns elements in a row; with one column there is nothing to rank and `step` is taken as 0, whatever it is
 * @param start index of the first element in its tensor, a multiple of 8
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
