/** What measurements of one task say: one value for each distinct point, and how precise it is. */
import type { Bounds } from './links.js';
import type { Measured } from './study.js';

export interface MeasuredPoint {
  readonly coefficients: readonly number[];
  readonly measured: Measured;
}

/** A measured 0 or 1 is kept so far from the bound (share of the range) when nothing else tells how far it may be. */
const CLIP_SHARE = 1e-3;
interface Observations {
  readonly points: readonly (readonly number[])[];
  readonly values: Float64Array;
  readonly counts: Float64Array | undefined;
  readonly standardErrors: Float64Array | undefined;
}

export const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += values[at] as number;
  return sum / values.length;
};

/** Measurements of one point together, in the order of the first of each. */
function distinctPoints(measurements: readonly MeasuredPoint[]): MeasuredPoint[][] {
  const groups: MeasuredPoint[][] = [];
  const bySum = new Map<number, MeasuredPoint[][]>();
  for (const point of measurements) {
    const { coefficients } = point;
    // Points that are not the same seldom share a sum; 0 and -0 are one key of a map.
    const sum = coefficients.reduce((before, value, index) => before + (index + 1) * value, 0);
    const near = bySum.get(sum) ?? [];
    if (near.length === 0) bySum.set(sum, near);
    let group = near.find(([other]) => coefficients.every((value, index) => value === other?.coefficients[index]));
    if (group === undefined) {
      group = [];
      near.push(group);
      groups.push(group);
    }
    group.push(point);
  }
  return groups;
}

/**
 * One observation for each distinct point. Measurements of one point are averaged, and count as one: agents measure on fixed data, so a second
 * one tells nothing new. Where only some say their standard error or count, the others get the median of those.
 */
export function observe(measurements: readonly MeasuredPoint[]): Observations {
  const all = distinctPoints(measurements.filter(({ measured }) => Number.isFinite(measured.value)));
  const known = (read: (measured: Measured) => number | undefined): Float64Array | undefined => {
    const each = all.map((group) => {
      const said = group.map(({ measured }) => read(measured) ?? 0).filter((value) => value > 0 && Number.isFinite(value));
      return said.length === 0 ? undefined : meanOf(said);
    });
    const sorted = each.filter((value) => value !== undefined).sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1];
    return median === undefined ? undefined : Float64Array.from(each, (value) => value ?? median);
  };
  return {
    points: all.map(([first]) => (first as MeasuredPoint).coefficients),
    values: Float64Array.from(all, (group) => meanOf(group.map(({ measured }) => measured.value))),
    counts: known(({ count }) => count),
    standardErrors: known(({ standardError }) => standardError),
  };
}

/** Half an example, or half of the smallest distance to a bound that was measured, or a thousandth of the range. */
export function clipOf({ lower, upper }: Bounds, { values, counts }: Observations): number {
  let low = Infinity;
  let high = -Infinity;
  let nearest = Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
    for (const bound of [lower, upper]) {
      const distance = bound === undefined ? 0 : Math.abs(value - bound);
      if (distance > 0) nearest = Math.min(nearest, distance);
    }
  }
  const range = lower !== undefined && upper !== undefined ? upper - lower : high - low;
  const example = counts === undefined ? Infinity : (0.5 * range) / counts.reduce((most, count) => Math.max(most, count), 1);
  return Math.max(Math.min(CLIP_SHARE * range, nearest / 2, example), 1e-12 * range);
}
