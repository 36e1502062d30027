/**
 * Which rows of a front are at least as good as a place in every task, quickly for many places: for every task the rows in ascending order,
 * and as bits the set of the first k of them for every k. A place is dominated by the intersection of one such set a task.
 */

export interface DominatingSets {
  /** Number of 32-bit words of a set. */
  readonly words: number;
  /** Fills `into` with the rows that dominate the place, one bit each. @returns how many */
  of(place: Float64Array, into: Int32Array): number;
}

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Of a task's range: a value's place is looked for among those of one cell, one or two as a rule. */
const CELLS = 256;

interface Cells {
  /** By task, then by cell: how many values are in lower ones. */
  readonly below: Int32Array;
  /** Never descends as the value ascends. */
  readonly of: (t: number, value: number) => number;
}

function cellsOf(sorted: Float64Array, width: number, count: number): Cells {
  const lows = new Float64Array(width);
  const scales = new Float64Array(width);
  const of = (t: number, value: number): number => {
    const cell = Math.floor((value - (lows[t] as number)) * (scales[t] as number));
    return cell > 0 ? Math.min(CELLS - 1, cell) : 0;
  };
  const below = new Int32Array(width * (CELLS + 1));
  for (let t = 0; t < width && count > 0; t++) {
    const low = sorted[t * count] as number;
    const range = (sorted[(t + 1) * count - 1] as number) - low;
    lows[t] = low;
    scales[t] = range > 0 && Number.isFinite(CELLS / range) ? CELLS / range : 0;
    for (let k = t * count; k < (t + 1) * count; k++) {
      const next = t * (CELLS + 1) + of(t, sorted[k] as number) + 1;
      below[next] = (below[next] as number) + 1;
    }
    for (let cell = t * (CELLS + 1) + 1; cell < (t + 1) * (CELLS + 1); cell++)
      below[cell] = (below[cell] as number) + (below[cell - 1] as number);
  }
  return { below, of };
}

/** @param values count x width, to be minimised */
export function dominatingSets(values: Float64Array, width: number, count: number): DominatingSets {
  const words = Math.max(1, (count + 31) >> 5);
  const sorted = new Float64Array(width * count);
  /** By task, then by k from 0 to count. */
  const prefixes = new Int32Array(width * (count + 1) * words);
  for (let t = 0; t < width; t++) {
    const order = Int32Array.from({ length: count }, (_, row) => row).sort(
      (a, b) => (values[a * width + t] as number) - (values[b * width + t] as number),
    );
    let at = t * (count + 1) * words;
    for (let k = 0; k < count; k++, at += words) {
      const row = order[k] as number;
      sorted[t * count + k] = values[row * width + t] as number;
      prefixes.copyWithin(at + words, at, at + words);
      const word = at + words + (row >> 5);
      prefixes[word] = (prefixes[word] as number) | (1 << (row & 31));
    }
  }
  const cells = cellsOf(sorted, width, count);
  /** Of `count`, those not above the value: all of lower cells, and some of its own. */
  const rank = (t: number, value: number): number => {
    const begin = t * count;
    const cell = t * (CELLS + 1) + cells.of(t, value);
    let low = begin + (cells.below[cell] as number);
    let left = begin + (cells.below[cell + 1] as number) - low;
    while (left > 0) {
      const half = left >> 1;
      if ((sorted[low + half] as number) <= value) {
        low += half + 1;
        left -= half + 1;
      } else left = half;
    }
    return low - begin;
  };
  return {
    words,
    of(place, into) {
      let at = rank(0, place[0] as number) * words;
      for (let word = 0; word < words; word++) into[word] = prefixes[at + word] as number;
      for (let t = 1; t < width; t++) {
        at = (t * (count + 1) + rank(t, place[t] as number)) * words;
        for (let word = 0; word < words; word++) into[word] = (into[word] as number) & (prefixes[at + word] as number);
      }
      let found = 0;
      for (let word = 0; word < words; word++) found += bitCount(into[word] as number);
      return found;
    },
  };
}
