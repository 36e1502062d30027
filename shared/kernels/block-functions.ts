/**
 * Signatures of the block primitives (assembly/), and how to write one code path for both precisions. A "vector" is a block of numbers in natural order,
 * f32 (names ending in 32) or f64 (64); pointers are byte offsets, counts are elements, dtypes are DTYPE_CODE, u32 keys may be passed as i32.
 * What always holds: every buffer has PADDING_BYTES behind it, loads leave zeros there and every primitive maps zeros to zeros, so whole groups of eight are
 * worked on; only what counts elements looks at the exact count. Nothing depends on where a vector lies.
 */

/** Flags of `consensus`; they may be added. */
export const CONSENSUS = { electUnweighted: 1, zeroByMajority: 2, count: 4, normalize: 8, maximum: 16 } as const;

/** Bounds of `keepBand` that bound nothing. */
export const NO_LOWER_BOUND = -1;
export const NO_UPPER_BOUND = 0x7fffffff;

/** Entries (u32) of the tables of `histogramHigh` and `histogramLow`. */
export const HIGH_TABLE_ENTRIES = 32_768;
export const LOW_TABLE_ENTRIES = 65_536;

/** Scratch of `dellaBits`. */
export const dellaScratchBytes = (rows: number, columns: number): number => 2 * rows * columns + 20 * columns + 1024;

/** Primitives that exist for both precisions. */
interface Paired {
  /** to = widen(from); at most eight elements behind the last one are read. */
  load(from: number, dtype: number, to: number, count: number): void;
  /** to = widen(from) - base; `base` is a vector. */
  loadDelta(from: number, dtype: number, base: number, to: number, count: number): void;
  /** to = widen(from) + base; `base` is a vector. */
  loadSum(from: number, dtype: number, base: number, to: number, count: number): void;
  /**
   * out = narrow(base + lambda v), without `plusBase` narrow(lambda v); where lambda v is zero the base's bits. `lambda` of exactly 1 is skipped.
   * `rounding` (f32 only): dtype that product and sum are rounded to, 0 for none. f64 results go through f32.
   * 1 if one of the results is NaN, infinite, or rounds to infinity; bits of NaN results are unspecified.
   */
  finish(v: number, base: number, plusBase: number, lambda: number, rounding: number, out: number, outDtype: number, count: number): number;

  /** a *= c */
  scale(a: number, c: number, count: number): void;
  /** a /= c */
  divideBy(a: number, c: number, count: number): void;
  /** a += b */
  add(a: number, b: number, count: number): void;
  /** a -= b */
  subtract(a: number, b: number, count: number): void;
  /** a += c b, the product rounded first. */
  addScaled(a: number, b: number, c: number, count: number): void;

  /** Sum of |a_i|, in fp64 and in an order that depends on the count alone; so are the next two. */
  sumAbs(a: number, count: number): number;
  sumSquares(a: number, count: number): number;
  dot(a: number, b: number, count: number): number;
  countNonZero(a: number, count: number): number;
  /** Elements above zero less elements below it. */
  signBalance(a: number, count: number): number;
  /** Largest |a_i|. */
  maxAbs(a: number, count: number): number;

  /** table[key >>> 16] += 1. The key of a number is the bit pattern of its magnitude rounded to f32: 31 bits that order magnitudes. */
  histogramHigh(a: number, count: number, table: number): void;
  /** table[key & 0xffff] += 1 where key >>> 16 == high. */
  histogramLow(a: number, count: number, high: number, table: number): void;
  countKey(a: number, count: number, key: number): number;
  /**
   * Zeroes what lies outside a band of keys. Kept: low < key < high; key == low with a running number (among those) in [lowFrom, lowTo); key == high with a
   * number below highTo; for low == high a number in [lowFrom, min(lowTo, highTo)). `state`: two u32, elements equal to low and to high so far; updated.
   */
  keepBand(a: number, count: number, low: number, lowFrom: number, lowTo: number, high: number, highTo: number, state: number): void;
  /** The keys as u32. */
  keysOf(a: number, count: number, to: number): void;

  /** Zeroes elements whose random word (32 bits) is >= threshold (in [0, 2^32]). `start`: index of the first element. */
  drop(a: number, count: number, start: number, keyLo: number, keyHi: number, threshold: number): void;
  /**
   * Zeroes elements whose word x 2^-32 is >= low + step x rank (`ranks`: u32 an element, its rank in its row); `divide`: kept ones are divided by that
   * probability. `columns`: elements in a row; a single column takes `step` as 0.
   */
  dellaMask(
    a: number,
    ranks: number,
    count: number,
    columns: number,
    low: number,
    step: number,
    start: number,
    keyLo: number,
    keyHi: number,
    divide: number,
  ): void;

  /** Bit i & 7 of byte i >> 3 = (a_i != 0); so are masks everywhere. */
  maskOf(a: number, count: number, bits: number): void;
  /** Zeroes the elements whose bit is 0. */
  applyMask(a: number, count: number, bits: number): void;

  /** out = sum of weight_i v_i in index order. `ptrs`: u32[n] and `weights`: f64[n] in memory; `out` is none of the inputs, here and below. */
  weightedSum(ptrs: number, weights: number, n: number, out: number, count: number): void;
  /**
   * Sign consensus: t_i = weight_i v_i, elected sign of S = sum t_i (0 elects +), num and den = sums of the t_i and weights that agree; out = num, or num / den.
   * `flags`: CONSENSUS; `rounding` (f32 only): dtype that t_i, num, den and quotient are rounded to, 0 for none; `epsilon` above 0: the least den, else den = 0
   * is 1; `majority`: 1 or -1, the sign that S = 0 elects with zeroByMajority. With `maximum`: out = elected sign x the largest |v_i| that agrees.
   */
  consensus(
    ptrs: number,
    weights: number,
    n: number,
    out: number,
    count: number,
    flags: number,
    rounding: number,
    epsilon: number,
    majority: number,
  ): void;
  /** A = |sum of signs| / n; out = (A >= rho ? 1 : A) x sum of v_i, divided by n if `mean`. */
  agreement(ptrs: number, n: number, out: number, count: number, rho: number, mean: number): void;
  /** Sorts the n values of every element in place, ascending with the number of the vector. */
  sortAcross(ptrs: number, n: number, count: number): void;
  /** Population variance over the vectors. */
  variance(ptrs: number, n: number, out: number, count: number): void;
  /** In place on `merged`: kept where at least k inputs have |v_i| > lambda |merged - v_i|, else zero. */
  consensusMask(ptrs: number, merged: number, n: number, count: number, lambda: number, k: number): void;
  /** bit = |v| > lambda |merged - v| */
  maskBeyond(v: number, merged: number, count: number, lambda: number, bits: number): void;
  /** out = sign of the sum (0 counts as negative) x the largest |v_i| of those with that sign, 0 if there are none. */
  unify(ptrs: number, n: number, out: number, count: number): void;
  /** bit = v and unified are both positive or both negative. */
  agreeMask(v: number, unified: number, count: number, bits: number): void;
  /** out = sum of the v_i / number of those that are not zero. */
  meanOfKept(ptrs: number, n: number, out: number, count: number): void;
  /** q = t / max(|a - b|, 1e-6) held in [0, 1]; out = q b + (1 - q) a. */
  nearswap(a: number, b: number, out: number, count: number, t: number): void;
}

/** Primitives that know no precision. */
interface Unpaired {
  /** Zeroes exactly that many bytes. */
  readonly clear: (a: number, sizeBytes: number) => void;
  /** The random words of `count` elements from index `start` on, from Philox4x32-10 (assembly/random.ts). Slow. */
  readonly randomWords: (to: number, count: number, start: number, keyLo: number, keyHi: number) => void;
  /** Rank of every u32 key, 0 the smallest, ties by index; `scratch`: 16 bytes an element; count up to 2^24. */
  readonly ranks: (keys: number, count: number, scratch: number, to: number) => void;
  /**
   * Mask of `rows` rows from their keys (u32, row after row): kept where word x 2^-32 < low + step x rank in the row, as with `dellaMask`. `start`: index of
   * the first element; `scratch`: dellaScratchBytes; `bits`: up to 8 bytes behind the mask may be written.
   */
  readonly dellaBits: (
    keys: number,
    rows: number,
    columns: number,
    low: number,
    step: number,
    start: number,
    keyLo: number,
    keyHi: number,
    scratch: number,
    bits: number,
  ) => void;
}

type Suffixed<Suffix extends string> = { [Name in keyof Paired as `${Name}${Suffix}`]: Paired[Name] };

/** The block primitives as they are exported. */
export interface BlockFunctions extends Suffixed<'32'>, Suffixed<'64'>, Unpaired {
  /** In place, to the nearest value of the dtype, ties to even; F32 does nothing. */
  readonly round32: (a: number, dtype: number, count: number) => void;
}

/** The primitives of one precision, without the number in their names. */
export interface VectorFunctions extends Paired, Unpaired {
  /** Bytes of one number. */
  readonly sizeBytes: 4 | 8;
  /** As round32; does nothing for f64. */
  readonly round: (a: number, dtype: number, count: number) => void;
}

export function vectorFunctions(run: BlockFunctions, precision: 32 | 64): VectorFunctions {
  const { clear, randomWords, ranks, dellaBits } = run;
  const common = { clear, randomWords, ranks, dellaBits };
  if (precision === 32) {
    return {
      ...common,
      sizeBytes: 4,
      round: run.round32,
      load: run.load32,
      loadDelta: run.loadDelta32,
      loadSum: run.loadSum32,
      finish: run.finish32,
      scale: run.scale32,
      divideBy: run.divideBy32,
      add: run.add32,
      subtract: run.subtract32,
      addScaled: run.addScaled32,
      sumAbs: run.sumAbs32,
      sumSquares: run.sumSquares32,
      dot: run.dot32,
      countNonZero: run.countNonZero32,
      maxAbs: run.maxAbs32,
      signBalance: run.signBalance32,
      histogramHigh: run.histogramHigh32,
      histogramLow: run.histogramLow32,
      countKey: run.countKey32,
      keepBand: run.keepBand32,
      keysOf: run.keysOf32,
      drop: run.drop32,
      dellaMask: run.dellaMask32,
      maskOf: run.maskOf32,
      applyMask: run.applyMask32,
      weightedSum: run.weightedSum32,
      consensus: run.consensus32,
      agreement: run.agreement32,
      sortAcross: run.sortAcross32,
      variance: run.variance32,
      consensusMask: run.consensusMask32,
      maskBeyond: run.maskBeyond32,
      unify: run.unify32,
      agreeMask: run.agreeMask32,
      meanOfKept: run.meanOfKept32,
      nearswap: run.nearswap32,
    };
  }
  return {
    ...common,
    sizeBytes: 8,
    round: () => {},
    load: run.load64,
    loadDelta: run.loadDelta64,
    loadSum: run.loadSum64,
    finish: run.finish64,
    scale: run.scale64,
    divideBy: run.divideBy64,
    add: run.add64,
    subtract: run.subtract64,
    addScaled: run.addScaled64,
    sumAbs: run.sumAbs64,
    sumSquares: run.sumSquares64,
    dot: run.dot64,
    countNonZero: run.countNonZero64,
    maxAbs: run.maxAbs64,
    signBalance: run.signBalance64,
    histogramHigh: run.histogramHigh64,
    histogramLow: run.histogramLow64,
    countKey: run.countKey64,
    keepBand: run.keepBand64,
    keysOf: run.keysOf64,
    drop: run.drop64,
    dellaMask: run.dellaMask64,
    maskOf: run.maskOf64,
    applyMask: run.applyMask64,
    weightedSum: run.weightedSum64,
    consensus: run.consensus64,
    agreement: run.agreement64,
    sortAcross: run.sortAcross64,
    variance: run.variance64,
    consensusMask: run.consensusMask64,
    maskBeyond: run.maskBeyond64,
    unify: run.unify64,
    agreeMask: run.agreeMask64,
    meanOfKept: run.meanOfKept64,
    nearswap: run.nearswap64,
  };
}
