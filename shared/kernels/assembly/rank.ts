/** Ranks of the elements of a row: a stable radix sort of (key, index) pairs from the lowest digit on, digits that are the same for all keys left out. */
import { bytesOf, fourKeys } from './vectors';

/** Rows shorter than this are sorted by 8-bit digits in four passes, longer ones by 11-bit digits in three. */
const LONG_ROW: i32 = 2048;
const TABLES = memory.data(24576, 16);

@inline function digitOf(key: u32, pass: i32, bits: i32): usize {
  return <usize>((key >> (pass * bits)) & ((1 << bits) - 1));
}

@inline function bump(table: usize, digit: usize): u32 {
  const at = table + (digit << 2);
  const before = load<u32>(at);
  store<u32>(at, before + 1);
  return before;
}

@inline function countDigits(keys: usize, count: i32, bits: i32, passes: i32): void {
  const size: usize = <usize>4 << bits;
  memory.fill(TABLES, 0, size * passes);
  for (let i = 0; i < count; i++) {
    const key = load<u32>(keys + (<usize>i << 2));
    bump(TABLES, digitOf(key, 0, bits));
    bump(TABLES + size, digitOf(key, 1, bits));
    bump(TABLES + 2 * size, digitOf(key, 2, bits));
    if (passes == 4) bump(TABLES + 3 * size, digitOf(key, 3, bits));
  }
}

/** Counts to first positions. */
function startPositions(table: usize, size: usize): void {
  let sum: u32 = 0;
  for (let at = table; at < table + size; at += 4) {
    const found = load<u32>(at);
    store<u32>(at, sum);
    sum += found;
  }
}

/** `from`: the keys themselves when `first`, else pairs of key (low half) and index; `to`: the ranks when `last`, else pairs. */
@inline function pass(from: usize, to: usize, count: i32, table: usize, shift: i32, mask: u32, first: bool, last: bool): void {
  for (let i = 0; i < count; i++) {
    const pair = first ? <u64>load<u32>(from + (<usize>i << 2)) | (<u64>i << 32) : load<u64>(from + (<usize>i << 3));
    const position = bump(table, <usize>((<u32>pair >> shift) & mask));
    if (last) store<u32>(to + (<usize>(pair >> 32) << 2), position);
    else store<u64>(to + (<usize>position << 3), pair);
  }
}

@inline function ranksBy(keys: usize, count: i32, scratch: usize, to: usize, bits: i32, passes: i32): void {
  const size: usize = <usize>4 << bits;
  countDigits(keys, count, bits, passes);
  const some = load<u32>(keys);
  let lastPass = -1;
  for (let p = 0; p < passes; p++) {
    if (load<u32>(TABLES + size * p + (digitOf(some, p, bits) << 2)) != <u32>count) lastPass = p;
  }
  if (lastPass < 0) {
    for (let i = 0; i < count; i++) store<u32>(to + (<usize>i << 2), i);
    return;
  }
  const mask: u32 = (1 << bits) - 1;
  let from = keys;
  let free = scratch;
  let used = scratch + (<usize>count << 3);
  for (let p = 0; p <= lastPass; p++) {
    const table = TABLES + size * p;
    const first = from == keys;
    if (p < lastPass && load<u32>(table + (digitOf(some, p, bits) << 2)) == <u32>count) continue;
    startPositions(table, size);
    if (p == lastPass) {
      if (first) pass(from, to, count, table, p * bits, mask, true, true);
      else pass(from, to, count, table, p * bits, mask, false, true);
      return;
    }
    if (first) pass(from, free, count, table, p * bits, mask, true, false);
    else pass(from, free, count, table, p * bits, mask, false, false);
    from = free;
    free = used;
    used = from;
  }
}

/**
 * The rank of every key, 0 the smallest, equal keys in index order.
 *
 * @param keys u32[count], left as they are
 * @param count up to 2^24
 * @param scratch 16 bytes an element, apart from keys and ranks
 * @param to u32[count]
 */
export function ranks(keys: usize, count: i32, scratch: usize, to: usize): void {
  if (count <= 0) return;
  if (count < LONG_ROW) ranksBy(keys, count, scratch, to, 8, 4);
  else ranksBy(keys, count, scratch, to, 11, 3);
}

@inline function keysOf<T>(a: usize, count: i32, to: usize): void {
  const end = a + bytesOf<T>(count);
  for (; a < end; a += 4 * sizeof<T>(), to += 16) v128.store(to, fourKeys<T>(a));
}

/** The keys (31 bits each) as u32. */
export function keysOf32(a: usize, count: i32, to: usize): void {
  keysOf<f32>(a, count, to);
}

export function keysOf64(a: usize, count: i32, to: usize): void {
  keysOf<f64>(a, count, to);
}
