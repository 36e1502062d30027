/** Fronts that solvers found, beside the exact ones. */
import { hypervolumeOfRows } from '../../shared/pareto/hypervolume.js';
import type { PointSet } from '../../shared/pareto/point-set.js';
import type { KnownProblem } from './pareto-problems.js';

/** So many points of an exact front are compared with. */
const EXACT = 2000;

export const rowsOf = ({ values, objectives, count }: PointSet): number[][] =>
  Array.from({ length: count }, (_, row) => [...values.subarray(row * objectives, (row + 1) * objectives)]);

export const exactFront = (problem: KnownProblem): number[][] => problem.front(EXACT);

/** Of the hypervolume of the exact front, from the same worst value in every objective. */
export function shareOfVolume(problem: KnownProblem, points: readonly (readonly number[])[], worst: number): number {
  const reference = new Float64Array(problem.objectives).fill(worst);
  const [found = 0, exact = 0] = [points, exactFront(problem)].map(
    (rows) => hypervolumeOfRows(Float64Array.from(rows.flat()), problem.objectives, reference, { method: 'exact' }).value,
  );
  return found / exact;
}
