/**
 * The front of two tasks is a line, so it can be drawn as closely as wanted: the gap that may hide the largest area is halved, until there
 * are enough points or no gap has anything in it.
 */
import { createBoxNewton, type NewtonOptions } from './box-newton.js';
import type { SmoothProblem } from './objectives.js';
import { addPoint, type PointSet, valueRanges } from './point-set.js';
import { smoothChebyshev } from './scalarisations.js';
import { thinFront } from './thin-front.js';

/** Smoothness of Chebyshev's distance, as a share of the gap. */
const SMOOTHNESS = 0.05;
/** Weight of the sum of both tasks beside it. */
const LITTLE = 1e-4;
/** Of a gap's width: a point nearer to a known one is none. */
const NEWS = 1e-3;
/** Of the points: taken from what is known, the others close gaps. */
const KNOWN_SHARE = 0.25;
/** Gaps of a smaller share of the area of the whole front are left alone. */
const LEAST_AREA = 1e-12;
const QUICK: NewtonOptions = { iterations: 25, tolerance: 1e-7 };

/** @returns the front of what was found, and more points of it, at most `most` or few more in all; some may be dominated */
export function fillGaps(problem: SmoothProblem, found: PointSet, most: number): PointSet {
  const newton = createBoxNewton(problem);
  const scalarisation = smoothChebyshev(2);
  scalarisation.mu = SMOOTHNESS;
  const x = new Float64Array(problem.dimensions);
  const all = thinFront(found, Math.ceil(most * KNOWN_SHARE));
  const { least, most: largest } = valueRanges(all);
  const whole = ((largest[0] as number) - (least[0] as number)) * ((largest[1] as number) - (least[1] as number));
  const first = (row: number): number => all.values[2 * row] as number;
  const second = (row: number): number => all.values[2 * row + 1] as number;
  /** The rows of the front from left to right. */
  let order = Array.from({ length: all.count }, (_, row) => row).sort((a, b) => first(a) - first(b));
  /** By the row on its left: nothing was found from this gap. */
  const empty = new Set<number>();
  /** The middle of the gap is aimed at from the gap's own corner. @returns whether a point of the front came out, wherever it lies */
  const aimFrom = (left: number, right: number, share: number): boolean => {
    const wide = first(right) - first(left);
    const high = second(left) - second(right);
    scalarisation.goal[0] = first(left);
    scalarisation.goal[1] = second(right);
    scalarisation.weights[0] = 1 / wide;
    scalarisation.weights[1] = 1 / high;
    scalarisation.extra[0] = LITTLE / wide;
    scalarisation.extra[1] = LITTLE / high;
    for (let i = 0; i < x.length; i++)
      x[i] = (1 - share) * (all.x[left * x.length + i] as number) + share * (all.x[right * x.length + i] as number);
    newton.minimise(scalarisation, x, QUICK);
    const row = addPoint(all, problem, x);
    // Between finite points there may be others.
    const isFinite = Number.isFinite(first(row)) && Number.isFinite(second(row));
    const isNew =
      isFinite &&
      order.every((other) => {
        const distance = Math.abs(first(row) - first(other)) / wide + Math.abs(second(row) - second(other)) / high;
        return distance > NEWS && (first(other) > first(row) || second(other) > second(row));
      });
    if (!isNew) {
      all.count--;
      return false;
    }
    order = order.filter((other) => first(other) < first(row) || second(other) < second(row));
    const at = order.findIndex((other) => first(other) > first(row));
    order.splice(at < 0 ? order.length : at, 0, row);
    return true;
  };
  while (order.length < most && all.count < 2 * most) {
    let widest = -1;
    let area = LEAST_AREA * whole;
    for (let at = 0; at + 1 < order.length; at++) {
      const left = order[at] as number;
      const right = order[at + 1] as number;
      const own = (first(right) - first(left)) * (second(left) - second(right));
      if (own > area && !empty.has(left)) {
        area = own;
        widest = at;
      }
    }
    if (widest < 0) break;
    const left = order[widest] as number;
    const right = order[widest + 1] as number;
    if (![0.5, 0, 1].some((share) => aimFrom(left, right, share))) empty.add(left);
  }
  return all;
}
