/** What problems say of their derivatives, against differences of their values. */
import { describe, expect, it } from 'vitest';
import { createExpansion, type SmoothProblem, surrogateProblem } from '../../shared/pareto/objectives.js';
import { seededRandom } from '../../shared/pareto/seeded-random.js';
import { DTLZ1, DTLZ2, moved, ZDT1, ZDT2, ZDT3 } from '../support/pareto-problems.js';
import { dimensionsOf, surrogateOf, tasksOf } from '../support/surrogates.js';

const CUBE = dimensionsOf(2, -0.5, 1.5);
const QUADRATIC = [1, -2, 0.5, 0.3, -0.2, 0.1];
const SURROGATES = surrogateProblem(tasksOf('minimize', 'maximize', 'maximize', 'minimize'), CUBE, [
  surrogateOf(QUADRATIC),
  surrogateOf(QUADRATIC, 'sigmoid', [], { lower: -1, upper: 3 }),
  surrogateOf(QUADRATIC, 'softplus', [], { lower: 0 }),
  surrogateOf(QUADRATIC, 'softplus', [], { upper: 1 }),
  surrogateOf(QUADRATIC, 'exp', [], { lower: 1 }),
  surrogateOf(QUADRATIC, 'exp', [], { upper: 1 }),
]);

const PROBLEMS: readonly (readonly [string, SmoothProblem])[] = [
  ...[ZDT1, ZDT2, ZDT3, DTLZ1, DTLZ2].flatMap((problem) => [problem, moved(problem)]).map((problem) => [problem.name, problem] as const),
  ['surrogates', SURROGATES],
];

/** Values and, by objective, derivatives of the minimised values themselves. */
function expandAt(problem: SmoothProblem, x: Float64Array) {
  const { dimensions: n, objectives } = problem;
  const expansion = createExpansion(problem);
  problem.expand(x, expansion);
  const { values, slopes, curvatures, gradients, hessians } = expansion;
  const of = (array: Float64Array, at: number): number => array[at] ?? Number.NaN;
  const first = Array.from({ length: objectives * n }, (_, at) => of(slopes, Math.floor(at / n)) * of(gradients, at));
  const second = Array.from({ length: objectives * n * n }, (_, at) => {
    const t = Math.floor(at / (n * n));
    const product = of(gradients, Math.floor(at / n)) * of(gradients, t * n + (at % n));
    // Infinite times 0 where there is no link.
    return of(slopes, t) * of(hessians, at) + (of(curvatures, t) === 0 ? 0 : of(curvatures, t) * product);
  });
  return { values: [...values], first, second };
}

const STEP = 1e-5;

describe.each(PROBLEMS)('derivatives of %s', (_, problem) => {
  const { dimensions: n, objectives } = problem;

  it('are slopes of values and slopes of slopes', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 5; round++) {
      const x = Float64Array.from({ length: n }, () => 0.02 + 0.96 * random());
      const { values, first, second } = expandAt(problem, x);
      const evaluated = new Float64Array(objectives + 1);
      problem.evaluate(Float64Array.of(0, ...x), 1, evaluated, 1);
      for (let t = 0; t < objectives; t++) expect(evaluated[t + 1]).toBeCloseTo(values[t] ?? Number.NaN, 9);
      for (let i = 0; i < n; i++) {
        const near = [STEP, -STEP].map((step) => expandAt(problem, x.with(i, (x[i] ?? 0) + step)));
        const slope = (of: (one: ReturnType<typeof expandAt>) => number | undefined): number =>
          near.reduce((sum, one, k) => sum + (k === 0 ? 1 : -1) * (of(one) ?? Number.NaN), 0) / (2 * STEP);
        for (let t = 0; t < objectives; t++) {
          const told = first[t * n + i] ?? Number.NaN;
          expect(Math.abs(told - slope((one) => one.values[t]))).toBeLessThan(1e-4 * (1 + Math.abs(told)));
          for (let j = 0; j < n; j++) {
            const bend = second[(t * n + j) * n + i] ?? Number.NaN;
            expect(Math.abs(bend - slope((one) => one.first[t * n + j]))).toBeLessThan(1e-3 * (1 + Math.abs(bend)));
          }
        }
      }
    }
  });
});

describe('hessians', () => {
  it('of quadratics are shared by all expansions, not copied', () => {
    expect(createExpansion(SURROGATES).hessians).toBe(SURROGATES.quadratics.hessians);
  });

  it.each([ZDT1, ZDT3])('of $name are infinite where it falls infinitely fast, and everything else is told', (problem) => {
    const n = problem.dimensions;
    const { values, first, second } = expandAt(problem, new Float64Array(n));
    expect(values).toEqual([0, 1]);
    expect(first.slice(0, n + 1)).toEqual([1, ...Array.from({ length: n - 1 }, () => 0), -Infinity]);
    expect(second[n * n]).toBe(Infinity);
    expect([...first.slice(n + 1), ...second.slice((n + 1) * n + 1, (n + 2) * n)].every(Number.isFinite)).toBe(true);
  });
});
