/**
 * How far two tensors of one dtype lie apart. A difference is counted in units in the last place of the larger of the two numbers, but of
 * nothing smaller than a share of the tensor's largest: an element that nearly cancelled carries the error of what it was the difference of.
 * Shared by golden tests (small) and `npm run bench -- peers` (large): typed arrays, no allocation per element.
 */
import type { MergeDType } from '../../shared/formats/tensor.js';

export interface Difference {
  readonly count: number;
  /** Elements whose bits differ (+0 and -0 are the same number). */
  readonly unequal: number;
  readonly maxUlps: number;
  /** Largest |a - b| in ulps of the largest |b|. */
  readonly maxUlpsOfLargest: number;
  /** Largest |a - b| over largest |b|. */
  readonly maxRelative: number;
  /** Where maxUlps was met; -1 when nothing differs. */
  readonly worst: number;
}

const FRACTION_BITS: Readonly<Record<MergeDType, number>> = { F32: 23, BF16: 7, F16: 10 };
const SMALLEST_EXPONENT: Readonly<Record<MergeDType, number>> = { F32: -126, BF16: -126, F16: -14 };

const halves = new Float32Array(65_536);
for (let bits = 0; bits < 65_536; bits++) {
  const fraction = bits & 0x3ff;
  const exponent = (bits >> 10) & 31;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  halves[bits] = (bits & 0x8000 ? -1 : 1) * (exponent === 31 ? special : magnitude);
}

/** Little-endian bytes of a tensor as fp32 numbers. */
export function toFloats(dtype: MergeDType, bytes: Uint8Array): Float32Array {
  const { buffer } = new Uint8Array(bytes);
  if (dtype === 'F32') return new Float32Array(buffer);
  const bits = new Uint16Array(buffer);
  if (dtype === 'F16') return Float32Array.from(bits, (one) => halves[one] ?? 0);
  const words = new Uint32Array(bits.length);
  for (let index = 0; index < bits.length; index++) words[index] = (bits[index] ?? 0) << 16;
  return new Float32Array(words.buffer);
}

const one = new Float32Array(1);
const oneBits = new Uint32Array(one.buffer);

/** Distance to the next larger number of the dtype. */
function ulpOf(dtype: MergeDType, value: number): number {
  one[0] = value;
  const exponent = (((oneBits[0] ?? 0) >>> 23) & 255) - 127;
  return 2 ** (Math.max(exponent, SMALLEST_EXPONENT[dtype]) - FRACTION_BITS[dtype]);
}

/**
 * @param floor the largest number divided by this is the smallest whose ulp counts
 * @param skip elements that are not to be looked at
 */
export function compareNumbers(
  dtype: MergeDType,
  got: Float32Array,
  expected: Float32Array,
  { floor = 64, skip }: { floor?: number; skip?: Uint8Array | undefined } = {},
): Difference {
  if (got.length !== expected.length) throw new Error(`${got.length} elements, expected ${expected.length}`);
  let largest = 0;
  for (const value of expected) if (Math.abs(value) > largest) largest = Math.abs(value);
  const smallest = largest / floor;
  let [count, unequal, maxUlps, maxDifference, worst] = [0, 0, 0, 0, -1];
  for (let index = 0; index < got.length; index++) {
    if (skip?.[index] === 1) continue;
    count += 1;
    const a = got[index] ?? Number.NaN;
    const b = expected[index] ?? Number.NaN;
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    unequal += 1;
    const difference = Number.isNaN(a - b) ? Number.POSITIVE_INFINITY : Math.abs(a - b);
    if (difference > maxDifference) maxDifference = difference;
    const ulps = difference / ulpOf(dtype, Math.max(Math.abs(a), Math.abs(b), smallest));
    if (ulps > maxUlps) [maxUlps, worst] = [ulps, index];
  }
  const maxRelative = largest === 0 ? maxDifference : maxDifference / largest;
  return { count, unequal, maxUlps, maxUlpsOfLargest: maxDifference / ulpOf(dtype, largest), maxRelative, worst };
}
