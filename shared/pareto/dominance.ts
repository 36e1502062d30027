/**
 * Who dominates whom. A point dominates another when it is at least as good in every task and better in one, so equal points do not
 * dominate one another. Solvers keep their points in flat arrays, row by row, every value to be minimised (`minimised` turns metrics into
 * that).
 */
import type { Direction } from './study.js';

/** 1 for what is minimised, -1 for what is maximised: what a metric is multiplied with to be minimised. */
export const signOf = (direction: Direction): 1 | -1 => (direction === 'maximize' ? -1 : 1);

/** points x tasks, row by row; a missing direction means minimize. */
export function minimised(points: readonly (readonly number[])[], directions: readonly Direction[]): Float64Array {
  const width = directions.length;
  const flat = new Float64Array(points.length * width);
  for (const [row, point] of points.entries())
    for (let t = 0; t < width; t++) flat[row * width + t] = signOf(directions[t] ?? 'minimize') * (point[t] ?? Number.NaN);
  return flat;
}

/** Negative: row a dominates row b; positive: b dominates a; 0: neither. Values are minimised. */
export function compareRows(values: Float64Array, width: number, a: number, b: number): -1 | 0 | 1 {
  let aBetter = false;
  let bBetter = false;
  for (let t = 0, atA = a * width, atB = b * width; t < width; t++, atA++, atB++) {
    const difference = (values[atA] as number) - (values[atB] as number);
    if (difference < 0) {
      if (bBetter) return 0;
      aBetter = true;
    } else if (difference > 0) {
      if (aBetter) return 0;
      bBetter = true;
    }
  }
  return aBetter ? -1 : bBetter ? 1 : 0;
}

/** Numbers of the rows that no other row dominates, ascending. Of rows with equal values all stay. */
export function nonDominatedRows(values: Float64Array, width: number, rows: number): number[] {
  const dominated = new Uint8Array(rows);
  for (let a = 0; a < rows; a++) {
    if (dominated[a] === 1) continue;
    // A row that is dominated itself only dominates what its own dominator dominates too.
    for (let b = a + 1; b < rows; b++) {
      if (dominated[b] === 1) continue;
      const order = compareRows(values, width, a, b);
      if (order < 0) dominated[b] = 1;
      else if (order > 0) {
        dominated[a] = 1;
        break;
      }
    }
  }
  const kept: number[] = [];
  for (let row = 0; row < rows; row++) if (dominated[row] === 0) kept.push(row);
  return kept;
}

/** Numbers of the points that no other point dominates, ascending. */
export function nonDominated(points: readonly (readonly number[])[], directions: readonly Direction[]): number[] {
  return nonDominatedRows(minimised(points, directions), directions.length, points.length);
}

/**
 * Non-dominated sorting: level 0 is dominated by nothing, level k + 1 only by levels up to k. Rows are placed in lexicographic order, in
 * which none is dominated by a later one, each on the first level that does not dominate it (Zhang, Tian, Cheng & Jin, IEEE TEC 19(2),
 * 2015).
 * @param enough only the first levels that have so many rows together are wanted; undefined: all
 * @returns the levels in order, each with its rows ascending
 */
export function sortRowsByDominance(values: Float64Array, width: number, rows: number, enough = rows): number[][] {
  const order = Int32Array.from({ length: rows }, (_, row) => row).sort((a, b) => {
    for (let t = 0; t < width; t++) {
      const difference = (values[a * width + t] as number) - (values[b * width + t] as number);
      if (difference !== 0) return difference;
    }
    return a - b;
  });
  const levels: number[][] = [];
  const isDominated = (row: number, level: readonly number[]): boolean => {
    for (let at = level.length - 1; at >= 0; at--) if (compareRows(values, width, level[at] as number, row) < 0) return true;
    return false;
  };
  for (const row of order) {
    let k = 0;
    while (k < levels.length && isDominated(row, levels[k] as number[])) k++;
    if (k === levels.length) levels.push([row]);
    else levels[k]?.push(row);
  }
  let sorted = 0;
  let wanted = 0;
  while (wanted < levels.length && sorted < enough) sorted += levels[wanted++]?.length ?? 0;
  return levels.slice(0, wanted).map((level) => level.sort((a, b) => a - b));
}

/** Non-dominated sorting of metric vectors; see sortRowsByDominance. */
export function sortByDominance(points: readonly (readonly number[])[], directions: readonly Direction[]): number[][] {
  return sortRowsByDominance(minimised(points, directions), directions.length, points.length);
}
