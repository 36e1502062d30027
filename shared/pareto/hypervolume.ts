/**
 * Hypervolume: the volume that is dominated by at least one point and not worse than a reference point (Zitzler & Thiele 1998). The larger,
 * the better the front. Exact where that is quick, an estimate with its standard error beyond; the same set always gives the same number.
 */
import { minimised, nonDominatedRows, signOf } from './dominance.js';
import { exactHypervolume } from './hypervolume-exact.js';
import { sampledHypervolume } from './hypervolume-sampled.js';
import type { Direction } from './study.js';

export interface Hypervolume {
  readonly value: number;
  readonly method: 'exact' | 'sampled';
  /** 0 when exact. */
  readonly standardError: number;
}

export interface HypervolumeOptions {
  /** Undefined: exact as long as `affordable`. */
  readonly method?: Hypervolume['method'] | undefined;
  /** Of the estimate: number of sampled points (8192). */
  readonly samples?: number | undefined;
}

/** Most points for which the exact value takes some tens of milliseconds at most, by number of tasks; 0 beyond. */
const AFFORDABLE = [Infinity, Infinity, Infinity, 5000, 400, 90, 40];
const SAMPLES = 8192;

const affordable = (tasks: number, points: number): boolean => points <= (AFFORDABLE[tasks] ?? 0);

/** Rows of minimised values that are better than the reference in every task and not dominated, moved so that the reference is at 0. */
function relevantRows(values: Float64Array, width: number, reference: Float64Array): { rows: Float64Array; count: number } {
  const inside = new Float64Array(values.length);
  let count = 0;
  for (let at = 0; at < values.length; at += width) {
    let better = true;
    for (let t = 0; t < width && better; t++) {
      const distance = (values[at + t] as number) - (reference[t] as number);
      inside[count * width + t] = distance;
      better = distance < 0;
    }
    if (better) count++;
  }
  const kept = nonDominatedRows(inside, width, count);
  for (const [to, from] of kept.entries()) inside.copyWithin(to * width, from * width, (from + 1) * width);
  return { rows: inside, count: kept.length };
}

/** Of minimised values, row by row. */
export function hypervolumeOfRows(
  values: Float64Array,
  width: number,
  reference: Float64Array,
  { method, samples = SAMPLES }: HypervolumeOptions = {},
): Hypervolume {
  const { rows, count } = relevantRows(values, width, reference);
  const exact = method === undefined ? affordable(width, count) : method === 'exact';
  if (exact) return { value: exactHypervolume(rows, width, count), method: 'exact', standardError: 0 };
  return { ...sampledHypervolume(rows, width, count, samples), method: 'sampled' };
}

/**
 * @param points metric vectors, one value a task; those not better than the reference point in every task add nothing
 * @param referencePoint by task
 */
export function hypervolume(
  points: readonly (readonly number[])[],
  referencePoint: readonly number[],
  directions: readonly Direction[],
  options: HypervolumeOptions = {},
): Hypervolume {
  const reference = Float64Array.from(directions, (direction, t) => signOf(direction) * (referencePoint[t] ?? Number.NaN));
  return hypervolumeOfRows(minimised(points, directions), directions.length, reference, options);
}
