/** Points of the unit box with their values, in flat arrays that grow: what solvers collect. Values are minimised. */
import type { Problem } from './objectives.js';

export interface PointSet {
  readonly dimensions: number;
  readonly objectives: number;
  count: number;
  /** count x dimensions, and room for more. */
  x: Float64Array;
  /** count x objectives, and room for more. */
  values: Float64Array;
}

export function createPointSet({ dimensions, objectives }: Pick<Problem, 'dimensions' | 'objectives'>, room = 64): PointSet {
  return { dimensions, objectives, count: 0, x: new Float64Array(room * dimensions), values: new Float64Array(room * objectives) };
}

/** Makes room for so many points more. */
function grow(set: PointSet, more: number): void {
  const needed = set.count + more;
  if (set.values.length >= needed * set.objectives && set.x.length >= needed * set.dimensions) return;
  const room = Math.max(needed, 2 * set.count);
  const { x, values } = set;
  set.x = new Float64Array(room * set.dimensions);
  set.values = new Float64Array(room * set.objectives);
  set.x.set(x);
  set.values.set(values);
}

/** Appends the point at x[xAt...] and evaluates it. @returns its number */
export function addPoint(set: PointSet, problem: Problem, x: Float64Array, xAt = 0): number {
  grow(set, 1);
  const { dimensions, objectives, count } = set;
  for (let i = 0; i < dimensions; i++) set.x[count * dimensions + i] = x[xAt + i] as number;
  problem.evaluate(set.x, count * dimensions, set.values, count * objectives);
  return set.count++;
}

export function pointAt({ x, dimensions }: PointSet, row: number): Float64Array {
  return x.subarray(row * dimensions, (row + 1) * dimensions);
}

/** The given rows of a set, in that order. */
export function selectPoints(set: PointSet, rows: ArrayLike<number>): PointSet {
  const { dimensions, objectives } = set;
  const chosen = createPointSet(set, rows.length);
  for (let to = 0; to < rows.length; to++) {
    const from = rows[to] as number;
    chosen.x.set(set.x.subarray(from * dimensions, (from + 1) * dimensions), to * dimensions);
    chosen.values.set(set.values.subarray(from * objectives, (from + 1) * objectives), to * objectives);
  }
  chosen.count = rows.length;
  return chosen;
}

export function joinPoints(a: PointSet, b: PointSet): PointSet {
  const joined = createPointSet(a, a.count + b.count);
  joined.x.set(a.x.subarray(0, a.count * a.dimensions));
  joined.x.set(b.x.subarray(0, b.count * b.dimensions), a.count * a.dimensions);
  joined.values.set(a.values.subarray(0, a.count * a.objectives));
  joined.values.set(b.values.subarray(0, b.count * b.objectives), a.count * a.objectives);
  joined.count = a.count + b.count;
  return joined;
}

/** Least and largest value of each objective. */
export function valueRanges({ values, objectives, count }: PointSet): { readonly least: Float64Array; readonly most: Float64Array } {
  const least = new Float64Array(objectives).fill(Infinity);
  const most = new Float64Array(objectives).fill(-Infinity);
  for (let row = 0, at = 0; row < count; row++)
    for (let t = 0; t < objectives; t++, at++) {
      const value = values[at] as number;
      if (value < (least[t] as number)) least[t] = value;
      if (value > (most[t] as number)) most[t] = value;
    }
  return { least, most };
}
