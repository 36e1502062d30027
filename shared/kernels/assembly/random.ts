/**
 * Random masks that depend on nothing but a key and an element's index: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Every element has a 32-bit word. Its leading byte is byte index & 15 (of the four output words, little end first) of the block with counter
 * (index >> 4 as 64 bits, 0, 0); the other 24 bits are the low ones of output word 0 of the block with counter (index as 64 bits, 1, 0). The first alone
 * decides nearly all comparisons, so one block serves 16 elements; the second is made where the leading byte equals the threshold's.
 */
import { keepFour } from './vectors';

/** Elements whose bytes are made at a time. */
const CHUNK: i32 = 4096;
/** Room for the bytes before a chunk in its first block, and for whole groups of eight blocks. */
const BYTES = memory.data(4096 + 256, 16);
/** Ten pairs of round keys, each as four equal lanes. */
const ROUND_KEYS = memory.data(320, 16);
export const LOW_BITS: u32 = 0xffffff;

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

/** The blocks from a counter on, 16 bytes each, at least `count` bytes in groups of 128: twice four counters, whose chains of multiplications overlap. */
function makeBlocks(to: usize, count: i32, counter: u64): void {
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  for (let i = 0; i < count; i += 128) {
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

/**
 * Leading bytes of the elements from index `start` on.
 *
 * @param to room for 160 bytes more than `count`
 * @returns where the first one lies
 */
export function leadingBytes(to: usize, count: i32, start: u64, keyLo: u32, keyHi: u32): usize {
  const before = <i32>(start & 15);
  setKey(keyLo, keyHi);
  makeBlocks(to, before + count, start >> 4);
  return to + before;
}

/** The 24 bits behind the leading byte. */
export function lowBits(index: u64, keyLo: u32, keyHi: u32): u32 {
  let x0: u64 = index & 0xffffffff;
  let x1: u64 = index >> 32;
  let x2: u64 = 1;
  let x3: u64 = 0;
  for (let round = 0; round < 10; round++) {
    const a = x0 * 0xd2511f53;
    const b = x2 * 0xcd9e8d57;
    x0 = (b >> 32) ^ x1 ^ keyLo;
    x1 = b & 0xffffffff;
    x2 = (a >> 32) ^ x3 ^ keyHi;
    x3 = a & 0xffffffff;
    keyLo += 0x9e3779b9;
    keyHi += 0xbb67ae85;
  }
  return <u32>x0 & LOW_BITS;
}

/** The words of `count` elements, u32 each. start: index of the first one (as f64, below 2^53). Slow: for tests. */
export function randomWords(to: usize, count: i32, start: f64, keyLo: u32, keyHi: u32): void {
  const first = <u64>start;
  for (let i = 0; i < count; i += CHUNK) {
    const size = min(CHUNK, count - i) as i32;
    const bytes = leadingBytes(BYTES, size, first + i, keyLo, keyHi);
    for (let j = 0; j < size; j++) {
      store<u32>(to + (<usize>(i + j) << 2), (<u32>load<u8>(bytes + j) << 24) | lowBits(first + i + j, keyLo, keyHi));
    }
  }
}

/** Sets those of 16 masks whose bit of `open` is set: their words are kept if the rest is at most `low`. */
function settle(masks: usize, open: i32, first: u64, keyLo: u32, keyHi: u32, low: u32): void {
  for (; open != 0; open &= open - 1) {
    const one = ctz(open);
    store<u8>(masks + one, u8(0) - u8(lowBits(first + one, keyLo, keyHi) <= low));
  }
}

/** Turns leading bytes, in whole groups of 16, into masks of all ones where the word is at most `largest`. */
function keptBytes(bytes: usize, count: i32, first: u64, keyLo: u32, keyHi: u32, largest: u32): void {
  const border = i8x16.splat(<u8>(largest >> 24));
  const low = largest & LOW_BITS;
  for (const end = bytes + count; bytes < end; bytes += 16, first += 16) {
    const lead = v128.load(bytes);
    v128.store(bytes, i8x16.le_u(lead, border));
    const open = i8x16.bitmask(i8x16.eq(lead, border));
    if (open != 0 && low != LOW_BITS) settle(bytes, open, first, keyLo, keyHi, low);
  }
}

/** Eight elements with their masks of 16 bits. */
@inline function keepEight<T>(a: usize, kept: v128): void {
  keepFour<T>(a, i32x4.extend_low_i16x8_s(kept));
  keepFour<T>(a + 4 * sizeof<T>(), i32x4.extend_high_i16x8_s(kept));
}

@inline function drop<T>(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  if (threshold >= 4294967296) return;
  if (!(threshold > 0)) {
    memory.fill(a, 0, <usize>count * sizeof<T>());
    return;
  }
  const largest = <u32>(ceil(threshold) - 1);
  for (let i = 0; i < count; i += CHUNK) {
    const size = min(CHUNK, count - i) as i32;
    const bytes = leadingBytes(BYTES, size, <u64>start + i, keyLo, keyHi);
    keptBytes(bytes, size, <u64>start + i, keyLo, keyHi, largest);
    for (let j = 0; j < size; j += 8) {
      keepEight<T>(a, v128.load_ext<i8>(bytes + j));
      a += 8 * sizeof<T>();
    }
  }
}

/**
 * Zeroes (as +0) the elements whose word is not below the threshold: each is kept with probability threshold / 2^32.
 *
 * @param start index of the first element in its tensor
 * @param threshold in [0, 2^32]; 2^32 keeps all
 */
export function drop32(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  drop<f32>(a, count, start, keyLo, keyHi, threshold);
}

export function drop64(a: usize, count: i32, start: f64, keyLo: u32, keyHi: u32, threshold: f64): void {
  drop<f64>(a, count, start, keyLo, keyHi, threshold);
}
