/** Searched fronts against every point of a fine grid, for any quadratics behind any links in any box. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nonDominated, signOf } from '../../shared/pareto/dominance.js';
import { gradientFront } from '../../shared/pareto/gradient-front.js';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { surrogateProblem } from '../../shared/pareto/objectives.js';
import { searchFront } from '../../shared/pareto/search-front.js';
import type { Dimension, Direction, LinkName, Surrogate, Task } from '../../shared/pareto/study.js';
import { predict, predictPoint } from '../../shared/pareto/surrogate.js';
import { whatIf } from '../../shared/pareto/what-if.js';
import { anyQuadratic, contributorsOf, dimensionsOf, hill, SEGMENT, surrogateOf, tasksOf } from '../support/surrogates.js';

/** How near to a grid's front a search comes is experience, not a theorem: the same cases every time, others by TRIBUTARY_TEST_SEED. */
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? 1);

interface Case {
  readonly tasks: Task[];
  readonly dimensions: Dimension[];
  readonly surrogates: Surrogate[];
  readonly seed: number;
}

const linked = (parameters: fc.Arbitrary<number[]>): fc.Arbitrary<Surrogate> =>
  fc
    .tuple(parameters, fc.constantFrom<LinkName>('identity', 'sigmoid', 'softplus', 'exp'))
    .map(([values, link]) =>
      surrogateOf(
        values,
        link,
        [],
        link === 'softplus' || link === 'exp' ? { lower: 0 } : link === 'sigmoid' ? { lower: -1, upper: 3 } : {},
      ),
    );

const cases = (
  tasks: number,
  dimensions: number,
  quadratic: (n: number) => fc.Arbitrary<number[]>,
  directions: readonly Direction[] = ['maximize', 'minimize'],
): fc.Arbitrary<Case> =>
  fc.record({
    tasks: fc.array(fc.constantFrom(...directions), { minLength: tasks, maxLength: tasks }).map((chosen) => tasksOf(...chosen)),
    dimensions: fc
      .record({ lower: fc.constantFrom(0, -0.5, 0.25), width: fc.constantFrom(1, 2, 0.5) })
      .map(({ lower, width }) => dimensionsOf(dimensions, lower, lower + width)),
    surrogates: fc.array(linked(quadratic(dimensions)), { minLength: tasks, maxLength: tasks }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });

const directionsOf = (tasks: readonly Task[]): Direction[] => tasks.map(({ direction }) => direction);

function grid({ dimensions, surrogates }: Case, steps: number): number[][] {
  const places = (steps + 1) ** dimensions.length;
  return Array.from({ length: places }, (_, place) => {
    const coefficients = dimensions.map(
      ({ lower, upper }, i) => lower + ((upper - lower) * (Math.floor(place / (steps + 1) ** i) % (steps + 1))) / steps,
    );
    return surrogates.map((surrogate) => predict(surrogate, coefficients));
  });
}

/**
 * The most by which a grid point is better than a point of the front in every task, as a share of the grid's ranges; 0 or below: nowhere.
 */
function lead(all: readonly (readonly number[])[], metrics: readonly (readonly number[])[], tasks: readonly Task[]): number {
  const signs = tasks.map(({ direction }) => signOf(direction));
  const widths = tasks.map((_, t) => Math.max(...all.map((row) => row[t] ?? 0)) - Math.min(...all.map((row) => row[t] ?? 0)) || 1);
  let most = -Infinity;
  for (const point of metrics)
    for (const other of all) {
      let least = Infinity;
      for (let t = 0; t < signs.length; t++)
        least = Math.min(least, ((signs[t] ?? 1) * ((point[t] ?? 0) - (other[t] ?? 0))) / (widths[t] ?? 1));
      most = Math.max(most, least);
    }
  return most;
}

function checkFront(one: Case, steps: number): void {
  const { tasks, dimensions, surrogates } = one;
  const front = searchFront(one, surrogates);
  const metrics = front.points.map(({ predicted }) => predicted);
  expect(metrics.length).toBeGreaterThan(0);
  expect(nonDominated(metrics, directionsOf(tasks))).toHaveLength(metrics.length);
  for (const { coefficients, predicted } of front.points) {
    expect(predicted).toEqual(predictPoint(surrogates, coefficients).predicted);
    for (const [i, coefficient] of coefficients.entries()) {
      expect(coefficient).toBeGreaterThanOrEqual(dimensions[i]?.lower ?? Infinity);
      expect(coefficient).toBeLessThanOrEqual(dimensions[i]?.upper ?? -Infinity);
    }
    for (const [t, { direction }] of tasks.entries())
      expect(signOf(direction) * (front.referencePoint[t] ?? 0)).toBeGreaterThan(signOf(direction) * (predicted[t] ?? 0));
  }
  const all = grid(one, steps);
  // No grid point is clearly better than a point of the front. (Where two valleys meet, a front is known only as closely as it has points.)
  expect(lead(all, metrics, tasks)).toBeLessThan(tasks.length === 3 ? 0.02 : 5e-3);
  // And the grid's own front, which may have thousands of points, dominates hardly more.
  const reference = tasks.map(({ direction }, t) => {
    const values = [...all, ...metrics].map((row) => signOf(direction) * (row[t] ?? 0));
    const worst = Math.max(...values);
    return signOf(direction) * (worst + 0.1 * (worst - Math.min(...values) || 1));
  });
  const volume = (points: readonly (readonly number[])[]): number =>
    hypervolume(points, reference, directionsOf(tasks), { method: 'exact' }).value;
  const gridFront = nonDominated(all, directionsOf(tasks)).map((row) => all[row] ?? []);
  expect(volume(metrics)).toBeGreaterThan((tasks.length === 3 ? 0.97 : 0.998) * volume(gridFront));
}

describe('searchFront', () => {
  it('finds the front of two hills', () => {
    fc.assert(
      fc.property(cases(2, 2, hill), (one) => checkFront(one, 40)),
      { numRuns: 25, seed: SEED },
    );
  });

  it('finds the front of any two quadratics', () => {
    fc.assert(
      fc.property(cases(2, 2, anyQuadratic), (one) => checkFront(one, 40)),
      { numRuns: 25, seed: SEED },
    );
  });

  it('finds the front of any three quadratics of three coefficients', () => {
    fc.assert(
      fc.property(cases(3, 3, anyQuadratic), (one) => checkFront(one, 12)),
      { numRuns: 12, seed: SEED },
    );
  });

  it('finds the best point of one task', () => {
    fc.assert(
      fc.property(cases(1, 2, anyQuadratic), (one) => {
        const { points } = searchFront(one, one.surrogates);
        expect(points).toHaveLength(1);
        const sign = signOf(one.tasks[0]?.direction ?? 'minimize');
        const best = Math.min(...grid(one, 40).map(([value = 0]) => sign * value));
        expect(sign * (points[0]?.predicted[0] ?? 0)).toBeLessThanOrEqual(best + 1e-9);
      }),
      { numRuns: 30, seed: SEED },
    );
  });

  it('is the same front for the same study, its points in the order of their coefficients', () => {
    fc.assert(
      fc.property(cases(4, 3, anyQuadratic), (one) => {
        const front = searchFront(one, one.surrogates);
        expect(searchFront(one, one.surrogates)).toEqual(front);
        const sorted = front.points.toSorted((a, b) => {
          const at = a.coefficients.findIndex((value, i) => value !== b.coefficients[i]);
          return at < 0 ? 0 : (a.coefficients[at] ?? 0) - (b.coefficients[at] ?? 0);
        });
        expect(front.points).toEqual(sorted);
      }),
      { numRuns: 5, seed: SEED },
    );
  });

  it('has one point where tasks do not conflict, and where there is nothing to choose', () => {
    const surrogates = [surrogateOf([-1, -1, 0, 1, 1, 0]), surrogateOf([-2, -2, 0, 2, 2, 5])];
    const { points } = searchFront({ ...SEGMENT, tasks: tasksOf('maximize', 'maximize') }, surrogates);
    expect(points).toHaveLength(1);
    expect(points[0]?.coefficients[0]).toBeCloseTo(0.5, 4);
    const flat = searchFront({ ...SEGMENT, dimensions: [] }, [surrogateOf([3]), surrogateOf([4])]);
    expect(flat.points.map(({ predicted }) => predicted)).toEqual([[3, 4]]);
  });

  it('keeps to the number of points', () => {
    expect(searchFront(SEGMENT, SEGMENT.surrogates, { mostPoints: 30 }).points.length).toBeLessThanOrEqual(30);
  });

  it('finds it by derivatives alone, too', () => {
    fc.assert(
      fc.property(cases(3, 3, hill, ['maximize']), ({ tasks, dimensions, surrogates, seed }) => {
        const problem = surrogateProblem(tasks, dimensions, surrogates);
        const alone = gradientFront(problem, { mostPoints: 200, seed });
        const rows = Array.from({ length: alone.count }, (_, row) =>
          [...alone.values.subarray(3 * row, 3 * row + 3)].map((value, t) => value * signOf(tasks[t]?.direction ?? 'minimize')),
        );
        const both = searchFront({ tasks, dimensions, seed }, surrogates);
        const volume = hypervolume(rows, both.referencePoint, directionsOf(tasks)).value;
        expect(volume).toBeGreaterThan(0.9 * Math.max(both.hypervolume.gradient, both.hypervolume.nsga3));
      }),
      { numRuns: 15, seed: SEED },
    );
  });
});

describe('whatIf', () => {
  it('holds left out weights at 0 and searches the others', () => {
    fc.assert(
      fc.property(cases(2, 3, anyQuadratic), (one) => {
        const spec = { ...one, contributors: contributorsOf(3) };
        const { points } = whatIf(spec, one.surrogates, ['team-1']);
        for (const { coefficients, predicted } of points) {
          expect(coefficients).toHaveLength(3);
          expect(coefficients[1]).toBe(0);
          const expected = predictPoint(one.surrogates, coefficients).predicted;
          for (const [t, value] of predicted.entries()) expect(value).toBeCloseTo(expected[t] ?? 0, 9);
        }
        const steps = 20;
        const free = {
          ...one,
          dimensions: one.dimensions.map((dimension, i) => (i === 1 ? { ...dimension, lower: 0, upper: 1e-300 } : dimension)),
        };
        const all = grid(free, steps);
        const metrics = points.map(({ predicted }) => predicted);
        expect(lead(all, metrics, one.tasks)).toBeLessThan(1e-3);
      }),
      { numRuns: 15, seed: SEED },
    );
  });

  it('knows standard errors without the left out', () => {
    const identity = Array.from({ length: 36 }, (_, at) => (at % 7 === 0 ? 0.01 : 0));
    const surrogates = SEGMENT.surrogates.map(({ parameters }) => surrogateOf(parameters, 'identity', identity));
    for (const { coefficients, predictedErrors } of whatIf(SEGMENT, surrogates, ['team-0']).points)
      expect(predictedErrors[0]).toBeCloseTo(predictPoint(surrogates, coefficients).predictedErrors[0] ?? Number.NaN, 12);
  });

  it('is the base when nobody is left, and knows who takes part', () => {
    expect(whatIf(SEGMENT, SEGMENT.surrogates, ['team-0', 'team-1']).points).toEqual([
      { coefficients: [0, 0], predicted: [0, 0], predictedErrors: [0, 0] },
    ]);
    expect(() => whatIf(SEGMENT, SEGMENT.surrogates, ['nobody'])).toThrow(/nobody takes no part/);
  });
});
