/**
 * DELLA's masks of many rows at once, without sorting them. An element is kept where word x 2^-32 < low + step x rank (rank-mask.ts), which nearly always
 * can be told from less than word and rank: most leading bytes lie below or above the probabilities of all ranks; for the others the row's keys are
 * counted in bins, and the first and last rank of an element's bin are enough; only if the border lies between these two are the keys compared.
 * What always holds: the mask is the one that exact ranks give, ties by index. All borders rely on f64 being monotone: low + step x rank never falls.
 */
import { leadingBytes } from './random';
import { ranks } from './rank';
import { BYTE_SPAN, BYTE_UNIT, isKept, WORD_UNIT, wordAt } from './rank-mask';

/** Up to here counting the smaller keys for each open element is cheaper than bins. */
const SHORT_ROW: i32 = 64;
/** Ranks within rows up to here fit into 16 bits. Longer rows, which are rare, are sorted. */
const LONGEST_COUNTED: i32 = 65_535;
/** Elements left after the bins up to which each is compared with the whole row. */
const FEW: i32 = 4;
/** Comparisons an element of the row may cost on average before the row is sorted. */
const MOST_WORK: i32 = 24;
/** Bins are powers of two in number, up to 4096, and span eight octaves below the largest key; bin 0 has the zeros, bin 1 all keys below the span. */
const OCTAVES_BITS: i32 = 3;
/** u16 a bin; zeros between rows. */
const COUNTS = memory.data(8192, 16);
/** u16 a bin and one more: ranks below the bin. */
const STARTS = memory.data(8192 + 32, 16);
/** A byte a bin: 0 not known, 1 all keys are the same, 2 they are not. Zeros between rows. */
const UNIFORM = memory.data(4096, 16);

/** The call in hand. `low`, `step` and `key..` as in `dellaBits`; the rest are places. */
let low: f64 = 0;
let step: f64 = 0;
let keyLo: u32 = 0;
let keyHi: u32 = 0;
let first: u64 = 0;
let bytes: usize = 0;
let open: usize = 0;
let kept: usize = 0;

@inline function keep(one: i32): void {
  const at = kept + (one >> 3);
  store<u8>(at, load<u8>(at) | ((<u8>1) << (<u8>(one & 7))));
}

@inline function decide(one: i32, rank: i32): void {
  if (isKept(load<u8>(bytes + one), first + one, keyLo, keyHi, low + step * <f64>rank)) keep(one);
}

/** Bits of [begin, end) that fall into 64-bit word `word` of a bitmap. */
@inline function openIn(word: i32, begin: i32, end: i32): u64 {
  let bits = load<u64>(open + (<usize>word << 3));
  const from = begin - (word << 6);
  const to = end - (word << 6);
  if (from > 0) bits &= (~(<u64>0)) << from;
  if (to < 64) bits &= ((<u64>1) << to) - 1;
  return bits;
}

/** Bits of the elements that their leading byte keeps whatever their rank, and of those that it leaves open. */
function decideByBytes(count: i32, most: f64): void {
  const sure = max<i32>(0, min<i32>(255, <i32>floor(low * 256)));
  const last = max<i32>(0, min<i32>(255, <i32>ceil(most * 256) - 1));
  const sureBytes = i8x16.splat(<u8>sure);
  const lastBytes = i8x16.splat(<u8>last);
  let at: usize = 0;
  for (let i = 0; i < count; i += 16, at += 2) {
    const lead = v128.load(bytes + i);
    store<u16>(kept + at, <u16>i8x16.bitmask(i8x16.lt_u(lead, sureBytes)));
    store<u16>(open + at, <u16>i8x16.bitmask(v128.and(i8x16.ge_u(lead, sureBytes), i8x16.le_u(lead, lastBytes))));
  }
  const tail = count & 15;
  if (tail > 0) store<u16>(kept + at - 2, load<u16>(kept + at - 2) & (((<u16>1) << (<u16>tail)) - 1));
}

/** Those of `count` keys that are smaller than `key`, or as large. */
@inline function countBelow(keys: usize, count: i32, key: i32, orEqual: bool): i32 {
  const pivot = i32x4.splat(key);
  let found = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const four = v128.load(keys + (<usize>i << 2));
    found = i32x4.sub(found, orEqual ? i32x4.le_s(four, pivot) : i32x4.lt_s(four, pivot));
  }
  let sum = i32x4.extract_lane(found, 0) + i32x4.extract_lane(found, 1) + i32x4.extract_lane(found, 2) + i32x4.extract_lane(found, 3);
  for (; i < count; i++) {
    const one = load<i32>(keys + (<usize>i << 2));
    sum += i32(orEqual ? one <= key : one < key);
  }
  return sum;
}

/** Rank of the key at `index`, equal keys in index order. */
function rankIn(keys: usize, count: i32, index: i32): i32 {
  const at = keys + (<usize>index << 2);
  const key = load<i32>(at);
  return countBelow(keys, index, key, true) + countBelow(at, count - index, key, false);
}

function shortRows(keys: usize, rows: i32, columns: i32): void {
  const count = rows * columns;
  for (let word = 0; word < (count + 63) >> 6; word++) {
    for (let left = openIn(word, 0, count); left != 0; left &= left - 1) {
      const one = (word << 6) + <i32>ctz(left);
      const begin = one - (one % columns);
      decide(one, rankIn(keys + (<usize>begin << 2), columns, one - begin));
    }
  }
}

function sortedRow(keys: usize, begin: i32, columns: i32, room: usize): void {
  const found = room + (<usize>columns << 4);
  ranks(keys, columns, room, found);
  for (let word = begin >> 6; word <= (begin + columns - 1) >> 6; word++) {
    for (let left = openIn(word, begin, begin + columns); left != 0; left &= left - 1) {
      const one = (word << 6) + <i32>ctz(left);
      decide(one, load<u32>(found + (<usize>(one - begin) << 2)));
    }
  }
}

/** The bins (u16) of a row's keys. */
function binsOf(keys: usize, columns: i32, bins: usize, binBits: i32): void {
  let most = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= columns; i += 4) most = i32x4.max_s(most, v128.load(keys + (<usize>i << 2)));
  let top = max(max(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1)), max(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3)));
  for (; i < columns; i++) top = max(top, load<i32>(keys + (<usize>i << 2)));
  const shift = 23 - (binBits - OCTAVES_BITS);
  const below = i32x4.splat((top >> shift) - (1 << binBits) + 1);
  const one = i32x4.splat(1);
  const zero = i32x4.splat(0);
  for (i = 0; i < columns; i += 8) {
    const k0 = v128.load(keys + (<usize>i << 2));
    const k1 = v128.load(keys + (<usize>i << 2), 16);
    const b0 = v128.and(i32x4.max_s(i32x4.sub(i32x4.shr_u(k0, shift), below), one), i32x4.ne(k0, zero));
    const b1 = v128.and(i32x4.max_s(i32x4.sub(i32x4.shr_u(k1, shift), below), one), i32x4.ne(k1, zero));
    v128.store(bins + (<usize>i << 1), i16x8.narrow_i32x4_u(b0, b1));
  }
}

@inline function countOne(bin: usize, number: usize): void {
  const at = COUNTS + (bin << 1);
  const before = load<u16>(at);
  store<u16>(number, before);
  store<u16>(at, before + 1);
}

/** Counts the bins; `numbers` (u16): how many elements of its bin come before each. */
function countBins(bins: usize, columns: i32, numbers: usize): void {
  const end = bins + (<usize>columns << 1);
  for (; bins + 8 <= end; bins += 8, numbers += 8) {
    const four = load<u64>(bins);
    countOne(<usize>(four & 0xffff), numbers);
    countOne(<usize>((four >> 16) & 0xffff), numbers + 2);
    countOne(<usize>((four >> 32) & 0xffff), numbers + 4);
    countOne(<usize>(four >> 48), numbers + 6);
  }
  for (; bins < end; bins += 2, numbers += 2) countOne(load<u16>(bins), numbers);
}

/** COUNTS to STARTS; zeroes COUNTS. */
function startBins(entries: i32, columns: i32): void {
  const zero = i16x8.splat(0);
  let sum = zero;
  const end = <usize>entries << 1;
  for (let at: usize = 0; at < end; at += 16) {
    const own = v128.load(COUNTS + at);
    v128.store(COUNTS + at, zero);
    let all = i16x8.add(own, v128.shuffle<i16>(own, zero, 8, 0, 1, 2, 3, 4, 5, 6));
    all = i16x8.add(all, v128.shuffle<i16>(all, zero, 8, 8, 0, 1, 2, 3, 4, 5));
    all = i16x8.add(all, v128.shuffle<i16>(all, zero, 8, 8, 8, 8, 0, 1, 2, 3));
    v128.store(STARTS + at, i16x8.add(sum, i16x8.sub(all, own)));
    sum = i16x8.add(sum, v128.shuffle<i16>(all, all, 7, 7, 7, 7, 7, 7, 7, 7));
  }
  store<u16>(STARTS + end, <u16>columns);
}

@inline function startOf(bin: usize): i32 {
  return load<u16>(STARTS + (bin << 1));
}

@inline function binAt(bins: usize, index: i32): usize {
  return <usize>load<u16>(bins + (<usize>index << 1));
}

/** Decides by first and last rank of the bin; the others' places within the row go into `list` (u32). Returns their number. */
function decideByBins(begin: i32, columns: i32, bins: usize, list: usize): i32 {
  const least = low;
  const rise = step;
  let listed = 0;
  for (let word = begin >> 6; word <= (begin + columns - 1) >> 6; word++) {
    let found: u64 = 0;
    for (let left = openIn(word, begin, begin + columns); left != 0; left &= left - 1) {
      const bit = ctz(left);
      const one = (word << 6) + <i32>bit;
      const bin = binAt(bins, one - begin);
      const word0 = <f64>load<u8>(bytes + one) * BYTE_UNIT;
      const sure = u64(word0 + BYTE_SPAN < least + rise * <f64>startOf(bin));
      found |= sure << bit;
      if (sure | u64(word0 >= least + rise * <f64>(startOf(bin + 1) - 1))) continue;
      store<u32>(list + (<usize>listed << 2), one - begin);
      listed++;
    }
    const at = kept + (<usize>word << 3);
    if (found != 0) store<u64>(at, load<u64>(at) | found);
  }
  return listed;
}

/** As before with the whole word. Bin 0 has one key only, so ranks there are known. */
function decideByWords(begin: i32, bins: usize, numbers: usize, list: usize, listed: i32): i32 {
  let still = 0;
  for (let i = 0; i < listed; i++) {
    const index = load<u32>(list + (<usize>i << 2)) as i32;
    const one = begin + index;
    const bin = binAt(bins, index);
    if (bin == 0) {
      decide(one, load<u16>(numbers + (<usize>index << 1)));
      continue;
    }
    const word = <f64>wordAt(load<u8>(bytes + one), first + one, keyLo, keyHi) * WORD_UNIT;
    if (word < low + step * <f64>startOf(bin)) {
      keep(one);
    } else if (word < low + step * <f64>(startOf(bin + 1) - 1)) {
      store<u32>(list + (<usize>still << 2), index);
      still++;
    }
  }
  return still;
}

function isUniform(bin: usize, keys: usize, count: i32): bool {
  let known = load<u8>(UNIFORM + bin);
  if (known == 0) {
    known = countBelow(keys, count, load<i32>(keys), false) == 0 && countBelow(keys, count, load<i32>(keys), true) == count ? 1 : 2;
    store<u8>(UNIFORM + bin, known);
  }
  return known == 1;
}

/** Decides by ranks within bins, whose keys are gathered in `grouped`. False if that is more work than to sort: some may be decided already. */
function decideByRanks(begin: i32, columns: i32, bins: usize, numbers: usize, grouped: usize, list: usize, listed: i32): bool {
  let work = 0;
  for (let i = 0; i < listed && work <= columns * MOST_WORK; i++) {
    const index = load<u32>(list + (<usize>i << 2)) as i32;
    const bin = binAt(bins, index);
    const from = startOf(bin);
    const size = startOf(bin + 1) - from;
    const keys = grouped + (<usize>from << 2);
    const number = <i32>load<u16>(numbers + (<usize>index << 1));
    if (isUniform(bin, keys, size)) {
      decide(begin + index, from + number);
    } else {
      decide(begin + index, from + rankIn(keys, size, number));
      work += size;
    }
  }
  for (let i = 0; i < listed; i++) store<u8>(UNIFORM + binAt(bins, load<u32>(list + (<usize>i << 2)) as i32), 0);
  return work <= columns * MOST_WORK;
}

function countedRow(keys: usize, begin: i32, columns: i32, room: usize): void {
  const bins = room;
  const numbers = bins + (<usize>columns << 1) + 32;
  const list = numbers + (<usize>columns << 1) + 32;
  const grouped = list + (<usize>columns << 2);
  const binBits = columns <= 384 ? 8 : columns <= 2048 ? 10 : 12;
  binsOf(keys, columns, bins, binBits);
  countBins(bins, columns, numbers);
  startBins(1 << binBits, columns);
  let listed = decideByBins(begin, columns, bins, list);
  listed = decideByWords(begin, bins, numbers, list, listed);
  if (listed <= FEW) {
    for (let i = 0; i < listed; i++) {
      const index = load<u32>(list + (<usize>i << 2)) as i32;
      decide(begin + index, rankIn(keys, columns, index));
    }
    return;
  }
  for (let i = 0; i < columns; i++) {
    const to = startOf(binAt(bins, i)) + <i32>load<u16>(numbers + (<usize>i << 1));
    store<u32>(grouped + (<usize>to << 2), load<u32>(keys + (<usize>i << 2)));
  }
  if (!decideByRanks(begin, columns, bins, numbers, grouped, list, listed)) sortedRow(keys, begin, columns, room);
}

/**
 * Mask bits of whole rows: bit i & 7 of byte i >> 3 is set where element i is kept, which is where word x 2^-32 < low + step x rank, f64 arithmetic.
 *
 * @param keys u32 (31 bits) an element, row by row
 * @param step with one column taken as 0
 * @param start index of the first element in its tensor
 * @param scratch 2 bytes an element, 20 an element of one row, and 1024
 * @param bits whole groups of 16 bits are written, zeros behind the last element; up to 6 bytes behind these are read and written back
 */
export function dellaBits(
  keys: usize, rows: i32, columns: i32, lowest: f64, rise: f64, start: f64, lowKey: u32, highKey: u32, scratch: usize, bits: usize,
): void {
  const count = rows * columns;
  low = lowest;
  step = columns > 1 ? rise : 0;
  keyLo = lowKey;
  keyHi = highKey;
  first = <u64>start;
  kept = bits;
  bytes = leadingBytes(scratch, count, first, keyLo, keyHi);
  open = scratch + ((<usize>count + 255) & ~63);
  const room = open + (((<usize>count >> 3) + 127) & ~63);
  const last = low + step * <f64>(columns - 1);
  if (step < 0) {
    const span = low;
    low = last;
    decideByBytes(count, span);
    low = span;
  } else {
    decideByBytes(count, last);
  }
  if (columns <= SHORT_ROW) return shortRows(keys, rows, columns);
  for (let begin = 0; begin < count; begin += columns) {
    const row = keys + (<usize>begin << 2);
    if (columns > LONGEST_COUNTED || step < 0) sortedRow(row, begin, columns, room);
    else countedRow(row, begin, columns, room);
  }
}
