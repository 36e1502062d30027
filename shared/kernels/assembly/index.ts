/**
 * Kernels of the merge engine, AssemblyScript to WASM SIMD. No garbage collector, no bounds checks: raw pointers into a memory that the
 * caller lays out (shared/kernels/arena.ts). What always holds:
 * - counts are of elements; every buffer has room for PADDING elements more, which kernels may overwrite;
 * - dtype codes: 0 F32, 1 F16, 2 BF16;
 * - elementwise arithmetic is the same operation in the same order for each element, so neither tile size nor position changes a bit.
 *
 * This file has the weighted sum of a whole tile and what reads whole tensors; the other files have primitives on blocks in natural order, from which all
 * other rules are put together (signatures and meaning: shared/kernels/block-functions.ts).
 *
 * Inside a block of this file elements stand in "pair order": of eight elements first those with even, then those with odd index. In a 32-bit lane holding
 * two 16-bit numbers that makes widening bf16 one shift and one mask instead of two shuffles.
 */

import { demote, F16, F32, high, infinityBits, low, pad, roundBf16, roundHalf, widenHalf, width } from './lanes';

export * from './block-load';
export * from './block-finish';
export * from './block-arithmetic';
export * from './block-sums';
export * from './select';
export * from './keep-band';
export { drop32, drop64, randomWords } from './random';
export * from './rank-mask';
export { dellaBits } from './rank-draw';
export * from './mask';
export * from './moments';
export * from './product';
export * from './rank';
export * from './across';
export * from './across-masks';
export * from './consensus';
export * from './sort-across';
export * from './stepwise';
export * from './columns';
export * from './softmax';

/** Elements a block works on: accumulator and base fit into the first-level cache together. */
const BLOCK: i32 = 1024;
const BLOCK_BASE = memory.data(4096, 16);
const BLOCK_ACC = memory.data(8192, 16);
const BLOCK_X = memory.data(4096, 16);
const BLOCK_Y = memory.data(4096, 16);

/** Fields of an input record, see `mergeTile`. */
const RECORD_BYTES: i32 = 24;
/** Value of an input: 0 x, 1 x - base, 2 x + base. */
const PLAIN: i32 = 0;
const MINUS_BASE: i32 = 1;

export function arenaStart(): usize {
  return (__heap_base + 63) & ~63;
}

// ---- widening -------------------------------------------------------------------------------------------------------------------

@inline function loadEven<T>(at: usize): v128 {
  if (isFloat<T>()) return v128.shuffle<f32>(v128.load(at), v128.load(at, 16), 0, 2, 4, 6);
  if (isSigned<T>()) return widenHalf(v128.and(v128.load(at), i32x4.splat(0xffff)));
  return i32x4.shl(v128.load(at), 16);
}

@inline function loadOdd<T>(at: usize): v128 {
  if (isFloat<T>()) return v128.shuffle<f32>(v128.load(at), v128.load(at, 16), 1, 3, 5, 7);
  if (isSigned<T>()) return widenHalf(i32x4.shr_u(v128.load(at), 16));
  return v128.and(v128.load(at), i32x4.splat(0xffff0000));
}

function widenPairsOf<T>(from: usize, to: usize, count: i32): void {
  for (let i = 0; i < count; i += 8) {
    v128.store(to, loadEven<T>(from));
    v128.store(to, loadOdd<T>(from), 16);
    from += 8 * sizeof<T>();
    to += 32;
  }
}

/** To f32 in pair order. `count` is rounded up to eight. */
function widenPairs(from: usize, dtype: i32, to: usize, count: i32): void {
  if (dtype == F32) widenPairsOf<f32>(from, to, count);
  else if (dtype == F16) widenPairsOf<i16>(from, to, count);
  else widenPairsOf<u16>(from, to, count);
}

// ---- narrowing: to nearest, ties to even; NaN stays a quiet NaN of the same sign -----------------------------------------------------

/** As storePairs, for results that are checked for NaN apart: three operations less a vector. */
@inline function storeFinitePairs<T>(at: usize, even: v128, odd: v128): void {
  if (isFloat<T>() || isSigned<T>()) {
    storePairs<T>(at, even, odd);
  } else {
    const half = i32x4.splat(0x7fff);
    const one = i32x4.splat(1);
    const e = i32x4.add(i32x4.add(even, half), v128.and(i32x4.shr_u(even, 16), one));
    const o = i32x4.add(i32x4.add(odd, half), v128.and(i32x4.shr_u(odd, 16), one));
    v128.store(at, v128.or(i32x4.shr_u(e, 16), v128.and(o, i32x4.splat(0xffff0000))));
  }
}

@inline function storePairs<T>(at: usize, even: v128, odd: v128): void {
  if (isFloat<T>()) {
    v128.store(at, v128.shuffle<f32>(even, odd, 0, 4, 1, 5));
    v128.store(at, v128.shuffle<f32>(even, odd, 2, 6, 3, 7), 16);
  } else if (isSigned<T>()) {
    v128.store(at, v128.or(roundHalf(even), i32x4.shl(roundHalf(odd), 16)));
  } else {
    v128.store(at, v128.or(i32x4.shr_u(roundBf16(even), 16), v128.and(roundBf16(odd), i32x4.splat(0xffff0000))));
  }
}

// ---- accumulating in fp32 -------------------------------------------------------------------------------------------------------------

@inline function valueF32(x: v128, base: v128, mode: i32): v128 {
  if (mode == PLAIN) return x;
  return mode == MINUS_BASE ? f32x4.sub(x, base) : f32x4.add(x, base);
}

@inline function addOneF32<T>(x: usize, c: v128, base: usize, acc: usize, count: i32, mode: i32, first: bool): void {
  for (let i = 0; i < count; i += 8) {
    let even = f32x4.mul(c, valueF32(loadEven<T>(x), v128.load(base), mode));
    let odd = f32x4.mul(c, valueF32(loadOdd<T>(x), v128.load(base, 16), mode));
    if (!first) {
      even = f32x4.add(v128.load(acc), even);
      odd = f32x4.add(v128.load(acc, 16), odd);
    }
    v128.store(acc, even);
    v128.store(acc, odd, 16);
    x += 8 * sizeof<T>();
    base += 32;
    acc += 32;
  }
}

function addOneOfF32<T>(x: usize, coefficient: f32, base: usize, acc: usize, count: i32, mode: i32, first: bool): void {
  const c = f32x4.splat(coefficient);
  if (mode == PLAIN) {
    if (first) addOneF32<T>(x, c, base, acc, count, 0, true);
    else addOneF32<T>(x, c, base, acc, count, 0, false);
  } else if (mode == MINUS_BASE) {
    if (first) addOneF32<T>(x, c, base, acc, count, 1, true);
    else addOneF32<T>(x, c, base, acc, count, 1, false);
  } else {
    if (first) addOneF32<T>(x, c, base, acc, count, 2, true);
    else addOneF32<T>(x, c, base, acc, count, 2, false);
  }
}

/** Two inputs of one dtype and mode in a pass: half the traffic of the accumulator, the same additions in the same order. */
@inline function addTwoF32<T>(x: usize, y: usize, cx: v128, cy: v128, base: usize, acc: usize, count: i32, mode: i32, first: bool): void {
  for (let i = 0; i < count; i += 8) {
    let even = f32x4.mul(cx, valueF32(loadEven<T>(x), v128.load(base), mode));
    let odd = f32x4.mul(cx, valueF32(loadOdd<T>(x), v128.load(base, 16), mode));
    if (!first) {
      even = f32x4.add(v128.load(acc), even);
      odd = f32x4.add(v128.load(acc, 16), odd);
    }
    even = f32x4.add(even, f32x4.mul(cy, valueF32(loadEven<T>(y), v128.load(base), mode)));
    odd = f32x4.add(odd, f32x4.mul(cy, valueF32(loadOdd<T>(y), v128.load(base, 16), mode)));
    v128.store(acc, even);
    v128.store(acc, odd, 16);
    x += 8 * sizeof<T>();
    y += 8 * sizeof<T>();
    base += 32;
    acc += 32;
  }
}

function addTwoOfF32<T>(x: usize, y: usize, a: f32, b: f32, base: usize, acc: usize, count: i32, mode: i32, first: bool): void {
  const cx = f32x4.splat(a);
  const cy = f32x4.splat(b);
  if (mode == PLAIN) {
    if (first) addTwoF32<T>(x, y, cx, cy, base, acc, count, 0, true);
    else addTwoF32<T>(x, y, cx, cy, base, acc, count, 0, false);
  } else if (mode == MINUS_BASE) {
    if (first) addTwoF32<T>(x, y, cx, cy, base, acc, count, 1, true);
    else addTwoF32<T>(x, y, cx, cy, base, acc, count, 1, false);
  } else {
    if (first) addTwoF32<T>(x, y, cx, cy, base, acc, count, 2, true);
    else addTwoF32<T>(x, y, cx, cy, base, acc, count, 2, false);
  }
}

// ---- accumulating in fp64: for F32 outputs, so that their one rounding is the last one ----------------------------------------------

@inline function termF64(x: v128, base: v128, c: v128, mode: i32): v128 {
  if (mode == PLAIN) return f64x2.mul(c, x);
  return f64x2.mul(c, mode == MINUS_BASE ? f64x2.sub(x, base) : f64x2.add(x, base));
}

@inline function putF64(acc: usize, term: v128, first: bool): void {
  v128.store(acc, first ? term : f64x2.add(v128.load(acc), term));
}

function addOneOfF64<T>(x: usize, coefficient: f64, base: usize, acc: usize, count: i32, mode: i32, first: bool): void {
  const c = f64x2.splat(coefficient);
  for (let i = 0; i < count; i += 8) {
    const even = loadEven<T>(x);
    const odd = loadOdd<T>(x);
    const baseEven = v128.load(base);
    const baseOdd = v128.load(base, 16);
    putF64(acc, termF64(low(even), low(baseEven), c, mode), first);
    putF64(acc + 16, termF64(high(even), high(baseEven), c, mode), first);
    putF64(acc + 32, termF64(low(odd), low(baseOdd), c, mode), first);
    putF64(acc + 48, termF64(high(odd), high(baseOdd), c, mode), first);
    x += 8 * sizeof<T>();
    base += 32;
    acc += 64;
  }
}

// ---- finishing ------------------------------------------------------------------------------------------------------------------------

/**
 * acc / divisor x lambda, plus base: a merged vector of exactly zero leaves the base's bits, the sign of a zero included (zero is added as -0,
 * which is neutral for +0 and -0 alike).
 */
@inline function finishLanesF32(acc: v128, base: v128, divisor: f32, lambda: f32, plusBase: bool): v128 {
  if (divisor != 1) acc = f32x4.div(acc, f32x4.splat(divisor));
  if (lambda != 1) acc = f32x4.mul(acc, f32x4.splat(lambda));
  if (!plusBase) return acc;
  const zero = f32x4.eq(acc, f32x4.splat(0));
  return f32x4.add(base, v128.or(acc, v128.and(zero, i32x4.splat(0x80000000))));
}

function finishOfF32<T>(acc: usize, base: usize, out: usize, count: i32, divisor: f32, lambda: f32, plusBase: bool): bool {
  const absolute = i32x4.splat(0x7fffffff);
  let largest = i32x4.splat(0);
  for (let i = 0; i < count; i += 8) {
    const even = finishLanesF32(v128.load(acc), v128.load(base), divisor, lambda, plusBase);
    const odd = finishLanesF32(v128.load(acc, 16), v128.load(base, 16), divisor, lambda, plusBase);
    largest = i32x4.max_s(largest, i32x4.max_s(v128.and(even, absolute), v128.and(odd, absolute)));
    storeFinitePairs<T>(out, even, odd);
    out += 8 * sizeof<T>();
    acc += 32;
    base += 32;
  }
  return v128.any_true(i32x4.ge_s(largest, i32x4.splat(infinityBits<T>())));
}

@inline function finishLanesF64(acc: v128, base: v128, divisor: f64, lambda: f64, plusBase: bool): v128 {
  if (divisor != 1) acc = f64x2.div(acc, f64x2.splat(divisor));
  if (lambda != 1) acc = f64x2.mul(acc, f64x2.splat(lambda));
  if (!plusBase) return acc;
  return v128.bitselect(base, f64x2.add(base, acc), f64x2.eq(acc, f64x2.splat(0)));
}

function finishF64(acc: usize, base: usize, out: usize, count: i32, divisor: f64, lambda: f64, plusBase: bool): bool {
  const absolute = i32x4.splat(0x7fffffff);
  let largest = i32x4.splat(0);
  for (let i = 0; i < count; i += 8) {
    const baseEven = v128.load(base);
    const baseOdd = v128.load(base, 16);
    const even = demote(
      finishLanesF64(v128.load(acc), low(baseEven), divisor, lambda, plusBase),
      finishLanesF64(v128.load(acc, 16), high(baseEven), divisor, lambda, plusBase),
    );
    const odd = demote(
      finishLanesF64(v128.load(acc, 32), low(baseOdd), divisor, lambda, plusBase),
      finishLanesF64(v128.load(acc, 48), high(baseOdd), divisor, lambda, plusBase),
    );
    largest = i32x4.max_s(largest, i32x4.max_s(v128.and(even, absolute), v128.and(odd, absolute)));
    storePairs<f32>(out, even, odd);
    out += 32;
    acc += 64;
    base += 32;
  }
  return v128.any_true(i32x4.ge_s(largest, i32x4.splat(0x7f800000)));
}

// ---- the common case in one pass: 16-bit inputs, base and output of one dtype, up to four inputs at a time -------------------------------

/** Elements with even index of eight 16-bit numbers, widened; the vector is loaded once for both halves. */
@inline function evenOf<T>(raw: v128): v128 {
  if (isSigned<T>()) return widenHalf(v128.and(raw, i32x4.splat(0xffff)));
  return i32x4.shl(raw, 16);
}

@inline function oddOf<T>(raw: v128): v128 {
  if (isSigned<T>()) return widenHalf(i32x4.shr_u(raw, 16));
  return v128.and(raw, i32x4.splat(0xffff0000));
}

@inline function term(x: v128, c: v128, base: v128, mode: i32): v128 {
  return f32x4.mul(c, mode == PLAIN ? x : f32x4.sub(x, base));
}

/** Four, three, two or one inputs (`n` is a constant where this is inlined); the accumulator stays in registers when `first` and `last`. */
@inline function fuse<T>(
  n: i32,
  mode: i32,
  x0: usize,
  x1: usize,
  x2: usize,
  x3: usize,
  c0: v128,
  c1: v128,
  c2: v128,
  c3: v128,
  base: usize,
  acc: usize,
  first: bool,
  last: bool,
  divisor: f32,
  lambda: f32,
  plusBase: bool,
  out: usize,
  count: i32,
): bool {
  const absolute = i32x4.splat(0x7fffffff);
  const divisors = f32x4.splat(divisor);
  const lambdas = f32x4.splat(lambda);
  const sign = i32x4.splat(0x80000000);
  const divides = divisor != 1;
  const scales = lambda != 1;
  let largest = i32x4.splat(0);
  const bytes = <usize>count * 2;
  for (let i: usize = 0; i < bytes; i += 16) {
    let baseEven = i32x4.splat(0);
    let baseOdd = i32x4.splat(0);
    if (mode != PLAIN || plusBase) {
      const raw = v128.load(base + i);
      baseEven = evenOf<T>(raw);
      baseOdd = oddOf<T>(raw);
    }
    const raw0 = v128.load(x0 + i);
    let even = term(evenOf<T>(raw0), c0, baseEven, mode);
    let odd = term(oddOf<T>(raw0), c0, baseOdd, mode);
    if (!first) {
      even = f32x4.add(v128.load(acc + 2 * i), even);
      odd = f32x4.add(v128.load(acc + 2 * i, 16), odd);
    }
    if (n > 1) {
      const raw = v128.load(x1 + i);
      even = f32x4.add(even, term(evenOf<T>(raw), c1, baseEven, mode));
      odd = f32x4.add(odd, term(oddOf<T>(raw), c1, baseOdd, mode));
    }
    if (n > 2) {
      const raw = v128.load(x2 + i);
      even = f32x4.add(even, term(evenOf<T>(raw), c2, baseEven, mode));
      odd = f32x4.add(odd, term(oddOf<T>(raw), c2, baseOdd, mode));
    }
    if (n > 3) {
      const raw = v128.load(x3 + i);
      even = f32x4.add(even, term(evenOf<T>(raw), c3, baseEven, mode));
      odd = f32x4.add(odd, term(oddOf<T>(raw), c3, baseOdd, mode));
    }
    if (!last) {
      v128.store(acc + 2 * i, even);
      v128.store(acc + 2 * i, odd, 16);
      continue;
    }
    if (divides) {
      even = f32x4.div(even, divisors);
      odd = f32x4.div(odd, divisors);
    }
    if (scales) {
      even = f32x4.mul(even, lambdas);
      odd = f32x4.mul(odd, lambdas);
    }
    if (plusBase) {
      even = f32x4.add(baseEven, v128.or(even, v128.and(f32x4.eq(even, f32x4.splat(0)), sign)));
      odd = f32x4.add(baseOdd, v128.or(odd, v128.and(f32x4.eq(odd, f32x4.splat(0)), sign)));
    }
    largest = i32x4.max_s(largest, i32x4.max_s(v128.and(even, absolute), v128.and(odd, absolute)));
    storeFinitePairs<T>(out + i, even, odd);
  }
  return v128.any_true(i32x4.ge_s(largest, i32x4.splat(infinityBits<T>())));
}

@inline function inputAt(records: usize, index: i32, n: i32): usize {
  return index < n ? <usize>load<u32>(recordAt(records, index)) : 0;
}

@inline function coefficientAt(records: usize, index: i32, n: i32): v128 {
  return index < n ? f32x4.splat(<f32>load<f64>(recordAt(records, index), 16)) : f32x4.splat(0);
}

function fuseUpToFour<T>(records: usize, n: i32, base: usize, acc: usize, first: bool, last: bool, divisor: f32, lambda: f32, plusBase: bool, out: usize, count: i32): bool {
  const x0 = inputAt(records, 0, n);
  const x1 = inputAt(records, 1, n);
  const x2 = inputAt(records, 2, n);
  const x3 = inputAt(records, 3, n);
  const c0 = coefficientAt(records, 0, n);
  const c1 = coefficientAt(records, 1, n);
  const c2 = coefficientAt(records, 2, n);
  const c3 = coefficientAt(records, 3, n);
  if (load<i32>(records, 8) == PLAIN) {
    if (n == 4) return fuse<T>(4, 0, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
    if (n == 3) return fuse<T>(3, 0, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
    if (n == 2) return fuse<T>(2, 0, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
    return fuse<T>(1, 0, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
  }
  if (n == 4) return fuse<T>(4, 1, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
  if (n == 3) return fuse<T>(3, 1, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
  if (n == 2) return fuse<T>(2, 1, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
  return fuse<T>(1, 1, x0, x1, x2, x3, c0, c1, c2, c3, base, acc, first, last, divisor, lambda, plusBase, out, count);
}

/** Whether all inputs (and the base, if there is one) have the 16-bit dtype of the output and one mode, plain or minus base. */
function isUniform(records: usize, n: i32, base: usize, baseDtype: i32, outDtype: i32): bool {
  if (outDtype == F32 || (base != 0 && baseDtype != outDtype)) return false;
  const mode = load<i32>(records, 8);
  if (mode != PLAIN && mode != MINUS_BASE) return false;
  for (let i = 0; i < n; i++) {
    if (load<i32>(recordAt(records, i), 4) != outDtype || load<i32>(recordAt(records, i), 8) != mode) return false;
  }
  return true;
}

/** More than four inputs: four by four over blocks whose accumulator stays in the first-level cache, unless it is kept between groups. */
function mergeUniform<T>(records: usize, n: i32, base: usize, kept: usize, count: i32, first: bool, last: bool, divisor: f32, lambda: f32, plusBase: bool, out: usize): bool {
  if (n <= 4) return fuseUpToFour<T>(records, n, base, kept, first, last, divisor, lambda, plusBase, out, (count + 7) & ~7);
  const moved = changetype<usize>(BLOCK_X);
  let bad = false;
  for (let start = 0; start < count; start += BLOCK) {
    const size = ((min(BLOCK, count - start) + 7) & ~7) as i32;
    const acc = kept == 0 ? BLOCK_ACC : kept + start * 4;
    for (let i = 0; i < n; i += 4) {
      const group = min(4, n - i) as i32;
      for (let j = 0; j < group; j++) {
        memory.copy(recordAt(moved, j), recordAt(records, i + j), RECORD_BYTES);
        store<u32>(recordAt(moved, j), load<u32>(recordAt(records, i + j)) + start * 2);
      }
      if (fuseUpToFour<T>(moved, group, base + start * 2, acc, first && i == 0, last && i + group == n, divisor, lambda, plusBase, out + start * 2, size)) bad = true;
    }
  }
  return bad;
}

// ---- one tile -------------------------------------------------------------------------------------------------------------------------

@inline function recordAt(records: usize, index: i32): usize {
  return records + index * RECORD_BYTES;
}

@inline function addRecordsF32(records: usize, n: i32, start: i32, acc: usize, count: i32, first: bool): void {
  let i = 0;
  while (i < n) {
    const record = recordAt(records, i);
    const dtype = load<i32>(record, 4);
    const mode = load<i32>(record, 8);
    const x = load<u32>(record) + start * width(dtype);
    const a = <f32>load<f64>(record, 16);
    const next = recordAt(records, i + 1);
    if (i + 1 < n && load<i32>(next, 4) == dtype && load<i32>(next, 8) == mode) {
      const y = load<u32>(next) + start * width(dtype);
      const b = <f32>load<f64>(next, 16);
      if (dtype == F32) addTwoOfF32<f32>(x, y, a, b, BLOCK_BASE, acc, count, mode, first);
      else if (dtype == F16) addTwoOfF32<i16>(x, y, a, b, BLOCK_BASE, acc, count, mode, first);
      else addTwoOfF32<u16>(x, y, a, b, BLOCK_BASE, acc, count, mode, first);
      i += 2;
    } else {
      if (dtype == F32) addOneOfF32<f32>(x, a, BLOCK_BASE, acc, count, mode, first);
      else if (dtype == F16) addOneOfF32<i16>(x, a, BLOCK_BASE, acc, count, mode, first);
      else addOneOfF32<u16>(x, a, BLOCK_BASE, acc, count, mode, first);
      i += 1;
    }
    first = false;
  }
}

@inline function addRecordsF64(records: usize, n: i32, start: i32, acc: usize, count: i32, first: bool): void {
  for (let i = 0; i < n; i++) {
    const record = recordAt(records, i);
    const dtype = load<i32>(record, 4);
    const mode = load<i32>(record, 8);
    const x = load<u32>(record) + start * width(dtype);
    const c = load<f64>(record, 16);
    if (dtype == F32) addOneOfF64<f32>(x, c, BLOCK_BASE, acc, count, mode, first);
    else if (dtype == F16) addOneOfF64<i16>(x, c, BLOCK_BASE, acc, count, mode, first);
    else addOneOfF64<u16>(x, c, BLOCK_BASE, acc, count, mode, first);
    first = false;
  }
}

/**
 * acc = sum of coefficient x value over `n` inputs; then, with the last group of inputs, out = narrow(acc / divisor x lambda [+ base]).
 * F32 outputs are accumulated in fp64, all others in fp32.
 *
 * @param records n records of 24 bytes: u32 pointer, i32 dtype, i32 mode, 4 unused, f64 coefficient
 * @param base pointer, or 0 when neither a mode nor the end needs it
 * @param kept where the accumulator lives between groups (4 or 8 bytes an element), or 0 when one group is all
 * @param first, last whether this is the first, the last group
 * @returns whether a result is NaN or infinite (only told with the last group); the bits of NaN results are then unspecified
 */
export function mergeTile(
  records: usize,
  n: i32,
  base: usize,
  baseDtype: i32,
  kept: usize,
  count: i32,
  first: bool,
  last: bool,
  divisor: f64,
  lambda: f64,
  plusBase: bool,
  out: usize,
  outDtype: i32,
): bool {
  const wide = outDtype == F32;
  for (let i = 0; i < n; i++) pad(load<u32>(recordAt(records, i)), load<i32>(recordAt(records, i), 4), count);
  if (base != 0) pad(base, baseDtype, count);
  if (isUniform(records, n, base, baseDtype, outDtype)) {
    return outDtype == F16
      ? mergeUniform<i16>(records, n, base, kept, count, first, last, <f32>divisor, <f32>lambda, plusBase, out)
      : mergeUniform<u16>(records, n, base, kept, count, first, last, <f32>divisor, <f32>lambda, plusBase, out);
  }
  let bad = false;
  for (let start = 0; start < count; start += BLOCK) {
    const size = ((min(BLOCK, count - start) + 7) & ~7) as i32;
    if (base != 0) widenPairs(base + start * width(baseDtype), baseDtype, BLOCK_BASE, size);
    const acc = kept == 0 ? BLOCK_ACC : kept + start * (wide ? 8 : 4);
    if (wide) {
      addRecordsF64(records, n, start, acc, size, first);
      if (last && finishF64(acc, BLOCK_BASE, out + start * 4, size, divisor, lambda, plusBase)) bad = true;
    } else {
      addRecordsF32(records, n, start, acc, size, first);
      if (last) {
        const to = out + start * 2;
        const one =
          outDtype == F16
            ? finishOfF32<i16>(acc, BLOCK_BASE, to, size, <f32>divisor, <f32>lambda, plusBase)
            : finishOfF32<u16>(acc, BLOCK_BASE, to, size, <f32>divisor, <f32>lambda, plusBase);
        if (one) bad = true;
      }
    }
  }
  return bad;
}

// ---- conversions in natural order --------------------------------------------------------------------------------------------------------

export function widen(from: usize, dtype: i32, to: usize, count: i32): void {
  pad(from, dtype, count);
  for (let start = 0; start < count; start += BLOCK) {
    const size = ((min(BLOCK, count - start) + 7) & ~7) as i32;
    widenPairs(from + start * width(dtype), dtype, BLOCK_X, size);
    for (let i = 0; i < size; i += 8) {
      storePairs<f32>(to + (start + i) * 4, v128.load(BLOCK_X + i * 4), v128.load(BLOCK_X + i * 4, 16));
    }
  }
}

export function narrow(from: usize, to: usize, dtype: i32, count: i32): void {
  pad(from, F32, count);
  for (let i = 0; i < count; i += 8) {
    const even = loadEven<f32>(from + i * 4);
    const odd = loadOdd<f32>(from + i * 4);
    if (dtype == F32) storePairs<f32>(to + i * 4, even, odd);
    else if (dtype == F16) storePairs<i16>(to + i * 2, even, odd);
    else storePairs<u16>(to + i * 2, even, odd);
  }
}

// ---- sums in fp64 -------------------------------------------------------------------------------------------------------------------------

@inline function sumLanes(a: v128, b: v128, c: v128, d: v128): f64 {
  const sum = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** Sum of x * y over one block in pair order. */
function blockDot(x: usize, y: usize, size: i32): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  for (let i = 0; i < size; i += 8) {
    const xe = v128.load(x);
    const xo = v128.load(x, 16);
    const ye = v128.load(y);
    const yo = v128.load(y, 16);
    a = f64x2.add(a, f64x2.mul(low(xe), low(ye)));
    b = f64x2.add(b, f64x2.mul(high(xe), high(ye)));
    c = f64x2.add(c, f64x2.mul(low(xo), low(yo)));
    d = f64x2.add(d, f64x2.mul(high(xo), high(yo)));
    x += 32;
    y += 32;
  }
  return sumLanes(a, b, c, d);
}

@inline function squared(v: v128): v128 {
  return f64x2.mul(v, v);
}

/** Sum of (x - y)^2 over one block in pair order; the difference is taken in fp64. */
function blockSquaredDifference(x: usize, y: usize, size: i32): f64 {
  let a = f64x2.splat(0);
  let b = f64x2.splat(0);
  let c = f64x2.splat(0);
  let d = f64x2.splat(0);
  for (let i = 0; i < size; i += 8) {
    const xe = v128.load(x);
    const xo = v128.load(x, 16);
    const ye = v128.load(y);
    const yo = v128.load(y, 16);
    a = f64x2.add(a, squared(f64x2.sub(low(xe), low(ye))));
    b = f64x2.add(b, squared(f64x2.sub(high(xe), high(ye))));
    c = f64x2.add(c, squared(f64x2.sub(low(xo), low(yo))));
    d = f64x2.add(d, squared(f64x2.sub(high(xo), high(yo))));
    x += 32;
    y += 32;
  }
  return sumLanes(a, b, c, d);
}

/** Sum of x * y: blocks of 1024 elements in index order. With y = x: the sum of squares. */
export function dot(x: usize, xDtype: i32, y: usize, yDtype: i32, count: i32): f64 {
  pad(x, xDtype, count);
  pad(y, yDtype, count);
  let sum: f64 = 0;
  for (let start = 0; start < count; start += BLOCK) {
    const size = ((min(BLOCK, count - start) + 7) & ~7) as i32;
    widenPairs(x + start * width(xDtype), xDtype, BLOCK_X, size);
    widenPairs(y + start * width(yDtype), yDtype, BLOCK_Y, size);
    sum += blockDot(BLOCK_X, BLOCK_Y, size);
  }
  return sum;
}

/** Sum of (x - y)^2: blocks of 1024 elements in index order. */
export function squaredDifference(x: usize, xDtype: i32, y: usize, yDtype: i32, count: i32): f64 {
  pad(x, xDtype, count);
  pad(y, yDtype, count);
  let sum: f64 = 0;
  for (let start = 0; start < count; start += BLOCK) {
    const size = ((min(BLOCK, count - start) + 7) & ~7) as i32;
    widenPairs(x + start * width(xDtype), xDtype, BLOCK_X, size);
    widenPairs(y + start * width(yDtype), yDtype, BLOCK_Y, size);
    sum += blockSquaredDifference(BLOCK_X, BLOCK_Y, size);
  }
  return sum;
}

/** Index of the first NaN or infinity, -1 when all are finite. */
export function firstNonFinite(x: usize, dtype: i32, count: i32): i32 {
  const size = width(dtype);
  const exponent = dtype == F32 ? i32x4.splat(0x7f800000) : i16x8.splat(dtype == F16 ? 0x7c00 : 0x7f80);
  const lanes: i32 = 16 / size;
  let i = 0;
  for (; i + lanes <= count; i += lanes) {
    const found = v128.and(v128.load(x + i * size), exponent);
    if (v128.any_true(dtype == F32 ? i32x4.eq(found, exponent) : i16x8.eq(found, exponent))) break;
  }
  const mask: u32 = dtype == F32 ? 0x7f800000 : dtype == F16 ? 0x7c00 : 0x7f80;
  for (; i < count; i++) {
    const bits: u32 = dtype == F32 ? load<u32>(x + i * 4) : load<u16>(x + i * 2);
    if ((bits & mask) == mask) return i;
  }
  return -1;
}
