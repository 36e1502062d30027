/**
 * Which points of a front dominate the most volume together. Choosing always the one that adds most is within 1 - 1/e of the best choice
 * (Nemhauser, Wolsey & Fisher 1978). What a point adds is counted on the places of hypervolume-sampled.ts.
 */
import { dominatingSets } from './dominating-sets.js';
import { SHIFTS, samplePlaces } from './hypervolume-sampled.js';
import type { PointSet } from './point-set.js';

const SAMPLES = 2048;

/**
 * @param reference worse than every point
 * @param chosen rows that are taken already: what they dominate adds nothing any more
 * @returns the rows that add something, the one that adds most first
 */
export function* greatestVolumes(front: PointSet, reference: Float64Array, chosen: readonly number[]): Generator<number> {
  const { objectives: m, count } = front;
  const rows = new Float64Array(count * m);
  for (let at = 0; at < rows.length; at++) rows[at] = (front.values[at] as number) - (reference[at % m] as number);
  const gains = new Float64Array(count);
  const dominating = dominatingSets(rows, m, count);
  const { words } = dominating;
  /** Which rows dominate each place, in bits, and what the place counts; 0 once it is taken. */
  const sets = new Int32Array((SAMPLES + SHIFTS) * words);
  const weights = new Float64Array(SAMPLES + SHIFTS);
  const set = new Int32Array(words);
  let places = 0;
  const give = (place: number, weight: number): void => {
    for (let word = 0; word < words; word++)
      for (let bits = sets[place * words + word] as number; bits !== 0; bits &= bits - 1) {
        const row = (word << 5) + 31 - Math.clz32(bits & -bits);
        gains[row] = (gains[row] as number) + weight;
      }
  };
  samplePlaces(rows, m, count, SAMPLES, (place) => {
    const weight = 1 / Math.max(1, dominating.of(place, set));
    sets.set(set, places * words);
    weights[places] = weight;
    give(places++, weight);
  });
  const take = (row: number): void => {
    const word = row >> 5;
    const bit = 1 << (row & 31);
    for (let place = 0; place < places; place++) {
      if (weights[place] === 0 || ((sets[place * words + word] as number) & bit) === 0) continue;
      give(place, -(weights[place] as number));
      weights[place] = 0;
    }
  };
  for (const row of chosen) take(row);
  for (;;) {
    let best = 0;
    for (let row = 1; row < count; row++) if ((gains[row] as number) > (gains[best] as number)) best = row;
    // What is left of differences between sums of weights is rounding.
    if (count === 0 || (gains[best] as number) < 1e-9) return;
    take(best);
    yield best;
  }
}
