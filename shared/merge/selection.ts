/**
 * Finds the borders of a band in the order of magnitudes from counts alone, without sorting and without holding a tensor: first the upper
 * halves of all magnitudes are counted, then the lower halves of those that share the border's upper half.
 * A magnitude is the bit pattern of |x| as fp32: 31 bits that order like the numbers.
 */
import { NO_LOWER_BOUND, NO_UPPER_BOUND } from '../kernels/block-functions.js';
import { ALL_TIES } from '../workers/program-job.js';
import type { Band } from './program.js';

/** Bins of one round of borderInList. */
const LIST_BINS = 4096;

/** Where a position falls among counted things. */
export interface Place {
  readonly bin: number;
  /** How many lie in lower bins. */
  readonly below: number;
  readonly inBin: number;
}

/** @param position 0-based, less than the sum of `counts` */
export function placeOf(counts: ArrayLike<number>, position: number): Place {
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    const inBin = counts[bin] ?? 0;
    if (below + inBin > position) return { bin, below, inBin };
    below += inBin;
  }
  throw new RangeError(`position ${position} of ${below}`);
}

/** The magnitude at a position, how many are smaller and how many equal. */
export interface Border {
  readonly key: number;
  readonly below: number;
  readonly equal: number;
}

export function borderInSorted(sorted: Uint32Array, position: number): Border {
  const key = sorted[position] ?? 0;
  let from = position;
  let to = position + 1;
  while (from > 0 && sorted[from - 1] === key) from -= 1;
  while (to < sorted.length && sorted[to] === key) to += 1;
  return { key, below: from, equal: to - from };
}

/**
 * As borderInSorted, for keys in any order: counts them by their upper, then by all bits.
 * @param low, high all keys lie in this range
 */
export function borderInList(keys: Uint32Array, low: number, high: number, position: number): Border {
  let shift = 0;
  while ((high - low) >>> shift >= LIST_BINS) shift += 1;
  const counts = new Uint32Array(LIST_BINS);
  for (let i = 0; i < keys.length; i++) {
    const bin = ((keys[i] ?? 0) - low) >>> shift;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  const place = placeOf(counts, position);
  const from = low + place.bin * 2 ** shift;
  if (shift === 0) return { key: from, below: place.below, equal: place.inBin };
  const near = keys.filter((key) => (key - low) >>> shift === place.bin);
  const border = borderInList(near, from, from + 2 ** shift - 1, position - place.below);
  return { ...border, below: border.below + place.below };
}

export function borderFrom(high: Place, lowCounts: ArrayLike<number>, position: number): Border {
  const low = placeOf(lowCounts, position - high.below);
  return { key: high.bin * 65_536 + low.bin, below: high.below + low.below, equal: low.inBin };
}

/** The arguments of the `keepBand` kernel. */
export interface BandBorders {
  readonly low: number;
  readonly lowFrom: number;
  readonly lowTo: number;
  readonly high: number;
  readonly highTo: number;
  /** Whether some, but not all, elements at a border are kept: then their order counts. */
  readonly splitsTies: boolean;
}

export const EMPTY_BAND: BandBorders = { low: NO_UPPER_BOUND, lowFrom: 0, lowTo: 0, high: NO_UPPER_BOUND, highTo: 0, splitsTies: false };

/** The positions whose magnitudes a band needs to know. */
export function borderPositions(band: Band, count: number): { lower?: number; upper?: number } {
  return { ...(band.from > 0 ? { lower: band.from } : {}), ...(band.to < count ? { upper: band.to } : {}) };
}

export function bandBorders(band: Band, lower: Border | undefined, upper: Border | undefined): BandBorders {
  let lowFrom = 0;
  let lowTo = ALL_TIES;
  let splitsTies = false;
  if (lower !== undefined) {
    const dropped = band.from - lower.below;
    if (band.ties === 'first') lowTo = lower.equal - dropped;
    else if (band.ties === 'last') lowFrom = dropped;
    else if (band.ties === 'none') lowTo = 0;
    splitsTies = (band.ties === 'first' || band.ties === 'last') && dropped > 0;
  }
  const highTo = upper === undefined ? 0 : band.to - upper.below;
  if (upper !== undefined && highTo > 0) splitsTies = true;
  return { low: lower?.key ?? NO_LOWER_BOUND, lowFrom, lowTo, high: upper?.key ?? NO_UPPER_BOUND, highTo, splitsTies };
}
