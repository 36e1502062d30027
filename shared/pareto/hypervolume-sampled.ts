/**
 * An estimate of the hypervolume for many tasks, where exact algorithms take time exponential in their number. Sampling the whole box fails
 * there (its dominated share is one in a million), so points are drawn inside of what is dominated: a row in proportion to the volume of
 * its own box, then a place in that box, which counts one over the number of rows that dominate it (Karp, Luby & Madras 1989; for
 * hypervolumes Bringmann & Friedrich 2008). Places follow a Richtmyer sequence (multiples of square roots of primes) with random shifts,
 * whose spread gives the standard error.
 */
import { dominatingSets } from './dominating-sets.js';
import { seededRandom } from './seeded-random.js';

/** Random shifts of the sequence; each has the same number of places. */
export const SHIFTS = 8;
const SEED = 20_240_607;

/** Fractional parts of the square roots of the first primes. */
function primeRoots(count: number): Float64Array {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  return Float64Array.from(primes, (prime) => Math.sqrt(prime) % 1);
}

/** The volume of each row's own box. */
function boxes(values: Float64Array, width: number, count: number): { readonly volumes: Float64Array; readonly total: number } {
  const volumes = new Float64Array(count);
  let total = 0;
  for (let row = 0; row < count; row++) {
    let box = 1;
    for (let t = 0; t < width; t++) box *= -(values[row * width + t] as number);
    volumes[row] = box;
    total += box;
  }
  return { volumes, total };
}

/**
 * Places that at least one row dominates, each as likely as many rows do.
 * @param values rows of negative numbers (the reference point is the origin, values are minimised)
 * @param samples number of places in all, made a multiple of the number of shifts
 * @param visit is given the place, and the number of its shift; the array is used again
 */
export function samplePlaces(
  values: Float64Array,
  width: number,
  count: number,
  samples: number,
  visit: (place: Float64Array, shift: number) => void,
): void {
  const { volumes, total } = boxes(values, width, count);
  if (!(total > 0)) return;
  const roots = primeRoots(width);
  const random = seededRandom(SEED);
  const each = Math.max(1, Math.round(samples / SHIFTS));
  const place = new Float64Array(width);
  const phase = new Float64Array(width);
  for (let shift = 0; shift < SHIFTS; shift++) {
    for (let t = 0; t < width; t++) phase[t] = random();
    // Rows in proportion to their volumes: equal steps along the sum of all.
    const step = total / each;
    let mark = random() * step;
    let row = 0;
    let end = volumes[0] as number;
    for (let k = 0; k < each; k++, mark += step) {
      while (mark >= end && row + 1 < count) end += volumes[++row] as number;
      for (let t = 0; t < width; t++) {
        const moved = (phase[t] as number) + (roots[t] as number);
        const share = moved >= 1 ? moved - 1 : moved;
        phase[t] = share;
        place[t] = (values[row * width + t] as number) * (1 - share);
      }
      visit(place, shift);
    }
  }
}

/** Of rows of negative numbers; see samplePlaces. */
export function sampledHypervolume(
  values: Float64Array,
  width: number,
  count: number,
  samples: number,
): { readonly value: number; readonly standardError: number } {
  const { total } = boxes(values, width, count);
  const sums = new Float64Array(SHIFTS);
  const places = new Float64Array(SHIFTS);
  const sets = dominatingSets(values, width, count);
  const set = new Int32Array(sets.words);
  samplePlaces(values, width, count, samples, (place, shift) => {
    sums[shift] = (sums[shift] as number) + 1 / Math.max(1, sets.of(place, set));
    places[shift] = (places[shift] as number) + 1;
  });
  if (!(total > 0)) return { value: 0, standardError: 0 };
  const estimates = sums.map((sum, shift) => (total * sum) / (places[shift] as number));
  const mean = estimates.reduce((sum, estimate) => sum + estimate, 0) / SHIFTS;
  const squares = estimates.reduce((sum, estimate) => sum + (estimate - mean) ** 2, 0);
  return { value: mean, standardError: Math.sqrt(squares / (SHIFTS - 1) / SHIFTS) };
}
