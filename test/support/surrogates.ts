/** Surrogates made by hand, and by fast-check. */
import fc from 'fast-check';
import { quadraticSize } from '../../shared/pareto/quadratic.js';
import type { Dimension, Direction, LinkName, Surrogate, Task } from '../../shared/pareto/study.js';

const QUALITY = { r2: 1, heldOutR2: 1, heldOutRmse: 0, measurements: 10, ridge: 0, usable: true };

export const surrogateOf = (
  parameters: readonly number[],
  link: LinkName = 'identity',
  covariance: readonly number[] = [],
  bounds: { readonly lower?: number; readonly upper?: number } = {},
): Surrogate => ({ link, ...bounds, parameters, covariance, quality: QUALITY });

export const tasksOf = (...directions: readonly Direction[]): Task[] =>
  directions.map((direction, t) => ({ name: `task-${t}`, metric: 'metric', direction }));

/** One for each contributor `team-0`, `team-1`, ... */
export const dimensionsOf = (count: number, lower = 0, upper = 1): Dimension[] =>
  Array.from({ length: count }, (_, i) => ({ name: `team-${i}`, contributor: `team-${i}`, lower, upper, neutral: 1 }));

export const contributorsOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `team-${i}`);

/** The segment oracle of MAP: M1 = 1 - (c1 - 1)^2 - c2^2, M2 = 1 - c1^2 - (c2 - 1)^2. */
export const SEGMENT = {
  tasks: tasksOf('maximize', 'maximize'),
  dimensions: dimensionsOf(2),
  contributors: contributorsOf(2),
  seed: 1,
  surrogates: [surrogateOf([-1, -1, 0, 2, 0, 0]), surrogateOf([-1, -1, 0, 0, 2, 0])],
};

/** To three places. */
const number = (least: number, most: number): fc.Arbitrary<number> =>
  fc.integer({ min: Math.ceil(least * 1000), max: Math.floor(most * 1000) }).map((thousandths) => thousandths / 1000);

/** level - sum stiffness_i (c_i - best_i)^2 as parameters: one maximum. */
export const hill = (dimensions: number): fc.Arbitrary<number[]> =>
  fc
    .record({
      best: fc.array(number(-0.2, 1.2), { minLength: dimensions, maxLength: dimensions }),
      stiffness: fc.array(number(0.3, 4), { minLength: dimensions, maxLength: dimensions }),
      level: number(-1, 2),
    })
    .map(({ best, stiffness, level }) => [
      ...stiffness.map((a) => -a),
      ...Array.from({ length: (dimensions * (dimensions - 1)) / 2 }, () => 0),
      ...stiffness.map((a, i) => 2 * a * (best[i] ?? 0)),
      level - stiffness.reduce((sum, a, i) => sum + a * (best[i] ?? 0) ** 2, 0),
    ]);

/** Any quadratic. */
export const anyQuadratic = (dimensions: number, size = 2): fc.Arbitrary<number[]> =>
  fc.array(number(-size, size), { minLength: quadraticSize(dimensions), maxLength: quadraticSize(dimensions) });

/** A positive semidefinite matrix, row by row. */
export const covarianceOf = (size: number, factors: readonly (readonly number[])[]): number[] =>
  Array.from({ length: size * size }, (_, at) => {
    const row = Math.floor(at / size);
    const column = at % size;
    return factors.reduce((sum, factor) => sum + (factor[row] ?? 0) * (factor[column] ?? 0), 0);
  });
