/**
 * The front of a study from its surrogates. NSGA-III looks for it from a random population, knowing nothing but values, and its hypervolume
 * is that of what it found by itself. Newton steps on the closed form come second: they start from their own points and also from what
 * NSGA-III found, which protects them from poor local minima. Whichever dominates the larger volume serves, and both volumes are told. Both
 * stay inside of the box that was sampled, and the same study and surrogates always give the same front.
 */
import { nonDominated, signOf } from './dominance.js';
import { gradientFront, MANY_TASKS } from './gradient-front.js';
import { hypervolumeOfRows } from './hypervolume.js';
import { nsga3 } from './nsga3.js';
import { type Problem, surrogateProblem } from './objectives.js';
import { joinPoints, type PointSet, pointAt } from './point-set.js';
import { predictPoints } from './predict-points.js';
import { referenceDirections } from './reference-directions.js';
import type { PredictedFront, PredictedPoint, SolverName, StudySpec, Surrogate } from './study.js';
import { referencePointOf } from './thin-front.js';

export interface SearchOptions {
  /** Of the front: 420 for two tasks, whose front is a line that can be drawn closely, 200 for more. */
  readonly mostPoints?: number | undefined;
}

const MOST_POINTS_OF_TWO = 420;
const MOST_POINTS = 200;
const MOST_DIRECTIONS = 100;
const GENERATIONS = 40;
/** Of many tasks: what NSGA-III finds there is far from the front anyway, and more of it changes the front that serves by nothing. */
const GENERATIONS_OF_MANY = 25;
/** Places of the estimate of a hypervolume where it is not computed exactly. */
const SAMPLES = 4096;

/** In the order of their coefficients. */
export function comparePoints(a: PredictedPoint, b: PredictedPoint): number {
  for (const [i, coefficient] of a.coefficients.entries()) {
    const difference = coefficient - (b.coefficients[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** NSGA-III as the search runs it. */
export function nsga3Front(problem: Problem, seed: number, mostPoints: number): PointSet {
  const directions = referenceDirections(problem.objectives, MOST_DIRECTIONS);
  const generations = problem.objectives > MANY_TASKS ? GENERATIONS_OF_MANY : GENERATIONS;
  return nsga3(problem, { directions, generations, seed, mostPoints }).archive;
}

/** @param surrogates one a task, of quadratics in as many coefficients as there are dimensions */
export function searchFront(
  { tasks, dimensions, seed }: Pick<StudySpec, 'tasks' | 'dimensions' | 'seed'>,
  surrogates: readonly Surrogate[],
  { mostPoints = tasks.length === 2 ? MOST_POINTS_OF_TWO : MOST_POINTS }: SearchOptions = {},
): PredictedFront {
  const problem = surrogateProblem(tasks, dimensions, surrogates);
  const archive = nsga3Front(problem, seed, mostPoints);
  const fronts: Readonly<Record<SolverName, PointSet>> = {
    nsga3: archive,
    gradient: gradientFront(problem, { mostPoints, seed, starts: archive }),
  };
  const reference = referencePointOf(joinPoints(fronts.gradient, fronts.nsga3));
  const volumeOf = ({ values, objectives, count }: PointSet): number =>
    hypervolumeOfRows(values.subarray(0, count * objectives), objectives, reference, { samples: SAMPLES }).value;
  const volumes = { gradient: volumeOf(fronts.gradient), nsga3: volumeOf(fronts.nsga3) };
  const solver: SolverName = volumes.nsga3 > volumes.gradient ? 'nsga3' : 'gradient';
  const served = fronts[solver];
  const all = predictPoints(
    surrogates,
    Array.from({ length: served.count }, (_, row) => problem.toCoefficients(pointAt(served, row))),
  );
  // Once more: coefficients are rounded differently than places in the unit box.
  const kept = nonDominated(
    all.map(({ predicted }) => predicted),
    tasks.map(({ direction }) => direction),
  );
  const points = kept.map((row) => all[row] as PredictedPoint).sort(comparePoints);
  return {
    points,
    solver,
    hypervolume: volumes,
    referencePoint: tasks.map(({ direction }, t) => signOf(direction) * (reference[t] as number)),
  };
}
