/** Answers against every point of a fine grid. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signOf } from '../../shared/pareto/dominance.js';
import { bestMeasured, choose } from '../../shared/pareto/queries.js';
import type { Question } from '../../shared/pareto/question.js';
import { searchFront } from '../../shared/pareto/search-front.js';
import type { Direction, MeasuredCandidate, PredictedFront, Surrogate, Task } from '../../shared/pareto/study.js';
import { predict } from '../../shared/pareto/surrogate.js';
import { expectError } from '../support/expect-error.js';
import { dimensionsOf, hill, SEGMENT, surrogateOf, tasksOf } from '../support/surrogates.js';

/** How near to a grid's front a search comes is experience, not a theorem: the same cases every time, others by TRIBUTARY_TEST_SEED. */
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? 1);

interface Case {
  readonly tasks: Task[];
  readonly surrogates: Surrogate[];
  readonly front: PredictedFront;
  /** Metrics of the grid's points, by task. */
  readonly grid: number[][];
  readonly weights: number[];
  readonly wishes: number[];
}

const STEPS = 40;
const dimensions = dimensionsOf(2);

/** Concave metrics that are maximised, convex ones that are minimised, behind a sigmoid or not: one valley. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    directions: fc.array(fc.constantFrom<Direction>('maximize', 'minimize'), { minLength: 2, maxLength: 3 }),
    hills: fc.array(hill(2), { minLength: 3, maxLength: 3 }),
    bounded: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    weights: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 3, maxLength: 3 }).filter(([a = 0, b = 0]) => a + b > 0),
    wishes: fc.array(fc.integer({ min: -2, max: 12 }), { minLength: 3, maxLength: 3 }),
  })
  .map(({ directions, hills, bounded, weights, wishes }) => {
    const tasks = tasksOf(...directions);
    const surrogates = tasks.map(({ direction }, t) => {
      const parameters = (hills[t] ?? []).map((value) => -signOf(direction) * value);
      return bounded[t] === true ? surrogateOf(parameters, 'sigmoid', [], { lower: 0, upper: 1 }) : surrogateOf(parameters);
    });
    const front = searchFront({ tasks, dimensions, seed: 1 }, surrogates);
    const grid = Array.from({ length: (STEPS + 1) ** 2 }, (_, place) => {
      const c = [(place % (STEPS + 1)) / STEPS, Math.floor(place / (STEPS + 1)) / STEPS];
      return surrogates.map((surrogate) => predict(surrogate, c));
    });
    return { tasks, surrogates, front, grid, weights, wishes };
  });

const named = (tasks: readonly Task[], weights: readonly number[]) => tasks.map(({ name: task }, t) => ({ task, weight: weights[t] ?? 0 }));

/** By task: best, and best to worst, on the front. Values turned so that smaller is better. */
function rangesOf({ front, tasks }: Case): { readonly ideal: number[]; readonly widths: number[] } {
  const rows = front.points.map(({ predicted }) => predicted.map((value, t) => signOf(tasks[t]?.direction ?? 'minimize') * value));
  const ideal = tasks.map((_, t) => Math.min(...rows.map((row) => row[t] ?? 0)));
  return { ideal, widths: tasks.map((_, t) => Math.max(...rows.map((row) => row[t] ?? 0)) - (ideal[t] ?? 0) || 1) };
}

const turned = ({ tasks }: Case, metrics: readonly number[]): number[] =>
  metrics.map((value, t) => signOf(tasks[t]?.direction ?? 'minimize') * value);

const ask = (one: Case, question: Question) => choose(question, { ...one, dimensions });

describe('choose', () => {
  it('finds the largest weighted sum', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const length = Math.hypot(...one.tasks.map((_, t) => one.weights[t] ?? 0));
        const score = (metrics: readonly number[]): number =>
          turned(one, metrics).reduce((sum, value, t) => sum - ((one.weights[t] ?? 0) * value) / length, 0);
        const { point, score: said } = ask(one, { by: 'preference', weights: named(one.tasks, one.weights), scalarisation: 'linear' });
        expect(said).toBeCloseTo(score(point.predicted), 9);
        expect(said).toBeGreaterThanOrEqual(Math.max(...one.grid.map(score)) - 1e-6);
      }),
      { numRuns: 25, seed: SEED },
    );
  });

  it('finds the smallest largest distance to the ideal', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const { ideal, widths } = rangesOf(one);
        const score = (metrics: readonly number[]): number =>
          Math.max(...turned(one, metrics).map((value, t) => ((one.weights[t] ?? 0) * (value - (ideal[t] ?? 0))) / (widths[t] ?? 1)));
        const { point, score: said } = ask(one, { by: 'preference', weights: named(one.tasks, one.weights), scalarisation: 'chebyshev' });
        const counted = one.weights.filter((weight, t) => weight > 0 && t < one.tasks.length).length;
        if (counted === one.tasks.length) expect(said).toBeCloseTo(score(point.predicted), 9);
        expect(score(point.predicted)).toBeLessThanOrEqual(Math.max(0, Math.min(...one.grid.map(score))) + 1e-3);
      }),
      { numRuns: 25, seed: SEED },
    );
  });

  it('finds the best mean among what satisfies a bound, or says how near the best comes', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        const { ideal, widths } = rangesOf(one);
        // From far below the best to beyond it, in tenths of the range.
        const bound = (ideal[0] ?? 0) + ((10 - (one.wishes[0] ?? 0)) * (widths[0] ?? 1)) / 10;
        const up = one.tasks[0]?.direction === 'maximize';
        const question: Question = {
          by: 'constraints',
          constraints: [{ task: 'task-0', ...(up ? { atLeast: -bound } : { atMost: bound }) }],
          objective: [],
        };
        const mean = (metrics: readonly number[]): number =>
          -turned(one, metrics).reduce((sum, value) => sum + value, 0) / one.tasks.length;
        const allowed = one.grid.filter((metrics) => (turned(one, metrics)[0] ?? Infinity) <= bound);
        if (allowed.length === 0 && (one.wishes[0] ?? 0) > 10) {
          const error = await expectError('NO_SUCH_POINT', () => ask(one, question));
          expect(error.details.expected).toMatch(/^task-0 at (least|most) /);
          expect(error.details.got).toMatch(/^task-0 .* at the nearest point$/);
          return;
        }
        if (allowed.length === 0) return;
        const { point, score } = ask(one, question);
        expect(turned(one, point.predicted)[0]).toBeLessThanOrEqual(bound + 1e-8 * (widths[0] ?? 1));
        expect(score).toBeCloseTo(mean(point.predicted), 9);
        expect(score).toBeGreaterThanOrEqual(Math.max(...allowed.map(mean)) - 1e-5);
      }),
      { numRuns: 30, seed: SEED },
    );
  });

  it('finds the point of the front that is nearest to a wish', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const { ideal, widths } = rangesOf(one);
        const goal = one.tasks.map((_, t) => (ideal[t] ?? 0) + ((10 - (one.wishes[t] ?? 0)) * (widths[t] ?? 1)) / 10);
        const score = (metrics: readonly number[]): number =>
          Math.hypot(...turned(one, metrics).map((value, t) => (value - (goal[t] ?? 0)) / (widths[t] ?? 1)));
        const wishes = one.tasks.map(({ name: task, direction }, t) => ({ task, value: signOf(direction) * (goal[t] ?? 0) }));
        const { point, score: said } = ask(one, { by: 'nearest', wishes });
        expect(said).toBeCloseTo(score(point.predicted), 6);
        expect(said).toBeLessThanOrEqual(Math.min(...one.front.points.map(({ predicted }) => score(predicted))) + 1e-9);
        // Of the front itself: no grid point is better in every task.
        const own = turned(one, point.predicted);
        for (const metrics of one.grid) {
          const lead = Math.min(...turned(one, metrics).map((value, t) => ((own[t] ?? 0) - value) / (widths[t] ?? 1)));
          if (lead > 1e-3) expect.fail(`${metrics.join()} is better than ${point.predicted.join()}`);
        }
      }),
      { numRuns: 25, seed: SEED },
    );
  });

  it('finds the exact values of one wished task', () => {
    const front = searchFront(SEGMENT, SEGMENT.surrogates);
    const { point, score } = choose({ by: 'nearest', wishes: [{ task: 'task-0', value: 0.3 }] }, { ...SEGMENT, front });
    expect(score).toBeLessThan(1e-6);
    expect(point.predicted[0]).toBeCloseTo(0.3, 6);
    // 1 - 2 (1 - t)^2 = 0.3
    expect(point.coefficients[0]).toBeCloseTo(1 - Math.sqrt(0.35), 4);
  });

  it('has the knee where the front bulges most', () => {
    const front = searchFront(SEGMENT, SEGMENT.surrogates);
    const { point } = choose({ by: 'knee' }, { ...SEGMENT, front });
    expect(point.coefficients[0]).toBeCloseTo(0.5, 6);
    expect(point.coefficients[1]).toBeCloseTo(0.5, 6);
    // Bulges away from the ideal, f2 = 1 - f1^2 with f1 = c: the fairest point.
    const surrogates = [surrogateOf([0, 1, 0]), surrogateOf([-1, 0, 1])];
    const one = { tasks: tasksOf('minimize', 'minimize'), dimensions: dimensionsOf(1), surrogates };
    const away = choose({ by: 'knee' }, { ...one, front: searchFront({ ...one, seed: 1 }, surrogates) });
    expect(away.point.coefficients[0]).toBeCloseTo((Math.sqrt(5) - 1) / 2, 3);
  });

  it('refuses questions that make no sense', async () => {
    const front = searchFront(SEGMENT, SEGMENT.surrogates, { mostPoints: 20 });
    const context = { ...SEGMENT, front };
    const wrong: readonly Question[] = [
      { by: 'preference', weights: [{ task: 'task-9', weight: 1 }], scalarisation: 'linear' },
      { by: 'preference', weights: [{ task: 'task-0', weight: -1 }], scalarisation: 'linear' },
      { by: 'preference', weights: [{ task: 'task-0', weight: 0 }], scalarisation: 'chebyshev' },
      { by: 'constraints', constraints: [], objective: [] },
      { by: 'constraints', constraints: [{ task: 'task-0' }], objective: [] },
      { by: 'constraints', constraints: [{ task: 'task-0', atLeast: 2, atMost: 1 }], objective: [] },
      { by: 'preference', weights: [1, 2].map((weight) => ({ task: 'task-0', weight })), scalarisation: 'linear' },
      { by: 'nearest', wishes: [1, 2].map((value) => ({ task: 'task-0', value })) },
      { by: 'nearest', wishes: [] },
      { by: 'nearest', wishes: [{ task: 'task-0', value: Number.NaN }] },
    ];
    for (const question of wrong) {
      await expectError('USAGE', () => choose(question, context));
      await expectError('USAGE', () => bestMeasured(question, SEGMENT.tasks, []));
    }
    await expectError('FRONT_NOT_READY', () => choose({ by: 'knee' }, { ...context, front: { ...front, points: [] } }));
  });
});

describe('bestMeasured', () => {
  const measured = (id: number, ...values: (number | undefined)[]): MeasuredCandidate => ({
    id,
    batch: 0,
    kind: 'sample',
    coefficients: [0, 0],
    measured: values.map((value) => (value === undefined ? undefined : { value })),
  });
  const tasks = tasksOf('maximize', 'minimize');
  const candidates = [measured(0, 1, 10), measured(1, 0, 0), measured(2, 0.6, 3), measured(3, 0.5, 9), measured(4, 2, undefined)];
  const best = (question: Question): number | undefined => bestMeasured(question, tasks, candidates)?.id;

  it('asks only those that were measured where it counts', () => {
    expect(best({ by: 'preference', weights: [{ task: 'task-0', weight: 1 }], scalarisation: 'linear' })).toBe(4);
    expect(
      best({
        by: 'preference',
        weights: [
          { task: 'task-0', weight: 20 },
          { task: 'task-1', weight: 1 },
        ],
        scalarisation: 'linear',
      }),
    ).toBe(0);
    expect(best({ by: 'preference', weights: named(tasks, [1, 1]), scalarisation: 'chebyshev' })).toBe(2);
    expect(best({ by: 'constraints', constraints: [{ task: 'task-1', atMost: 9 }], objective: [{ task: 'task-0', weight: 1 }] })).toBe(2);
    expect(best({ by: 'constraints', constraints: [{ task: 'task-0', atLeast: 3 }], objective: [] })).toBeUndefined();
    expect(
      best({
        by: 'nearest',
        wishes: [
          { task: 'task-0', value: 0.1 },
          { task: 'task-1', value: 1 },
        ],
      }),
    ).toBe(1);
    // Of one task alone only its best would be on a front.
    expect(best({ by: 'nearest', wishes: [{ task: 'task-0', value: 0.5 }] })).toBe(2);
    const apart = [measured(0, 1, undefined), measured(1, undefined, 0)];
    expect(bestMeasured({ by: 'nearest', wishes: [{ task: 'task-0', value: 0.5 }] }, tasks, apart)?.id).toBe(0);
    expect(best({ by: 'knee' })).toBe(2);
    expect(bestMeasured({ by: 'knee' }, tasks, [])).toBeUndefined();
  });
});
