/**
 * Keys of one row counted in bins, for the ranks that rank-draw.ts needs: elements before an element's bin and before the element in it. Rows of up to
 * 65,535 elements, so that all of these fit into 16 bits.
 */

/** Bins are powers of two in number, up to 4096, and span eight octaves below the largest key; bin 0 has the zeros, bin 1 all keys below the span. */
const OCTAVES_BITS: i32 = 3;
/** u16 a bin; zeros between rows. */
const COUNTS = memory.data(8192, 16);
/** u16 a bin and one more: ranks below the bin. */
const STARTS = memory.data(8192 + 32, 16);
/** A byte a bin: 0 not known, 1 all keys are the same, 2 they are not. Zeros between rows. */
const UNIFORM = memory.data(4096, 16);

/** The bins (u16) of a row's keys. */
export function binsOf(keys: usize, columns: i32, bins: usize, binBits: i32): void {
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
export function countBins(bins: usize, columns: i32, numbers: usize): void {
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
export function startBins(entries: i32, columns: i32): void {
  const zero = i16x8.splat(0);
  let sum = zero;
  const end = <usize>entries << 1;
  for (let at: usize = 0; at < end; at += 16) {
    const own = v128.load(COUNTS + at);
    v128.store(COUNTS + at, zero);
    let all = i16x8.add(own, v128.shuffle<i16>(zero, own, 7, 8, 9, 10, 11, 12, 13, 14));
    all = i16x8.add(all, v128.shuffle<i16>(zero, all, 6, 7, 8, 9, 10, 11, 12, 13));
    all = i16x8.add(all, v128.shuffle<i16>(zero, all, 4, 5, 6, 7, 8, 9, 10, 11));
    v128.store(STARTS + at, i16x8.add(sum, i16x8.sub(all, own)));
    sum = i16x8.add(sum, v128.shuffle<i16>(all, all, 7, 7, 7, 7, 7, 7, 7, 7));
  }
  store<u16>(STARTS + end, <u16>columns);
}

/** Elements of the row in lower bins. */
@inline export function startOf(bin: usize): i32 {
  return load<u16>(STARTS + (bin << 1));
}

@inline export function binAt(bins: usize, index: i32): usize {
  return <usize>load<u16>(bins + (<usize>index << 1));
}

/** Elements of the same bin before the one at `index`. */
@inline export function numberAt(numbers: usize, index: i32): i32 {
  return load<u16>(numbers + (<usize>index << 1));
}

/** `startOf` of a bin in the lower, of the next bin in the upper half. */
@inline export function startsOf(bin: usize): u32 {
  return load<u32>(STARTS + (bin << 1));
}

/** The keys of a row bin by bin, in index order within each. */
export function groupKeys(keys: usize, columns: i32, bins: usize, numbers: usize, grouped: usize): void {
  for (let i = 0; i < columns; i++) {
    const to = startOf(binAt(bins, i)) + numberAt(numbers, i);
    store<u32>(grouped + (<usize>to << 2), load<u32>(keys + (<usize>i << 2)));
  }
}

/** Whether all keys of a bin, which lie at `keys`, are the same. To be forgotten by `forgetUniform` before the next row. */
export function isUniform(bin: usize, keys: usize, count: i32): bool {
  let known = load<u8>(UNIFORM + bin);
  if (known == 0) {
    known = countBelow(keys, count, load<i32>(keys), false) == 0 && countBelow(keys, count, load<i32>(keys), true) == count ? 1 : 2;
    store<u8>(UNIFORM + bin, known);
  }
  return known == 1;
}

export function forgetUniform(bin: usize): void {
  store<u8>(UNIFORM + bin, 0);
}

/** Those of `count` keys that are smaller than `key`, or as large. */
@inline export function countBelow(keys: usize, count: i32, key: i32, orEqual: bool): i32 {
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
export function rankIn(keys: usize, count: i32, index: i32): i32 {
  const at = keys + (<usize>index << 2);
  const key = load<i32>(at);
  return countBelow(keys, index, key, true) + countBelow(at, count - index, key, false);
}
