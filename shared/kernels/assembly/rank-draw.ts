/**
 * DELLA's masks of many rows at once, without sorting them. An element is kept where word x 2^-32 < low + step x rank (rank-mask.ts), which nearly always
 * can be told from less than word and rank: most leading bytes lie below or above the probabilities of all ranks; for the others the row's keys are
 * counted in bins, and the first and last rank of an element's bin are enough; only if the border lies between these two are the keys compared.
 * What always holds: the mask is the one that exact ranks give, ties by index. All borders rely on f64 being monotone: low + step x rank never falls.
 */
import { leadingBytes } from './random';
import { ranks } from './rank';
import { binAt, binsOf, countBins, forgetUniform, groupKeys, isUniform, numberAt, rankIn, startBins, startOf, startsOf } from './rank-bins';
import { BYTE_SPAN, BYTE_UNIT, isKept, WORD_UNIT, wordAt } from './rank-mask';

/** Up to here counting the smaller keys for each open element is cheaper than bins. */
const SHORT_ROW: i32 = 32;
/** Ranks within rows up to here fit into 16 bits. Longer rows, which are rare, are sorted. */
const LONGEST_COUNTED: i32 = 65_535;
/** Elements left after the bins up to which each is compared with the whole row. */
const FEW: i32 = 4;
/** Comparisons an element of the row may cost on average before the row is sorted. */
const MOST_WORK: i32 = 24;
/** For each leading byte that leaves something open two u16: ranks from the first on keep all its words, ranks below the second none. */
const BORDERS = memory.data(1024, 16);
/** The call in hand. `low`, `step` and `key..` as in `dellaBits`; the rest are places. */
let low: f64 = 0;
let step: f64 = 0;
let keyLo: u32 = 0;
let keyHi: u32 = 0;
let first: u64 = 0;
let bytes: usize = 0;
let open: usize = 0;
let kept: usize = 0;
/** Elements in a row that BORDERS hold for. */
let borderedColumns: i32 = 0;

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

/** The first leading byte that leaves something open: those below it keep whatever the rank. */
function firstOpen(): i32 {
  return max<i32>(0, min<i32>(255, <i32>floor(low * 256)));
}

/** The last one: those above it keep nothing. */
function lastOpen(columns: i32): i32 {
  return max<i32>(0, min<i32>(255, <i32>ceil((low + step * <f64>(columns - 1)) * 256) - 1));
}

/** Bits of the elements that their leading byte keeps whatever their rank, and of those that it leaves open. */
function decideByBytes(count: i32, columns: i32): void {
  const sureBytes = i8x16.splat(<u8>firstOpen());
  const lastBytes = i8x16.splat(<u8>lastOpen(columns));
  let at: usize = 0;
  for (let i = 0; i < count; i += 16, at += 2) {
    const lead = v128.load(bytes + i);
    store<u16>(kept + at, <u16>i8x16.bitmask(i8x16.lt_u(lead, sureBytes)));
    store<u16>(open + at, <u16>i8x16.bitmask(v128.and(i8x16.ge_u(lead, sureBytes), i8x16.le_u(lead, lastBytes))));
  }
  const tail = count & 15;
  if (tail > 0) store<u16>(kept + at - 2, load<u16>(kept + at - 2) & (((<u16>1) << (<u16>tail)) - 1));
}

/** The first rank at which a word of `least` x 2^32 is kept; `columns` if there is none. */
function firstKeeping(least: f64, columns: i32): i32 {
  if (!(step > 0)) return least < low ? 0 : columns;
  let rank = <i32>max<f64>(0, min<f64>(columns, (least - low) / step));
  while (rank > 0 && least < low + step * <f64>(rank - 1)) rank--;
  while (rank < columns && !(least < low + step * <f64>rank)) rank++;
  return rank;
}

function setBorders(columns: i32): void {
  const last = lastOpen(columns);
  for (let byte = firstOpen(); byte <= last; byte++) {
    const least = <f64>byte * BYTE_UNIT;
    store<u16>(BORDERS + (byte << 2), <u16>firstKeeping(least + BYTE_SPAN, columns));
    store<u16>(BORDERS + (byte << 2), <u16>firstKeeping(least, columns), 2);
  }
  borderedColumns = columns;
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

@inline function placeAt(list: usize, index: i32): i32 {
  return load<i32>(list + (<usize>index << 2));
}

/** Decides by first and last rank of the bin; the others' places within the row go into `list` (u32). Returns their number. */
function decideByBins(begin: i32, columns: i32, bins: usize, list: usize): i32 {
  const leads = bytes;
  let listed = 0;
  for (let word = begin >> 6; word <= (begin + columns - 1) >> 6; word++) {
    let found: u64 = 0;
    for (let left = openIn(word, begin, begin + columns); left != 0; left &= left - 1) {
      const bit = ctz(left);
      const one = (word << 6) + <i32>bit;
      const starts = startsOf(binAt(bins, one - begin));
      const borders = load<u32>(BORDERS + (<usize>load<u8>(leads + one) << 2));
      const sure = u32((starts & 0xffff) >= (borders & 0xffff));
      found |= <u64>sure << bit;
      if (sure | u32(starts >> 16 <= borders >> 16)) continue;
      store<u32>(list + (<usize>listed << 2), one - begin);
      listed++;
    }
    const at = kept + (<usize>word << 3);
    if (found != 0) store<u64>(at, load<u64>(at) | found);
  }
  return listed;
}

/**
 * As before with the whole word, where it says more than the rank would. Ranks are known already in bin 0, which has one key only, and where an element is
 * alone in its bin.
 */
function decideByWords(begin: i32, bins: usize, numbers: usize, list: usize, listed: i32): i32 {
  let still = 0;
  for (let i = 0; i < listed; i++) {
    const index = placeAt(list, i);
    const one = begin + index;
    const bin = binAt(bins, index);
    const size = startOf(bin + 1) - startOf(bin);
    if (bin == 0 || size == 1) {
      decide(one, startOf(bin) + numberAt(numbers, index));
      continue;
    }
    const byte = <u32>load<u8>(bytes + one);
    const borders = load<u32>(BORDERS + (byte << 2));
    if (size <= <i32>(borders & 0xffff) - <i32>(borders >> 16)) {
      const word = <f64>wordAt(byte, first + one, keyLo, keyHi) * WORD_UNIT;
      if (word < low + step * <f64>startOf(bin)) {
        keep(one);
        continue;
      }
      if (word >= low + step * <f64>(startOf(bin + 1) - 1)) continue;
    }
    store<u32>(list + (<usize>still << 2), index);
    still++;
  }
  return still;
}

/** Decides by ranks within bins, whose keys are gathered in `grouped`. False if that is more work than to sort: some may be decided already. */
function decideByRanks(begin: i32, columns: i32, bins: usize, numbers: usize, grouped: usize, list: usize, listed: i32): bool {
  let work = 0;
  for (let i = 0; i < listed && work <= columns * MOST_WORK; i++) {
    const index = placeAt(list, i);
    const bin = binAt(bins, index);
    const from = startOf(bin);
    const size = startOf(bin + 1) - from;
    const keys = grouped + (<usize>from << 2);
    const number = numberAt(numbers, index);
    if (isUniform(bin, keys, size)) {
      decide(begin + index, from + number);
    } else {
      decide(begin + index, from + rankIn(keys, size, number));
      work += size;
    }
  }
  for (let i = 0; i < listed; i++) forgetUniform(binAt(bins, placeAt(list, i)));
  return work <= columns * MOST_WORK;
}

function countedRow(keys: usize, begin: i32, columns: i32, room: usize): void {
  const bins = room;
  const numbers = bins + (<usize>columns << 1) + 32;
  const list = numbers + (<usize>columns << 1) + 32;
  const grouped = list + (<usize>columns << 2);
  const binBits = columns <= 128 ? 7 : columns <= 384 ? 8 : columns <= 768 ? 9 : columns <= 2048 ? 10 : 12;
  binsOf(keys, columns, bins, binBits);
  countBins(bins, columns, numbers);
  startBins(1 << binBits, columns);
  let listed = decideByBins(begin, columns, bins, list);
  listed = decideByWords(begin, bins, numbers, list, listed);
  if (listed <= FEW) {
    for (let i = 0; i < listed; i++) {
      const index = placeAt(list, i);
      decide(begin + index, rankIn(keys, columns, index));
    }
    return;
  }
  groupKeys(keys, columns, bins, numbers, grouped);
  if (!decideByRanks(begin, columns, bins, numbers, grouped, list, listed)) sortedRow(keys, begin, columns, room);
}

/**
 * Mask bits of whole rows: bit i & 7 of byte i >> 3 is set where element i is kept, which is where word x 2^-32 < low + step x rank, f64 arithmetic.
 *
 * @param keys u32 (31 bits) an element, row by row
 * @param rise `step`, not negative; 0 with one column
 * @param start index of the first element in its tensor
 * @param scratch 2 bytes an element, 20 an element of one row, and 1024
 * @param bits whole groups of 16 bits are written, zeros behind the last element; up to 6 bytes behind these are read and written back
 */
export function dellaBits(
  keys: usize, rows: i32, columns: i32, lowest: f64, rise: f64, start: f64, lowKey: u32, highKey: u32, scratch: usize, bits: usize,
): void {
  const count = rows * columns;
  if (lowest != low || rise != step || columns != borderedColumns) borderedColumns = 0;
  low = lowest;
  step = rise;
  keyLo = lowKey;
  keyHi = highKey;
  first = <u64>start;
  kept = bits;
  bytes = leadingBytes(scratch, count, first, keyLo, keyHi);
  open = scratch + ((<usize>count + 255) & ~63);
  const room = open + (((<usize>count >> 3) + 127) & ~63);
  decideByBytes(count, columns);
  if (columns <= SHORT_ROW) return shortRows(keys, rows, columns);
  if (columns != borderedColumns && columns <= LONGEST_COUNTED) setBorders(columns);
  for (let begin = 0; begin < count; begin += columns) {
    const row = keys + (<usize>begin << 2);
    if (columns > LONGEST_COUNTED) sortedRow(row, begin, columns, room);
    else countedRow(row, begin, columns, room);
  }
}
