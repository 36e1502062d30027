/** Where the front ends: where one objective is best, or all others are. Everything else is measured in ranges between the ends. */
import { createBoxNewton, type NewtonOptions } from './box-newton.js';
import type { SmoothProblem } from './objectives.js';
import { addPoint, createPointSet, joinPoints, type PointSet, pointAt, selectPoints, valueRanges } from './point-set.js';
import { weightedSum } from './scalarisations.js';
import { bestRows } from './start-points.js';

export interface IndividualOptima {
  /** The best value of each objective. */
  readonly ideal: Float64Array;
  /** How much worse each objective is at the worst of the ends; never 0. */
  readonly ranges: Float64Array;
  readonly ends: PointSet;
}

/** Weight of the objectives that do not count: they are as good as those that do allow. */
const LITTLE = 1e-4;
/** Starts of the search for an end: a quadratic has few minima in the box. */
const STARTS = 3;
/** Other functions may have many, and corners of the box, one a dimension, may all lead to the same: so many starts more than dimensions. */
const MORE_STARTS = 32;
/** Of what is known of the box: a smaller range is nothing but rounding. */
const LEAST_RANGE = 1e-9;
/** Who loses less for what the others gain, both in ranges, is not better at all. */
const NEGLIGIBLE = 1e-6;
const PRECISE: NewtonOptions = { iterations: 60, tolerance: 1e-12 };

/**
 * Optima of one objective are looked for twice: alone, which tells its best value but may leave the others anywhere, and with the others.
 * Quadratics seldom leave anything open; of other functions several may be best at the same end, so each is given up for all others, too.
 * @param pool finite points to start from, one at least
 */
export function individualOptima(problem: SmoothProblem, pool: PointSet): IndividualOptima {
  const { objectives, dimensions } = problem;
  const newton = createBoxNewton(problem);
  const x = new Float64Array(dimensions);
  const { least, most } = valueRanges(pool);
  const spreads = most.map((worst, t) => worst - (least[t] as number) || 1);
  const ideal = new Float64Array(objectives);
  /** From the best starts; the best that comes out goes into the set. */
  const minimise = (starts: PointSet, count: number, weights: Float64Array, into: PointSet): void => {
    const sum = weightedSum(weights);
    const found = createPointSet(problem, count);
    for (const row of bestRows(starts, count, sum.value)) {
      x.set(pointAt(starts, row));
      newton.minimise(sum, x, PRECISE);
      addPoint(found, problem, x);
    }
    addPoint(into, problem, pointAt(found, bestRows(found, 1, sum.value)[0] ?? 0));
  };
  const rangesOf = (points: PointSet): Float64Array => {
    const worst = valueRanges(points).most;
    return spreads.map((spread, t) => {
      const range = (worst[t] as number) - (ideal[t] as number);
      return range > LEAST_RANGE * spread ? range : spread;
    });
  };
  const isQuadratic = problem.quadratics !== undefined;
  const optima = createPointSet(problem, objectives);
  for (let t = 0; t < objectives; t++) {
    const alone = new Float64Array(objectives);
    alone[t] = 1;
    minimise(pool, isQuadratic ? STARTS : dimensions + MORE_STARTS, alone, optima);
    ideal[t] = optima.values[t * objectives + t] as number;
  }
  const scale = rangesOf(optima);
  const ends = createPointSet(problem, 3 * objectives);
  for (let t = 0; t < objectives; t++) {
    const alone = selectPoints(optima, [t]);
    const end = ends.count;
    minimise(
      isQuadratic ? alone : joinPoints(alone, pool),
      STARTS,
      scale.map((range, other) => (other === t ? 1 : LITTLE) / range),
      ends,
    );
    let lost = 0;
    let gained = 0;
    for (let other = 0; other < objectives; other++) {
      const change = ((ends.values[end * objectives + other] as number) - (alone.values[other] as number)) / (scale[other] as number);
      if (other === t) lost = change;
      else gained -= change;
    }
    if (lost > NEGLIGIBLE * gained) addPoint(ends, problem, pointAt(alone, 0));
  }
  if (isQuadratic) return { ideal, ranges: scale, ends };
  // Of two objectives giving up one is being best at the other.
  const known = joinPoints(pool, ends);
  for (let t = 0; objectives > 2 && t < objectives; t++)
    minimise(
      known,
      1,
      scale.map((range, other) => (other === t ? LITTLE : 1) / range),
      ends,
    );
  return { ideal, ranges: rangesOf(ends), ends };
}
