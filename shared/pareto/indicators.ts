/** How near one front is to another, and how often it is better. Distances are Euclidean, on the metrics as they are given. */
import type { Direction } from './study.js';

type Points = readonly (readonly number[])[];

function distance(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += ((a[t] ?? Number.NaN) - (b[t] ?? Number.NaN)) ** 2;
  return Math.sqrt(sum);
}

/** Mean (not root mean square) distance from a point of the front to the nearest one of the reference front. NaN without points. */
export function generationalDistance(front: Points, reference: Points): number {
  let sum = 0;
  for (const point of front) {
    let nearest = Infinity;
    for (const other of reference) nearest = Math.min(nearest, distance(point, other));
    sum += nearest;
  }
  return sum / front.length;
}

/** Mean distance from a point of the reference front to the nearest one of the front: also says whether parts are missing. */
export const invertedGenerationalDistance = (front: Points, reference: Points): number => generationalDistance(reference, front);

/** The share of (point of a, point of b, task) in which a is strictly better (MAP, arXiv 2406.07529). NaN without points. */
export function winRate(a: Points, b: Points, directions: readonly Direction[]): number {
  let wins = 0;
  for (const one of a)
    for (const other of b)
      for (const [t, direction] of directions.entries()) {
        const more = (one[t] ?? Number.NaN) - (other[t] ?? Number.NaN);
        if (direction === 'maximize' ? more > 0 : more < 0) wins++;
      }
  return wins / (a.length * b.length * directions.length);
}
