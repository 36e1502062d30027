/**
 * The front by derivatives: the surrogates are quadratics through links, so a scalarisation of them (scalarisations.ts) takes a few Newton
 * steps to its minimum, which is a point of the front. First where every task is best alone, then along directions spread over all
 * trade-offs, then where weighted products are largest, because those points dominate the most volume. Every minimisation starts from the
 * best of all points known so far, and when a quadratic is bent the wrong way from a second one. Points that another solver found are
 * starts too, and are made exact where that can matter.
 */
import { createBoxNewton, type NewtonOptions } from './box-newton.js';
import { fillGaps } from './fill-gaps.js';
import type { SurrogateProblem } from './objectives.js';
import { addPoint, createPointSet, joinPoints, type PointSet, pointAt } from './point-set.js';
import { referenceDirections } from './reference-directions.js';
import { type SmoothChebyshev, smoothChebyshev, weightedProduct, weightedSum } from './scalarisations.js';
import { seededRandom } from './seeded-random.js';
import { referencePointOf, spreadPoints, thinFront } from './thin-front.js';

export interface GradientOptions {
  readonly mostPoints: number;
  readonly seed: number;
  /** More points to start from, such as what another solver found. */
  readonly starts?: PointSet | undefined;
}

const RANDOM_STARTS = 192;
/** Of the smallest part of a direction to its largest: a direction along an axis asks a little of the other tasks too. */
const LEAST_PART = 0.01;
/** Weight of the other tasks where one is best alone, and of all tasks along a direction: nothing is given away for free. */
const LITTLE = 1e-4;
/** Smoothness of Chebyshev's distance, as a share of it. */
const SMOOTHNESS = 0.03;
/** So many are tried at least, however few are wanted. */
const PRODUCTS = 200;
const PRODUCTS_OF_FEW = 400;
/** With more tasks than this a front is never known closely: second starts and exactness in the last places are not worth their time. */
const FEW = 4;
/** With more than this, directions other than the corners and the last digits of products add no volume either. */
const MANY = 8;
const MOST_POLISHED = 120;
/** Standard deviations of logarithms of weights. */
const NARROW = 0.3;
const WIDE = 2;
/** The same, in ranges, where a known point only has to be made exact. */
const POLISH_SMOOTHNESS = 1e-3;
const PRECISE: NewtonOptions = { iterations: 60, tolerance: 1e-12 };
const QUICK: NewtonOptions = { iterations: 25, tolerance: 1e-7 };
const ROUGH: NewtonOptions = { iterations: 25, tolerance: 1e-3 };

/** Random points of the box, its middle, and its corners at the lower end, along each axis and at the upper end. */
export function startPoints(problem: SurrogateProblem, seed: number): PointSet {
  const { dimensions: n } = problem;
  const pool = createPointSet(problem, RANDOM_STARTS + n + 3);
  const x = new Float64Array(n);
  for (const corner of [0.5, 0, 1]) addPoint(pool, problem, x.fill(corner));
  x.fill(0);
  for (let i = 0; i < n; i++) {
    x[i] = 1;
    addPoint(pool, problem, x);
    x[i] = 0;
  }
  const random = seededRandom(seed);
  for (let k = 0; k < RANDOM_STARTS; k++) {
    for (let i = 0; i < n; i++) x[i] = random();
    addPoint(pool, problem, x);
  }
  return pool;
}

/** The rows of the set with the smallest scores, best first. */
export function bestRows(set: PointSet, count: number, score: (values: Float64Array, at: number) => number): number[] {
  const best: { row: number; score: number }[] = [];
  for (let row = 0; row < set.count; row++) {
    const own = score(set.values, row * set.objectives);
    if (best.length === count && !(own < (best[count - 1]?.score ?? Infinity))) continue;
    let at = best.length;
    while (at > 0 && own < (best[at - 1]?.score ?? -Infinity)) at--;
    best.splice(at, 0, { row, score: own });
    if (best.length > count) best.pop();
  }
  return best.map(({ row }) => row);
}

export interface IndividualOptima {
  /** The best value of each objective. */
  readonly ideal: Float64Array;
  /** How much worse each objective is at the worst of the other objectives' optima; never 0. */
  readonly ranges: Float64Array;
  /** Where each objective is best, the others being as good as that allows. */
  readonly ends: PointSet;
}

/** @param pool points to start from */
export function individualOptima(problem: SurrogateProblem, pool: PointSet): IndividualOptima {
  const { objectives, dimensions } = problem;
  const newton = createBoxNewton(problem);
  const x = new Float64Array(dimensions);
  const optima = createPointSet(problem, objectives);
  for (let t = 0; t < objectives; t++) {
    const alone = weightedSum(Float64Array.from({ length: objectives }, (_, other) => (other === t ? 1 : 0)));
    const found = createPointSet(problem, 3);
    for (const row of bestRows(pool, 3, alone.value)) {
      x.set(pointAt(pool, row));
      newton.minimise(alone, x, PRECISE);
      addPoint(found, problem, x);
    }
    addPoint(optima, problem, pointAt(found, bestRows(found, 1, alone.value)[0] ?? 0));
  }
  const ideal = new Float64Array(objectives);
  const ranges = new Float64Array(objectives);
  for (let t = 0; t < objectives; t++) {
    const own = Float64Array.from({ length: objectives }, (_, row) => optima.values[row * objectives + t] as number);
    ideal[t] = own[t] as number;
    const worst = Math.max(...own);
    const range = worst - (own[t] as number);
    ranges[t] = range > 1e-9 * Math.max(Math.abs(worst), Math.abs(own[t] as number)) ? range : 1;
  }
  const ends = createPointSet(problem, objectives);
  for (let t = 0; t < objectives; t++) {
    const weights = Float64Array.from(ranges, (range, other) => (other === t ? 1 : LITTLE) / range);
    x.set(pointAt(optima, t));
    newton.minimise(weightedSum(weights), x, PRECISE);
    addPoint(ends, problem, x);
  }
  return { ideal, ranges, ends: joinPoints(optima, ends) };
}

/** Points Chebyshev's distance along a direction of the simplex. */
export function aim(scalarisation: SmoothChebyshev, direction: ArrayLike<number>, { ideal, ranges }: IndividualOptima): void {
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
function isBent({ hessians, signs, objectives, dimensions: n }: SurrogateProblem): boolean {
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
function productPoints(problem: SurrogateProblem, solved: PointSet, optima: IndividualOptima, count: number, seed: number): void {
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
    newton.minimise(scalarisation, x, objectives > MANY ? ROUGH : QUICK);
    note(addPoint(solved, problem, x));
  }
}

/** From each point to one of the front that is nowhere worse, but for the smoothness of the distance. */
function polish(problem: SurrogateProblem, solved: PointSet, points: PointSet, { ranges }: IndividualOptima): void {
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

/** @returns points of the unit box that do not dominate one another, at most `mostPoints` */
export function gradientFront(problem: SurrogateProblem, { mostPoints, seed, starts }: GradientOptions): PointSet {
  const { objectives, dimensions } = problem;
  const pool = startPoints(problem, seed);
  const begins = starts === undefined ? pool : joinPoints(pool, starts);
  const optima = individualOptima(problem, begins);
  if (objectives === 1) return thinFront(optima.ends, 1);
  const spread = objectives > MANY ? objectives : Math.ceil(mostPoints / 2);
  const directions = referenceDirections(objectives, objectives === 2 ? Math.min(mostPoints, 48) : spread);
  const newton = createBoxNewton(problem);
  const scalarisation = smoothChebyshev(objectives);
  const x = new Float64Array(dimensions);
  const known = joinPoints(optima.ends, begins);
  const solved = joinPoints(optima.ends, createPointSet(problem));
  const bent = objectives <= FEW && isBent(problem);
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
  if (objectives <= FEW && starts !== undefined) polish(problem, solved, spreadPoints(starts, MOST_POLISHED), optima);
  if (objectives === 2) return thinFront(fillGaps(problem, solved, mostPoints), mostPoints);
  productPoints(problem, solved, optima, Math.max(mostPoints, objectives <= FEW ? PRODUCTS_OF_FEW : PRODUCTS), seed);
  return thinFront(solved, mostPoints);
}
