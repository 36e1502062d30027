/** What the block primitives are held against: plain TypeScript, one element at a time, from the definitions. `Round` rounds to the precision of the vector. */
import { f32Bits } from './scalar-reference.js';

export type Round = (value: number) => number;

/** Bit pattern of |x| rounded to f32. */
export const keyOf = (value: number): number => f32Bits(Math.abs(Math.fround(value)));

/** Element i goes to accumulator i mod 8; these are added as two lanes of four pairs. */
export function sumInLanes(terms: readonly number[]): number {
  const lanes = [0, 0, 0, 0, 0, 0, 0, 0];
  terms.forEach((term, index) => {
    lanes[index % 8] = (lanes[index % 8] ?? 0) + term;
  });
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = lanes;
  return a + c + (e + g) + (b + d + (f + h));
}

export interface Band {
  readonly low: number;
  readonly lowFrom: number;
  readonly lowTo: number;
  readonly high: number;
  readonly highTo: number;
}

export function keepBand(values: readonly number[], band: Band): number[] {
  let lowSeen = 0;
  let highSeen = 0;
  return values.map((value) => {
    const key = keyOf(value);
    const inLow = key === band.low && lowSeen >= band.lowFrom && lowSeen < band.lowTo;
    const inHigh = key === band.high && highSeen < band.highTo;
    if (key === band.low) lowSeen++;
    if (key === band.high) highSeen++;
    const onBound = band.low === band.high ? inLow && inHigh : inLow || inHigh;
    return onBound || (key > band.low && key < band.high) ? value : 0;
  });
}

/** Philox4x32-10 as published: four counter words, two key words, in 64-bit integers. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [a = 0n, b = 0n, c = 0n, d = 0n] = counter.map(BigInt);
  let [k0 = 0n, k1 = 0n] = key.map(BigInt);
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * a;
    const p1 = 0xcd9e8d57n * c;
    [a, b, c, d] = [(p1 >> 32n) ^ b ^ k0, p1 & word, (p0 >> 32n) ^ d ^ k1, p0 & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [a, b, c, d].map(Number);
}

const counterOf = (count: bigint, stream: number): number[] => [Number(count & 0xffffffffn), Number(count >> 32n), stream, 0];

/** The random word of the element with this index: its byte of the block that 16 elements share, then 24 bits of a block of its own. */
export function wordOf(index: number, keyLo: number, keyHi: number): number {
  const shared = philox(counterOf(BigInt(index) >> 4n, 0), [keyLo, keyHi]);
  const byte = ((shared[(index % 16) >> 2] ?? 0) >>> ((index % 4) * 8)) & 0xff;
  const [own = 0] = philox(counterOf(BigInt(index), 1), [keyLo, keyHi]);
  return byte * 2 ** 24 + (own & 0xffffff);
}

export function ranks(keys: readonly number[]): number[] {
  const order = keys.map((_, index) => index).sort((x, y) => (keys[x] ?? 0) - (keys[y] ?? 0) || x - y);
  const result = keys.map(() => 0);
  order.forEach((index, rank) => {
    result[index] = rank;
  });
  return result;
}

export interface ConsensusOptions {
  readonly electUnweighted: boolean;
  readonly zeroByMajority: boolean;
  readonly count: boolean;
  readonly normalize: boolean;
  readonly maximum: boolean;
  readonly epsilon: number;
  readonly majority: number;
}

/** `toDtype` is the rounding of `numerics: mergekit`, identity without. */
export function consensus(
  values: readonly number[],
  weights: readonly number[],
  options: ConsensusOptions,
  round: Round,
  toDtype: Round,
): number {
  const terms = values.map((value, index) => toDtype(round(round(weights[index] ?? 0) * value)));
  const votes = options.electUnweighted ? values : terms;
  const sum = votes.reduce((total, vote) => round(total + vote), 0);
  const elected = sum < 0 || (sum === 0 && options.zeroByMajority && options.majority < 0) ? -1 : 1;
  const agreeing = values.map((_, index) => index).filter((index) => (votes[index] ?? 0) * elected > 0);
  if (options.maximum) return elected * agreeing.reduce((most, index) => Math.max(most, Math.abs(values[index] ?? 0)), 0) + 0;
  const num = toDtype(agreeing.reduce((total, index) => round(total + (terms[index] ?? 0)), 0));
  if (!options.normalize) return num;
  let den = agreeing.reduce((total, index) => round(total + (options.count ? 1 : round(weights[index] ?? 0))), 0);
  if (options.epsilon > 0) den = Math.max(den, round(options.epsilon));
  den = toDtype(den);
  return toDtype(round(num / (den === 0 ? 1 : den)));
}

export function agreement(values: readonly number[], rho: number, mean: boolean, round: Round): number {
  const votes = values.reduce((total, value) => total + (value > 0 ? 1 : value < 0 ? -1 : 0), 0);
  const agreed = round(Math.abs(votes) / values.length);
  const merged = round((agreed >= round(rho) ? 1 : agreed) * sumOf(values, round));
  return mean ? round(merged / values.length) : merged;
}

/** In index order, from the first value on. */
export function sumOf(values: readonly number[], round: Round): number {
  return values.reduce((total, value) => round(total + value));
}

export function variance(values: readonly number[], round: Round): number {
  const mean = round(sumOf(values, round) / values.length);
  return round(
    sumOf(
      values.map((value) => round(round(value - mean) ** 2)),
      round,
    ) / values.length,
  );
}

export const isBeyond = (value: number, merged: number, lambda: number, round: Round): boolean =>
  Math.abs(value) > round(round(lambda) * Math.abs(round(merged - value)));

export function unify(values: readonly number[], round: Round): number {
  const sign = sumOf(values, round) > 0 ? 1 : -1;
  const agreeing = values.filter((value) => value * sign > 0);
  return agreeing.length === 0 ? 0 : sign * Math.max(...agreeing.map(Math.abs));
}

export function nearswap(a: number, b: number, t: number, round: Round): number {
  const apart = Math.max(Math.abs(round(a - b)), round(1e-6));
  const q = Math.min(Math.max(round(round(t) / apart), 0), 1);
  return round(round(q * b) + round(round(1 - q) * a));
}
