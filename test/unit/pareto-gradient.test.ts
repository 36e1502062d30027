/** The front by derivatives on problems whose fronts are known, and where derivatives or values are not finite. */
import { describe, expect, it } from 'vitest';
import { createBoxNewton, type NewtonOptions } from '../../shared/pareto/box-newton.js';
import { nonDominatedRows } from '../../shared/pareto/dominance.js';
import { gradientFront } from '../../shared/pareto/gradient-front.js';
import { hypervolumeOfRows } from '../../shared/pareto/hypervolume.js';
import { generationalDistance, invertedGenerationalDistance } from '../../shared/pareto/indicators.js';
import { nsga3 } from '../../shared/pareto/nsga3.js';
import type { SmoothProblem } from '../../shared/pareto/objectives.js';
import { addPoint, createPointSet, joinPoints, type PointSet } from '../../shared/pareto/point-set.js';
import { referenceDirections } from '../../shared/pareto/reference-directions.js';
import { weightedSum } from '../../shared/pareto/scalarisations.js';
import { nsga3Front } from '../../shared/pareto/search-front.js';
import { referencePointOf } from '../../shared/pareto/thin-front.js';
import { exactFront, rowsOf, shareOfVolume } from '../support/fronts.js';
import { DTLZ1, DTLZ2, type KnownProblem, moved, ZDT1, ZDT2, ZDT3 } from '../support/pareto-problems.js';

const MOST = 200;

/** Both the problem and the same front in another place of the box. */
const both = <Case extends { readonly problem: KnownProblem }>(cases: readonly Case[]): Case[] =>
  cases.flatMap((one) => [one, { ...one, problem: moved(one.problem) }]);

function expectFront({ values, x, dimensions, objectives, count }: PointSet): void {
  expect(count).toBeGreaterThan(0);
  expect(count).toBeLessThanOrEqual(MOST);
  const rows = values.subarray(0, count * objectives);
  expect(rows.every(Number.isFinite)).toBe(true);
  expect(nonDominatedRows(rows, objectives, count)).toHaveLength(count);
  for (const place of x.subarray(0, count * dimensions)) expect(place >= 0 && place <= 1).toBe(true);
}

/** No threshold is lower than that of NSGA-III (pareto-nsga3.test.ts). */
const ALONE = both([
  { problem: ZDT1, distance: 5e-4, inverted: 0.004, share: 0.995, worst: 1.1 },
  { problem: ZDT2, distance: 5e-4, inverted: 0.004, share: 0.994, worst: 1.1 },
  { problem: ZDT3, distance: 5e-4, inverted: 0.004, share: 0.997, worst: 1.1 },
  { problem: DTLZ2, distance: 0.01, inverted: 0.06, share: 0.945, worst: 1.1 },
]);

describe('gradientFront', () => {
  it.each(ALONE)('comes to the front of $problem.name by itself and covers it', ({ problem, distance, inverted, share, worst }) => {
    const front = gradientFront(problem, { mostPoints: MOST, seed: 1 });
    expectFront(front);
    const rows = rowsOf(front);
    expect(generationalDistance(rows, exactFront(problem))).toBeLessThan(distance);
    expect(invertedGenerationalDistance(rows, exactFront(problem))).toBeLessThan(inverted);
    expect(shareOfVolume(problem, rows, worst)).toBeGreaterThan(share);
  });

  it.each(both([ZDT1, ZDT2, ZDT3, DTLZ1, DTLZ2].map((problem) => ({ problem }))))(
    'makes more of what NSGA-III found of $problem.name',
    ({ problem }) => {
      for (const seed of [1, 2]) {
        const starts = nsga3Front(problem, seed, MOST);
        const front = gradientFront(problem, { mostPoints: MOST, seed, starts });
        expectFront(front);
        const reference = referencePointOf(joinPoints(front, starts));
        const volume = ({ values, objectives, count }: PointSet): number =>
          hypervolumeOfRows(values.subarray(0, count * objectives), objectives, reference, { method: 'exact' }).value;
        expect(volume(front)).toBeGreaterThan(volume(starts));
        expect(generationalDistance(rowsOf(front), exactFront(problem))).toBeLessThan(
          generationalDistance(rowsOf(starts), exactFront(problem)),
        );
      }
    },
  );

  it.each([
    { problem: DTLZ1, generations: 40 },
    { problem: DTLZ1, generations: 400 },
    { problem: moved(DTLZ1), generations: 400 },
  ])('covers the front of $problem.name from a start in the best of its valleys', ({ problem, generations }) => {
    // The middle of the box is one; where that is moved away NSGA-III must find it.
    const directions = referenceDirections(problem.objectives, 100);
    const starts = nsga3(problem, { directions, generations, seed: 1, mostPoints: MOST }).archive;
    const rows = rowsOf(gradientFront(problem, { mostPoints: MOST, seed: 1, starts }));
    expect(generationalDistance(rows, exactFront(problem))).toBeLessThan(0.005);
    expect(shareOfVolume(problem, rows, 0.6)).toBeGreaterThan(Math.max(0.98, shareOfVolume(problem, rowsOf(starts), 0.6)));
  });

  it('is the same for the same seed', () => {
    const [one, again] = [0, 1].map(() => gradientFront(DTLZ2, { mostPoints: 30, seed: 3 }));
    expect(again?.values).toEqual(one?.values);
  });
});

const OPTIONS: NewtonOptions = { iterations: 60, tolerance: 1e-12 };
const SUM = weightedSum([1]);

/** One objective; `derivatives` are the gradient and then the hessian. */
const single = (
  value: (x: Float64Array) => number,
  derivatives: (x: Float64Array) => readonly number[],
  dimensions = 2,
): SmoothProblem => ({
  dimensions,
  objectives: 1,
  evaluate(x, xAt, values, at) {
    values[at] = value(x.subarray(xAt, xAt + dimensions));
  },
  expand(x, { values, slopes, curvatures, gradients, hessians }) {
    const told = derivatives(x);
    values[0] = value(x);
    slopes[0] = 1;
    curvatures[0] = 0;
    gradients.set(told.slice(0, dimensions));
    hessians.set(told.slice(dimensions));
  },
});

describe('Newton steps without finite derivatives', () => {
  const minimise = (problem: SmoothProblem, ...start: number[]): number[] => {
    const x = Float64Array.from(start);
    createBoxNewton(problem).minimise(SUM, x, OPTIONS);
    return [...x];
  };

  it('leave a bound from which the value falls infinitely fast', () => {
    const root = (x: number, sign: number): readonly [number, number] => [(-sign * 0.5) / Math.sqrt(x), 0.25 * x ** -1.5];
    // x0 - sqrt(x0) + (1 - x1) - sqrt(1 - x1)
    const problem = single(
      ([a = 0, b = 0]) => a - Math.sqrt(a) + (1 - b) - Math.sqrt(1 - b),
      ([a = 0, b = 0]) => [1 + root(a, 1)[0], -1 + root(1 - b, -1)[0], root(a, 1)[1], 0, 0, root(1 - b, -1)[1]],
    );
    const [a, b] = minimise(problem, 0, 1);
    expect(a).toBeCloseTo(0.25, 6);
    expect(b).toBeCloseTo(0.75, 6);
  });

  it('leave a bound where only the second derivative is infinite', () => {
    const problem = single(
      ([a = 0, b = 0]) => a ** 1.5 - 0.6 * a + (b - 0.7) ** 2,
      ([a = 0, b = 0]) => [1.5 * Math.sqrt(a) - 0.6, 2 * (b - 0.7), 0.75 / Math.sqrt(a), 0, 0, 2],
    );
    const [a, b] = minimise(problem, 0, 0.1);
    expect(a).toBeCloseTo(0.16, 6);
    expect(b).toBeCloseTo(0.7, 6);
  });

  it('stay where there is no derivative, and go on along the other coordinates', () => {
    const slope = (d: number): number => (d === 0 ? Number.NaN : Math.sign(d));
    const problem = single(
      ([a = 0, b = 0]) => Math.abs(a - 0.5) + (b - 0.7) ** 2,
      ([a = 0, b = 0]) => [slope(a - 0.5), 2 * (b - 0.7), 0, 0, 0, 2],
    );
    const [a, b] = minimise(problem, 0.5, 0.1);
    expect(a).toBe(0.5);
    expect(b).toBeCloseTo(0.7, 6);
  });

  it('do without mixed derivatives', () => {
    const problem = single(
      ([a = 0, b = 0]) => (a - 0.3) ** 2 + (b - 0.4) ** 2,
      ([a = 0, b = 0]) => [2 * (a - 0.3), 2 * (b - 0.4), 2, Number.NaN, Number.NaN, 2],
    );
    const [a, b] = minimise(problem, 1, 1);
    expect(a).toBeCloseTo(0.3, 6);
    expect(b).toBeCloseTo(0.4, 2);
  });

  it('end at once where nothing is known, and where the value has no bound', () => {
    const nothing = [1, 2, 3, 4, 5, 6].map(() => Number.NaN);
    expect(
      minimise(
        single(
          () => Number.NaN,
          () => nothing,
        ),
        0.2,
        0.8,
      ),
    ).toEqual([0.2, 0.8]);
    // log(1 - a) - sqrt(a), from where its derivative is infinite and from where it is not
    const pit = single(
      ([a = 0]) => Math.log(1 - a) - Math.sqrt(a),
      ([a = 0]) => [-1 / (1 - a) - 0.5 / Math.sqrt(a), -1 / (1 - a) ** 2 + 0.25 * a ** -1.5],
      1,
    );
    for (const start of [0, 0.5]) {
      const [a = 0] = minimise(pit, start);
      expect(a).toBeGreaterThan(start);
      expect(a).toBeLessThan(1);
    }
  });
});

/** f = (x0, 1 - x0), and elsewhere something else: there derivatives are not known. */
const line = (isElsewhere: (x0: number) => boolean, elsewhere: readonly [number, number]): SmoothProblem => ({
  dimensions: 2,
  objectives: 2,
  evaluate(x, xAt, values, at) {
    const x0 = x[xAt] as number;
    const away = (x[xAt + 1] as number) ** 2;
    values.set(isElsewhere(x0) ? elsewhere : [x0 + away, 1 - x0 + away], at);
  },
  expand(x, { values, slopes, curvatures, gradients, hessians }) {
    this.evaluate(x, 0, values, 0);
    slopes.fill(1);
    curvatures.fill(0);
    const unknown = isElsewhere(x[0] as number);
    const away = 2 * (x[1] as number);
    gradients.set(unknown ? [1, 2, 3, 4].map(() => Number.NaN) : [1, away, -1, away]);
    hessians.fill(0);
    hessians[3] = hessians[7] = unknown ? Number.NaN : 2;
  },
});

describe('gradientFront of a problem without finite values', () => {
  const solve = (problem: SmoothProblem, starts?: PointSet): PointSet => gradientFront(problem, { mostPoints: MOST, seed: 1, starts });
  const gap = (x0: number): boolean => x0 > 0.4 && x0 < 0.6;

  it.each([
    ['not a number', [Number.NaN, Number.NaN]],
    ['not a number in one objective', [Number.NaN, -1]],
    ['infinite in one objective', [Infinity, -1]],
    ['endlessly good', [-Infinity, 0]],
  ] as const)('in part of the box, where it is %s, is that of the rest', (_, elsewhere) => {
    const problem = line(gap, elsewhere);
    const starts = createPointSet(problem);
    for (const x0 of [0.5, 0.1, 0.55]) addPoint(starts, problem, Float64Array.of(x0, 0.5));
    const front = solve(problem, starts);
    expectFront(front);
    const rows = rowsOf(front);
    for (const [first = 0, second = 0] of rows) expect(first + second).toBeCloseTo(1, 4);
    const firsts = rows.map(([first = 0]) => first).sort((a, b) => a - b);
    const wide = firsts.flatMap((first, at) => (first - (firsts[at - 1] ?? 0) > 0.02 ? [first] : []));
    expect(wide).toHaveLength(1);
    expect(firsts[0]).toBeCloseTo(0, 3);
    expect(firsts.at(-1)).toBeCloseTo(1, 3);
  });

  it('anywhere has no points', () => {
    expect(
      solve(
        line(() => true, [Number.NaN, 0]),
        undefined,
      ).count,
    ).toBe(0);
  });

  it('but at a few starts is made of those', () => {
    const problem = line((x0) => x0 !== 0.123, [Number.NaN, 0]);
    const starts = createPointSet(problem);
    addPoint(starts, problem, Float64Array.of(0.123, 0.5));
    const rows = rowsOf(solve(problem, starts));
    expect(rows).toHaveLength(1);
    expect(rows[0]?.[0]).toBeCloseTo(0.123, 4);
  });
});
