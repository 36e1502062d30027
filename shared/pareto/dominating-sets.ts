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
  /** Of `count`, those not above the value. */
  const rank = (t: number, value: number): number => {
    let low = t * count;
    const begin = low;
    let left = count;
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
