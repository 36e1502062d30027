/**
 * The front by derivatives: of objectives that are twice differentiable, such as surrogates, a scalarisation (scalarisations.ts) takes a few
 * Newton steps to its minimum, which is a point of the front. First where every task is best alone, then along directions spread over all
 * trade-offs, then where weighted products are largest, because those points dominate the most volume. Every minimisation starts from the
 * best of all points known so far, and when an objective may be bent the wrong way from a second one. Points that another solver found are
 * starts too, and are made exact where that can matter.
 */
import { createBoxNewton, type NewtonOptions } from './box-newton.js';
import { fillGaps } from './fill-gaps.js';
import { type IndividualOptima, individualOptima } from './individual-optima.js';
import type { Quadratics, SmoothProblem } from './objectives.js';
import { addPoint, createPointSet, joinPoints, type PointSet, pointAt } from './point-set.js';
import { referenceDirections } from './reference-directions.js';
import { type SmoothChebyshev, smoothChebyshev, weightedProduct } from './scalarisations.js';
import { seededRandom } from './seeded-random.js';
import { bestRows, finitePoints, startPoints } from './start-points.js';
import { referencePointOf, spreadPoints, thinFront } from './thin-front.js';

export interface GradientOptions {
  readonly mostPoints: number;
  readonly seed: number;
  /** More points to start from, such as what another solver found. */
  readonly starts?: PointSet | undefined;
}

/** Of the smallest part of a direction to its largest: a direction along an axis asks a little of the other tasks too. */
const LEAST_PART = 0.01;
/** Weight of all tasks along a direction: nothing is given away for free. */
const LITTLE = 1e-4;
/** Smoothness of Chebyshev's distance, as a share of it. */
const SMOOTHNESS = 0.03;
/** So many are tried at least, however few are wanted. */
const PRODUCTS = 200;
const PRODUCTS_OF_FEW = 400;
/** With more tasks than this a front is never known closely: second starts and exactness in the last places are not worth their time. */
const FEW = 4;
/** With more than this, directions other than the corners and the last digits of products add no volume either. */
export const MANY_TASKS = 8;
const MOST_POLISHED = 120;
/** Standard deviations of logarithms of weights. */
const NARROW = 0.3;
const WIDE = 2;
/** The same, in ranges, where a known point only has to be made exact. */
const POLISH_SMOOTHNESS = 1e-3;
const QUICK: NewtonOptions = { iterations: 25, tolerance: 1e-7 };
const ROUGH: NewtonOptions = { iterations: 25, tolerance: 1e-3 };

/** Points Chebyshev's distance along a direction of the simplex. */
function aim(scalarisation: SmoothChebyshev, direction: ArrayLike<number>, { ideal, ranges }: IndividualOptima): void {
  let largest = 0;
  for (let t = 0; t < direction.length; t++) largest = Math.max(largest, direction[t] as number);
  for (let t = 0; t < direction.length; t++) {
    const range = ranges[t] as number;
    scalarisation.weights[t] = 1 / (range * Math.max((direction[t] as number) / largest, LEAST_PART));
    scalarisation.goal[t] = ideal[t] as number;
    scalarisation.extra[t] = LITTLE / range;
  }
}

/** Whether some objective has a direction of negative curvature before its link, so that there may be several minima. */
function isBent({ hessians, signs }: Quadratics, { objectives, dimensions: n }: SmoothProblem): boolean {
  const L = new Float64Array(n * n);
  for (let t = 0; t < objectives; t++) {
    const sign = signs[t] as number;
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = sign * (hessians[(t * n + i) * n + j] as number);
        for (let k = 0; k < j; k++) sum -= (L[i * n + k] as number) * (L[j * n + k] as number);
        if (i === j && sum < 0) return true;
        L[i * n + j] = i === j ? Math.sqrt(sum) : (L[j * n + j] as number) > 0 ? sum / (L[j * n + j] as number) : 0;
      }
  }
  return false;
}

/**
 * Points where a weighted product of what each task is better than the reference is largest: of single points those dominate the most
 * volume. Weights are drawn around equal ones, first near, then far.
 */
function productPoints(problem: SmoothProblem, solved: PointSet, optima: IndividualOptima, count: number, seed: number): void {
  const { objectives } = problem;
  const newton = createBoxNewton(problem);
  const scalarisation = weightedProduct(objectives);
  scalarisation.reference.set(referencePointOf(optima.ends));
  scalarisation.ranges.set(optima.ranges);
  const x = new Float64Array(problem.dimensions);
  const random = seededRandom(seed);
  const bell = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  // Logarithms of everything solved, once: which point is the best start is then a product for each.
  const parts = new Float64Array((solved.count + count + 1) * objectives);
  const note = (row: number): void => {
    for (let at = row * objectives, t = 0; t < objectives; t++, at++) parts[at] = scalarisation.part(solved.values[at] as number, t);
  };
  for (let row = 0; row < solved.count; row++) note(row);
  const bestStart = (): number => {
    let best = 0;
    let least = Infinity;
    for (let row = 0, at = 0; row < solved.count; row++) {
      let sum = 0;
      for (let t = 0; t < objectives; t++, at++) sum += (scalarisation.weights[t] as number) * (parts[at] as number);
      if (sum < least) [best, least] = [row, sum];
    }
    return best;
  };
  for (let k = 0; k <= count; k++) {
    const spread = k === 0 ? 0 : NARROW * (WIDE / NARROW) ** (k / count);
    for (let t = 0; t < objectives; t++) scalarisation.weights[t] = Math.exp(spread * bell());
    x.set(pointAt(solved, bestStart()));
    newton.minimise(scalarisation, x, objectives > MANY_TASKS ? ROUGH : QUICK);
    note(addPoint(solved, problem, x));
  }
}

/** From each point to one of the front that is nowhere worse, but for the smoothness of the distance. */
function polish(problem: SmoothProblem, solved: PointSet, points: PointSet, { ranges }: IndividualOptima): void {
  const newton = createBoxNewton(problem);
  const scalarisation = smoothChebyshev(problem.objectives);
  scalarisation.mu = POLISH_SMOOTHNESS;
  for (let t = 0; t < problem.objectives; t++) {
    scalarisation.weights[t] = 1 / (ranges[t] as number);
    scalarisation.extra[t] = LITTLE / (ranges[t] as number);
  }
  const x = new Float64Array(problem.dimensions);
  for (let row = 0; row < points.count; row++) {
    x.set(pointAt(points, row));
    problem.evaluate(x, 0, scalarisation.goal, 0);
    newton.minimise(scalarisation, x, QUICK);
    addPoint(solved, problem, x);
  }
}

function searchOnce(problem: SmoothProblem, { mostPoints, seed, starts }: GradientOptions): PointSet {
  const { objectives, dimensions } = problem;
  const pool = finitePoints(startPoints(problem, seed));
  const given = starts === undefined ? undefined : finitePoints(starts);
  const begins = given === undefined ? pool : joinPoints(pool, given);
  if (begins.count === 0) return begins;
  const optima = individualOptima(problem, begins);
  if (objectives === 1) return thinFront(optima.ends, 1);
  const spread = objectives > MANY_TASKS ? objectives : Math.ceil(mostPoints / 2);
  const directions = referenceDirections(objectives, objectives === 2 ? Math.min(mostPoints, 48) : spread);
  const newton = createBoxNewton(problem);
  const scalarisation = smoothChebyshev(objectives);
  const x = new Float64Array(dimensions);
  const known = joinPoints(optima.ends, begins);
  const solved = joinPoints(optima.ends, createPointSet(problem));
  const bent = objectives <= FEW && (problem.quadratics === undefined || isBent(problem.quadratics, problem));
  for (const direction of directions) {
    aim(scalarisation, direction, optima);
    const begin = (set: PointSet): number => {
      const [row = 0] = bestRows(set, 1, scalarisation.largest);
      scalarisation.mu = SMOOTHNESS * Math.max(scalarisation.largest(set.values, row * objectives), 1e-3);
      x.set(pointAt(set, row));
      newton.minimise(scalarisation, x, QUICK);
      return addPoint(solved, problem, x);
    };
    const row = begin(known);
    addPoint(known, problem, pointAt(solved, row));
    if (bent) begin(pool);
  }
  if (objectives <= FEW && given !== undefined) polish(problem, solved, spreadPoints(given, MOST_POLISHED), optima);
  if (objectives === 2) return thinFront(fillGaps(problem, solved, mostPoints), mostPoints);
  productPoints(problem, solved, optima, Math.max(mostPoints, objectives <= FEW ? PRODUCTS_OF_FEW : PRODUCTS), seed);
  return thinFront(solved, mostPoints);
}

/**
 * Of quadratics the first search is as good as any. Ends of other fronts may be missed by it, or lie in poor local minima, so it is
 * repeated from what it found.
 * @returns points of the unit box that do not dominate one another, at most `mostPoints`, all their values finite; none when no start has
 *   finite values
 */
export function gradientFront(problem: SmoothProblem, options: GradientOptions): PointSet {
  const first = searchOnce(problem, options);
  if (problem.quadratics !== undefined || problem.objectives === 1) return first;
  const starts = options.starts === undefined ? first : joinPoints(options.starts, first);
  const second = searchOnce(problem, { ...options, seed: options.seed + 1, starts });
  return thinFront(joinPoints(first, second), options.mostPoints);
}
