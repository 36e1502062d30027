/**
 * Down along single coordinates of the unit box, by values alone: for places where derivatives are infinite (a square root at 0) and only
 * their signs can be used.
 */
import type { Scalarisation } from './box-newton.js';
import type { Problem } from './objectives.js';

export interface CoordinateSearch {
  /**
   * Moves x along every coordinate that is marked and whose slope has a sign: from the bound that it falls to halfway back to x, again and
   * again, until the value rises after it was lower.
   * @param value at x
   * @returns the value at x afterwards, never more than before
   */
  descend(scalarisation: Scalarisation, x: Float64Array, value: number, slopes: Float64Array, marked: Uint8Array): number;
}

/** So near to x nothing is gained any more: 2^-60 of the way to the bound. */
const MOST_HALVINGS = 60;

export function createCoordinateSearch(problem: Problem): CoordinateSearch {
  const values = new Float64Array(problem.objectives);
  return {
    descend(scalarisation, x, value, slopes, marked) {
      let best = value;
      for (let i = 0; i < x.length; i++) {
        const slope = slopes[i] as number;
        if (marked[i] === 0 || !(Math.abs(slope) > 0)) continue;
        const from = x[i] as number;
        const bound = slope < 0 ? 1 : 0;
        let to = from;
        let found = false;
        for (let k = 0, length = bound - from; k < MOST_HALVINGS; k++, length /= 2) {
          x[i] = from + length;
          problem.evaluate(x, 0, values, 0);
          const reached = scalarisation.value(values, 0);
          if (reached < best && reached > -Infinity) {
            best = reached;
            to = x[i] as number;
            found = true;
          } else if (found) break;
        }
        x[i] = to;
      }
      return best;
    },
  };
}
