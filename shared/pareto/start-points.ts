/** Where minimisations of a problem begin, and which of many points is the best to begin with. */
import type { Problem } from './objectives.js';
import { addPoint, createPointSet, type PointSet, selectPoints } from './point-set.js';
import { seededRandom } from './seeded-random.js';

const RANDOM_STARTS = 192;

/** Random points of the box, its middle, and its corners at the lower end, along each axis and at the upper end. */
export function startPoints(problem: Problem, seed: number): PointSet {
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

/** The points whose values are all finite. */
export function finitePoints(set: PointSet): PointSet {
  const rows = Array.from({ length: set.count }, (_, row) => row);
  const { values, objectives } = set;
  return selectPoints(
    set,
    rows.filter((row) => values.subarray(row * objectives, (row + 1) * objectives).every(Number.isFinite)),
  );
}
