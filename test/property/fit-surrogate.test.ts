import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  factorise,
  inverseForms,
  invertFactorised,
  solveFactorised,
  timesRows,
  timesVector,
  weightedGram,
} from '../../shared/pareto/dense.js';
import { fitSurrogate } from '../../shared/pareto/fit-surrogate.js';
import { linkValue } from '../../shared/pareto/links.js';
import type { MeasuredPoint } from '../../shared/pareto/observations.js';
import { quadraticSize, quadraticTerms, quadraticValue } from '../../shared/pareto/quadratic.js';
import type { LinkName, SurrogateSettings, Task } from '../../shared/pareto/study.js';
import { predict } from '../../shared/pareto/surrogate.js';
import { factoriseShifted, shiftedForms, solveShifted, tridiagonalise } from '../../shared/pareto/tridiagonal.js';
import { normalFrom, seededRandom } from '../support/seeded-random.js';

const AUTO: SurrogateSettings = { link: 'auto', ridge: 'auto', minR2: 0.2 };
const seeds = fc.integer({ min: 1, max: 1e9 });
const links = fc.constantFrom<LinkName>('identity', 'sigmoid', 'softplus', 'exp');
const taskOf = (link: LinkName, lower = 0): Task => ({
  name: 't',
  metric: 'm',
  direction: 'maximize',
  ...(link === 'identity' ? {} : { lower }),
  ...(link === 'sigmoid' ? { upper: lower + 2 } : {}),
});

function draw(seed: number, dimensions: number, count: number, lower: number, width: number): number[][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Array.from({ length: dimensions }, () => lower + width * random()));
}

describe('fitSurrogate', () => {
  it('recovers random quadratics behind any link, over any box', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: seeds,
          link: links,
          dimensions: fc.integer({ min: 1, max: 6 }),
          lower: fc.constantFrom(0, -1, 0.2, 5),
          width: fc.constantFrom(1, 0.3, 2),
        }),
        ({ seed, link, dimensions, lower, width }) => {
          const random = seededRandom(seed + 1);
          const size = quadraticSize(dimensions);
          const truth = Array.from({ length: size }, () => 2 * random() - 1);
          // The quadratic is of coordinates from 0 to 1 of the box, so that it bends over the box and not over the origin alone.
          const value = (c: readonly number[]): number =>
            linkValue(
              link,
              taskOf(link),
              quadraticValue(
                truth,
                c.map((coordinate) => (coordinate - lower) / width),
              ),
            );
          const points = draw(seed, dimensions, 2 * size + 2, lower, width);
          const surrogate = fitSurrogate(
            taskOf(link),
            AUTO,
            dimensions,
            points.map((coefficients) => ({ coefficients, measured: { value: value(coefficients) } })),
          );
          expect(surrogate.quality.usable).toBe(true);
          for (const c of draw(seed + 2, dimensions, 10, lower, width))
            expect(Math.abs(predict(surrogate, c) - value(c))).toBeLessThan(1e-7);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('finds the least of the weighted error, as slow descent from the truth does', () => {
    fc.assert(
      fc.property(seeds, links, (seed, link) => {
        const task = taskOf(link);
        const random = seededRandom(seed);
        const truth = Array.from({ length: 6 }, () => 3 * random() - 1.5);
        const points = draw(seed + 1, 2, 18, 0, 1).map((coefficients): MeasuredPoint => {
          const clean = linkValue(link, task, quadraticValue(truth, coefficients));
          const noisy = clean + 0.03 * normalFrom(random);
          return { coefficients, measured: { value: Math.max(task.lower ?? -Infinity, Math.min(task.upper ?? Infinity, noisy)) } };
        });
        const errorOf = (parameters: ArrayLike<number>): number =>
          points.reduce(
            (sum, { coefficients, measured }) =>
              sum + (linkValue(link, task, quadraticValue(parameters, coefficients)) - measured.value) ** 2,
            0,
          );
        const { parameters } = fitSurrogate(task, { ...AUTO, link, ridge: 0 }, 2, points);
        // Coordinate by coordinate, with steps that shrink when nothing helps.
        const reference = [...truth];
        let least = errorOf(reference);
        for (let step = 0.3; step > 1e-5; ) {
          let moved = false;
          for (let at = 0; at < 6; at++)
            for (const sign of [1, -1]) {
              const tried = reference.map((value, k) => (k === at ? value + sign * step : value));
              const error = errorOf(tried);
              if (error < least * (1 - 1e-6)) {
                least = error;
                reference[at] = tried[at] as number;
                moved = true;
              }
            }
          if (!moved) step /= 2;
        }
        expect(errorOf(parameters)).toBeLessThan(least * 1.0001 + 1e-12);
      }),
      { numRuns: 30 },
    );
  });

  it('always gives finite numbers, whatever is measured', () => {
    const point = fc.tuple(
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 2 }),
      fc.record(
        {
          value: fc.oneof(fc.constantFrom(0, 1, Number.NaN, 0.5), fc.double({ min: 0, max: 1, noNaN: true })),
          count: fc.constantFrom(1, 10, 1000),
          standardError: fc.constantFrom(0, 1e-6, 0.3),
        },
        { requiredKeys: ['value'] },
      ),
    );
    fc.assert(
      fc.property(fc.array(point, { maxLength: 25 }), links, fc.constantFrom(0, 0.1, 'auto' as const), (drawn, link, ridge) => {
        const points = drawn.map(([coefficients, measured]) => ({ coefficients, measured }));
        const surrogate = fitSurrogate(taskOf(link), { ...AUTO, ridge }, 2, points);
        const { parameters, covariance, quality } = surrogate;
        expect(parameters).toHaveLength(6);
        expect([0, 36]).toContain(covariance.length);
        const numbers = [
          ...parameters,
          ...covariance,
          quality.r2,
          quality.heldOutR2,
          quality.heldOutRmse,
          quality.ridge,
          predict(surrogate, [1, 1]),
        ];
        for (const number of numbers) expect(Number.isFinite(number)).toBe(true);
        expect(quality.usable).toBe(quality.reason === undefined);
        expect(fitSurrogate(taskOf(link), { ...AUTO, ridge }, 2, points)).toEqual(surrogate);
      }),
      { numRuns: 200 },
    );
  });
});

describe('dense systems', () => {
  // Beyond 48 there is more than one block of everything.
  const matrices = fc.record({ seed: seeds, size: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 45, max: 70 })) });

  const drawRows = (seed: number, count: number, size: number): Float64Array => {
    const random = seededRandom(seed);
    return Float64Array.from({ length: count * size }, () => 2 * random() - 1);
  };

  /** row' matrix^-1 row, where the solution of a row is known. */
  const formOf = (rows: Float64Array, at: number, solution: Float64Array): number =>
    solution.reduce((sum, value, k) => sum + value * (rows[at * solution.length + k] as number), 0);

  const makeGram = (seed: number, size: number): Float64Array => {
    const random = seededRandom(seed);
    const rows = Float64Array.from({ length: size * (size + 3) }, () => 2 * random() - 1);
    return weightedGram(rows, new Float64Array(size + 3).fill(1), size);
  };

  it('the inverse by Cholesky times the matrix is the identity', () => {
    fc.assert(
      fc.property(matrices, ({ seed, size }) => {
        const matrix = makeGram(seed, size);
        for (let i = 0; i < size; i++) matrix[i * size + i] = (matrix[i * size + i] as number) + 0.1;
        const factor = matrix.slice();
        expect(factorise(factor, size)).toBe(true);
        const inverse = invertFactorised(factor, size);
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) {
            let sum = 0;
            for (let k = 0; k < size; k++) sum += (matrix[i * size + k] as number) * (inverse[k * size + j] as number);
            expect(Math.abs(sum - (i === j ? 1 : 0))).toBeLessThan(1e-9);
          }
      }),
    );
  });

  it('the tridiagonal form solves shifted systems like Cholesky', () => {
    fc.assert(
      fc.property(matrices, fc.constantFrom(0.1, 1, 30), ({ seed, size }, shift) => {
        const matrix = makeGram(seed, size);
        const form = tridiagonalise(matrix.slice(), size);
        const solution = Float64Array.from({ length: size }, (_, at) => at + 1);
        form.rotate(solution);
        const factor = factoriseShifted(form, shift, 0);
        if (factor === undefined) throw new Error('a positive definite matrix has a factor');
        solveShifted(factor, solution);
        form.rotateBack(solution);
        for (let i = 0; i < size; i++) {
          let sum = shift * (solution[i] as number);
          for (let k = 0; k < size; k++) sum += (matrix[i * size + k] as number) * (solution[k] as number);
          expect(Math.abs(sum - (i + 1))).toBeLessThan(1e-9 * size);
        }
      }),
    );
  });

  it('forms with an inverse are those of solved systems, for any number of rows', () => {
    fc.assert(
      fc.property(matrices, fc.integer({ min: 0, max: 9 }), fc.constantFrom(0.1, 3), ({ seed, size }, count, shift) => {
        const matrix = makeGram(seed, size);
        const form = tridiagonalise(matrix.slice(), size);
        for (let i = 0; i < size; i++) matrix[i * size + i] = (matrix[i * size + i] as number) + shift;
        expect(factorise(matrix, size)).toBe(true);
        const rows = drawRows(seed + 1, count, size);
        const expected = Array.from({ length: count }, (_, at) => {
          const solution = rows.slice(at * size, (at + 1) * size);
          solveFactorised(matrix, size, solution);
          return formOf(rows, at, solution);
        });
        const turned = rows.slice();
        form.rotate(turned);
        const factor = factoriseShifted(form, shift, 0);
        if (factor === undefined) throw new Error('a positive definite matrix has a factor');
        for (const found of [inverseForms(matrix, size, rows), shiftedForms(factor, turned)]) {
          expect(found).toHaveLength(count);
          for (const [at, value] of expected.entries()) expect(found[at]).toBeCloseTo(value, 8);
        }
      }),
    );
  });

  it('products with rows are sums of their parts', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 6 }), (seed, count, size) => {
        const rows = drawRows(seed, count, size);
        const vector = drawRows(seed + 1, 1, size);
        const weights = drawRows(seed + 2, 1, count);
        const expected = Array.from({ length: count }, (_, at) => formOf(rows, at, vector));
        const found = timesVector(rows, size, vector);
        expect(found).toHaveLength(count);
        for (const [at, value] of expected.entries()) expect(found[at]).toBeCloseTo(value, 12);
        const sums = timesRows(rows, size, weights);
        for (let k = 0; k < size; k++)
          expect(sums[k]).toBeCloseTo(
            weights.reduce((sum, weight, at) => sum + weight * (rows[at * size + k] as number), 0),
            12,
          );
      }),
    );
  });

  it('an indefinite matrix has no factor', () => {
    expect(factorise(Float64Array.of(1, 2, 2, 1), 2)).toBe(false);
  });

  it('terms and value of a quadratic agree', () => {
    const terms = new Float64Array(10);
    quadraticTerms([2, 3, 5], terms);
    const parameters = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect(quadraticValue(parameters, [2, 3, 5])).toBe(parameters.reduce((sum, value, at) => sum + value * (terms[at] as number), 0));
  });
});
