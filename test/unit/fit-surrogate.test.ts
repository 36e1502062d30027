import { describe, expect, it } from 'vitest';
import { fitSurrogate } from '../../shared/pareto/fit-surrogate.js';
import { fitSurrogates } from '../../shared/pareto/fit-surrogates.js';
import { linkValue } from '../../shared/pareto/links.js';
import type { MeasuredPoint } from '../../shared/pareto/observations.js';
import { quadraticSize, quadraticValue } from '../../shared/pareto/quadratic.js';
import type { Measured, MeasuredCandidate, StudySpec, SurrogateSettings, Task } from '../../shared/pareto/study.js';
import { predict, predictionError } from '../../shared/pareto/surrogate.js';
import { normalFrom, seededRandom } from '../support/seeded-random.js';

const AUTO: SurrogateSettings = { link: 'auto', ridge: 'auto', minR2: 0.2 };
const accuracy: Task = { name: 'a', metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1 };
const loss: Task = { name: 'l', metric: 'loss', direction: 'minimize', lower: 0 };
const free: Task = { name: 'f', metric: 'score', direction: 'maximize' };

/** Six points that decide a quadratic of two coefficients. */
const SIX = [
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
  [0.5, 0],
  [0, 0.5],
];

const measure = (points: readonly (readonly number[])[], metric: (c: readonly number[]) => number | Measured): MeasuredPoint[] =>
  points.map((coefficients) => {
    const value = metric(coefficients);
    return { coefficients, measured: typeof value === 'number' ? { value } : value };
  });

const scatter = (dimensions: number, count: number, seed: number): number[][] => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Array.from({ length: dimensions }, random));
};

const expectClose = (got: readonly number[], expected: readonly number[], tolerance: number): void => {
  expect(got.length).toBe(expected.length);
  for (const [at, value] of expected.entries()) expect(Math.abs((got[at] as number) - value)).toBeLessThan(tolerance);
};

describe('oracles of MAP', () => {
  it('finds 1 - (c1 - 1)^2 - c2^2 from six points', () => {
    const points = measure(SIX, ([a = 0, b = 0]) => 1 - (a - 1) ** 2 - b ** 2);
    const { parameters } = fitSurrogate(free, { ...AUTO, ridge: 0 }, 2, points);
    expectClose(parameters, [-1, -1, 0, 2, 0, 0], 1e-12);
  });

  it('finds a quadratic behind a sigmoid from six points', () => {
    const values = [0.437823, 0.437823, 0.320821, 0.562177, 0.562177, 0.437823];
    const expected = [-2, -1, 1, 2, 0.5, -0.25];
    const rounded = fitSurrogate(
      accuracy,
      { ...AUTO, link: 'sigmoid', ridge: 0 },
      2,
      SIX.map((coefficients, row) => ({ coefficients, measured: { value: values[row] as number } })),
    );
    expectClose(rounded.parameters, expected, 5e-5);
    const exact = measure(SIX, (c) => linkValue('sigmoid', accuracy, quadraticValue(expected, c)));
    expectClose(fitSurrogate(accuracy, { ...AUTO, link: 'sigmoid', ridge: 0 }, 2, exact).parameters, expected, 1e-11);
  });

  it('does not run away on a minimal design, as the reference does', () => {
    const points = measure(SIX, (c) => linkValue('sigmoid', accuracy, quadraticValue([-6, -4, 1, 9, 3, -1], c)));
    for (const ridge of [0, 'auto'] as const) {
      const { parameters } = fitSurrogate(accuracy, { ...AUTO, ridge }, 2, points);
      for (const parameter of parameters) expect(Math.abs(parameter)).toBeLessThan(20);
    }
  });
});

describe('fitSurrogate', () => {
  it('chooses the link that explains the metric, and recovers its quadratic', () => {
    const truth = [-2, -1, 0.5, 1, 0.3, -0.4, 2, 0.5, 0.1, -0.25];
    const points = scatter(3, 20, 5);
    const through = fitSurrogate(
      accuracy,
      AUTO,
      3,
      measure(points, (c) => linkValue('sigmoid', accuracy, quadraticValue(truth, c))),
    );
    expect(through.link).toBe('sigmoid');
    expectClose(through.parameters, truth, 1e-8);
    const straight = fitSurrogate(
      accuracy,
      AUTO,
      3,
      measure(points, (c) => 0.5 + 0.1 * quadraticValue(truth, c)),
    );
    expect(straight.link).toBe('identity');
    expectClose(
      straight.parameters,
      truth.map((value, at) => 0.1 * value + (at === 9 ? 0.5 : 0)),
      1e-8,
    );
    const soft = fitSurrogate(
      loss,
      AUTO,
      3,
      measure(points, (c) => linkValue('softplus', loss, quadraticValue(truth, c))),
    );
    expect(soft.link).toBe('softplus');
    expectClose(soft.parameters, truth, 1e-8);
    expect(soft.quality).toMatchObject({ ridge: 0, usable: true });
    expect(soft.quality.heldOutR2).toBeGreaterThan(1 - 1e-12);
  });

  it('takes perplexity for the exponential of a loss', () => {
    const perplexity: Task = { ...free, direction: 'minimize', lower: 1 };
    const bowl = ([a = 0, b = 0]: readonly number[]): number => 2 + 2 * (a - 0.9) ** 2 + 3 * (b - 0.2) ** 2 + a * b;
    const points = scatter(2, 14, 2);
    const exact = fitSurrogate(
      perplexity,
      AUTO,
      2,
      measure(points, (c) => Math.exp(linkValue('softplus', { lower: 0 }, bowl(c)))),
    );
    expect(exact.link).toBe('exp');
    expect(exact.quality.heldOutR2).toBeGreaterThan(1 - 1e-12);
    // Where the loss itself is the quadratic, nearly.
    const near = fitSurrogate(
      perplexity,
      AUTO,
      2,
      measure(points, (c) => Math.exp(bowl(c))),
    );
    expect(near.link).toBe('exp');
    expect(near.quality.heldOutR2).toBeGreaterThan(0.999);
  });

  it('recovers a surface below an upper bound alone', () => {
    const below: Task = { ...free, upper: 3 };
    const truth = [1, -2, 0.5, 1, 1, 0.5];
    const { link, parameters, lower, upper } = fitSurrogate(
      below,
      AUTO,
      2,
      measure(scatter(2, 14, 2), (c) => linkValue('softplus', { upper: 3 }, quadraticValue(truth, c))),
    );
    expect([link, lower, upper]).toEqual(['softplus', undefined, 3]);
    expectClose(parameters, truth, 1e-8);
  });

  it('lives with measurements on the bounds', () => {
    const points = measure(scatter(2, 30, 9), ([a = 0, b = 0]) => ({
      value: a + b > 1 ? 1 : a + b < 0.3 ? 0 : (a + b - 0.3) / 0.7,
      count: 50,
    }));
    const surrogate = fitSurrogate(accuracy, AUTO, 2, points);
    expect(surrogate.quality.usable).toBe(true);
    for (const parameter of surrogate.parameters) expect(Math.abs(parameter)).toBeLessThan(100);
    expect(predict(surrogate, [1, 1])).toBeGreaterThan(0.95);
    expect(predict(surrogate, [0, 0])).toBeLessThan(0.1);
  });

  it('gives held-out numbers that a fit without the point gives', () => {
    const random = seededRandom(11);
    const points = measure(scatter(2, 16, 3), ([a = 0, b = 0]) => 1 + a - b * b + 0.3 * a * b + 0.1 * normalFrom(random));
    const settings = { ...AUTO, ridge: 0 };
    const { quality } = fitSurrogate(free, settings, 2, points);
    let squares = 0;
    for (const [left, { coefficients, measured }] of points.entries()) {
      const others = points.filter((_, at) => at !== left);
      squares += (predict(fitSurrogate(free, settings, 2, others), coefficients) - measured.value) ** 2;
    }
    expect(quality.heldOutRmse).toBeCloseTo(Math.sqrt(squares / points.length), 10);
  });

  it('refuses to serve what explains nothing', () => {
    const random = seededRandom(4);
    const { quality } = fitSurrogate(
      accuracy,
      AUTO,
      3,
      measure(scatter(3, 20, 8), () => random()),
    );
    expect(quality.usable).toBe(false);
    expect(quality.reason).toMatch(/held-out R2 is .* below 0.2/);
  });

  it('refuses too few points, however often they are measured', () => {
    const point = { coefficients: [0.5, 0.5], measured: { value: 0.4 } };
    const few = [...measure(scatter(2, 2, 1), ([a = 0]) => a), point, point, point, point];
    expect(fitSurrogate(free, AUTO, 2, few).quality).toMatchObject({
      usable: false,
      measurements: 3,
      reason: '3 distinct points are measured, and a fit needs 4',
    });
    const nothing = fitSurrogate(accuracy, AUTO, 2, []);
    expect(nothing.quality).toMatchObject({ usable: false, measurements: 0 });
    expect(predict(nothing, [0.3, 0.3])).toBe(0.5);
  });

  it('counts 0 and -0 as one point, and points of equal sums as two', () => {
    const twice = [...SIX, [-0, 1], [1, -0], [0.5, 0]];
    const { measurements } = fitSurrogate(
      free,
      AUTO,
      2,
      measure(twice, ([a = 0, b = 0]) => a + b * b),
    ).quality;
    expect(measurements).toBe(6);
  });

  it('takes a metric that never changes for what it is', () => {
    for (const link of ['auto', 'sigmoid'] as const) {
      const surrogate = fitSurrogate(
        accuracy,
        { ...AUTO, link },
        2,
        measure(SIX, () => 1),
      );
      expect(surrogate.quality).toMatchObject({ usable: true, r2: 1, heldOutR2: 1 });
      expect(predict(surrogate, [0.2, 0.9])).toBeCloseTo(1, 8);
    }
  });

  it('leaves a coordinate that never varied alone', () => {
    const points = scatter(2, 20, 6).map(([a = 0, b = 0]) => [a, 0.3, b]);
    const surrogate = fitSurrogate(
      free,
      AUTO,
      3,
      measure(points, ([a = 0, , b = 0]) => a * a - b + a * b),
    );
    expect(predict(surrogate, [0.5, 0.3, 0.5])).toBeCloseTo(0, 7);
    expect(surrogate.quality.heldOutR2).toBeGreaterThan(1 - 1e-9);
  });

  it('does something sensible with fewer points than parameters', () => {
    const points = measure(scatter(6, 20, 7), (c) => 0.2 + 0.1 * c.reduce((sum, value, at) => sum + value * (at - 2), 0));
    expect(points.length).toBeLessThan(quadraticSize(6));
    const surrogate = fitSurrogate(accuracy, AUTO, 6, points);
    expect(surrogate.quality.usable).toBe(true);
    expect(surrogate.quality.heldOutR2).toBeGreaterThan(0.8);
  });

  it('says how sure it is: nine of ten intervals of 1.645 errors hold the truth', () => {
    const truth = [-1, -1, 0.5, 1, 0.5, 0];
    for (const said of [undefined, 0.02]) {
      let held = 0;
      let total = 0;
      for (let seed = 1; seed <= 60; seed++) {
        const random = seededRandom(1000 + seed);
        const points = measure(scatter(2, 24, seed), (c) => ({
          value: linkValue('sigmoid', accuracy, quadraticValue(truth, c)) + 0.02 * normalFrom(random),
          standardError: said,
        }));
        const surrogate = fitSurrogate(accuracy, { ...AUTO, ridge: 0 }, 2, points);
        for (const c of scatter(2, 10, 500 + seed)) {
          const miss = Math.abs(predict(surrogate, c) - linkValue('sigmoid', accuracy, quadraticValue(truth, c)));
          if (miss <= 1.645 * predictionError(surrogate, c)) held++;
          total++;
        }
      }
      expect(held / total).toBeGreaterThan(0.84);
      expect(held / total).toBeLessThan(0.96);
    }
  });

  it('trusts precise measurements more', () => {
    const random = seededRandom(21);
    const truth = [-1, -1, 0.5, 1, 0.5, 0];
    let weighted = 0;
    let blind = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const points = measure(scatter(2, 30, seed), (c) => {
        const standardError = c[0] !== undefined && c[0] > 0.5 ? 0.2 : 0.005;
        return { value: quadraticValue(truth, c) + standardError * normalFrom(random), standardError };
      });
      const ignorant = points.map(({ coefficients, measured: { value } }) => ({ coefficients, measured: { value } }));
      const [knowing, unknowing] = [fitSurrogate(free, AUTO, 2, points), fitSurrogate(free, AUTO, 2, ignorant)];
      for (const c of scatter(2, 20, 900 + seed)) {
        const value = quadraticValue(truth, c);
        weighted += (predict(knowing, c) - value) ** 2;
        blind += (predict(unknowing, c) - value) ** 2;
      }
    }
    expect(weighted).toBeLessThan(0.8 * blind);
  });
});

it('fitSurrogates takes what lies inside of the box, task by task', () => {
  const spec: StudySpec = {
    tasks: [accuracy, free],
    method: 'map',
    sampler: 'sobol',
    seed: 1,
    preferences: new Map(),
    greedySoup: false,
    surrogate: AUTO,
    contributors: ['a', 'b'],
    dimensions: ['a', 'b'].map((name) => ({ name, contributor: name, lower: 0, upper: 0.7, neutral: 1 })),
  };
  const truth = [-1, 0, 1, 2, 0, 0.1];
  const candidates = [[1, 0], [0.7 + 1e-10, 0], ...scatter(2, 20, 3).map((c) => c.map((value) => 0.7 * value))].map(
    (coefficients, id): MeasuredCandidate => ({
      id,
      batch: 0,
      kind: 'sample',
      coefficients,
      measured: [undefined, { value: id === 0 ? 99 : quadraticValue(truth, coefficients) }],
    }),
  );
  const [none, second] = fitSurrogates(spec, candidates);
  expect(none?.quality).toMatchObject({ usable: false, measurements: 0 });
  expect(second?.quality.measurements).toBe(21);
  expectClose(second?.parameters ?? [], truth, 1e-8);
});
