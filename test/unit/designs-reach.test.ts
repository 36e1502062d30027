/** What designs reach on metrics that are known functions of the coefficients, with the budgets they are meant for. */
import { describe, expect, it } from 'vitest';
import { fitSurrogates } from '../../shared/pareto/fit-surrogates.js';
import type { MeasuredCandidate, StudySpec, Task } from '../../shared/pareto/study.js';
import { predict } from '../../shared/pareto/surrogate.js';
import { accuracyTask, type Metric, playStudy, studyOf } from '../support/pareto-study.js';
import { seededRandom } from '../support/seeded-random.js';

/** Each task likes its own contribution and bears the others badly: no quadratic, and no two tasks alike. */
const crowded: Metric = (c, task) => {
  const own = c[task] as number;
  const others = c.reduce((sum, value, index) => sum + (index === task ? 0 : value * (0.5 + 0.1 * ((index + 2 * task) % 5))), 0);
  return 1 / (1 + Math.exp(1.5 - 5 * own + 2.2 * own * own + 0.6 * others * others - Math.sin(3 * own * others)));
};

const meanOf = (metric: Metric, tasks: number, c: readonly number[]): number => {
  let sum = 0;
  for (let task = 0; task < tasks; task++) sum += metric(c, task, 0) as number;
  return sum / tasks;
};

/** The most a function of [0, 1]^n reaches, by random steps that shrink. */
function climb(worth: (c: readonly number[]) => number, size: number): number {
  const random = seededRandom(17);
  let best: number[] = Array.from({ length: size }, () => 0.5);
  let most = worth(best);
  for (let step = 0.4; step > 0.002; step *= 0.7)
    for (let tries = 0; tries < 300; tries++) {
      const tried = best.map((value) => Math.min(1, Math.max(0, value + step * (2 * random() - 1))));
      const value = worth(tried);
      if (value > most) [best, most] = [tried, value];
    }
  return most;
}

const resultOf = (history: readonly MeasuredCandidate[]): MeasuredCandidate =>
  history.find(({ kind }) => kind === 'result') as MeasuredCandidate;

describe('methods that end in one model', () => {
  it('nested: well above the average, with 20 points a pair', () => {
    const history = playStudy(studyOf(4, { method: 'nested' }), crowded);
    const best = climb((c) => meanOf(crowded, 4, c), 4);
    const average = meanOf(crowded, 4, [0.25, 0.25, 0.25, 0.25]);
    const reached = meanOf(crowded, 4, resultOf(history).coefficients);
    expect(reached - average).toBeGreaterThan(0.7 * (best - average));
    expect(history).toHaveLength(6 + 60 + 1);
    // The first level measures each candidate on its own two tasks; the last on all.
    expect(history.filter(({ batch }) => batch === 1).every(({ tasks }) => tasks?.length === 2)).toBe(true);
    expect(resultOf(history)).toMatchObject({ label: 'nested', batch: 3 });
  });

  it('nested: exactly the optimum where tasks do not disturb one another', () => {
    const alone: Metric = (c, task) => 1 - ((c[task] as number) - 0.15 * (task + 2)) ** 2;
    const { coefficients } = resultOf(
      playStudy(studyOf(4, { method: 'nested', budget: { kind: 'evaluations', evaluations: 28 + 8 * 8 } }), alone),
    );
    for (const [task, value] of coefficients.entries()) expect(Math.abs(value - 0.15 * (task + 2))).toBeLessThan(0.02);
  });

  it('nested: preferences move the result', () => {
    const torn: Metric = (c, task) =>
      task === 0 ? 1 - (1 - (c[0] as number)) ** 2 - (c[1] as number) ** 2 : 1 - (c[0] as number) ** 2 - (1 - (c[1] as number)) ** 2;
    const tasks: Task[] = ['a', 'b'].map((name) => ({ name, metric: 'score', direction: 'maximize' }));
    const at = (preferences: Map<string, number>): readonly number[] =>
      resultOf(playStudy(studyOf(2, { method: 'nested', tasks, preferences }), torn)).coefficients;
    // The oracle of MAP: 3 M1 + M2 is largest at c1 = 0.75; equal preferences at 0.5.
    expect(at(new Map([['a', 3]]))[0]).toBeCloseTo(0.75, 2);
    expect(at(new Map())[0]).toBeCloseTo(0.5, 2);
  });

  it('nested: contributors without tasks, and several tasks of one', () => {
    const metric: Metric = (c, task) =>
      1 - ((c[0] as number) - 0.4 - 0.2 * task) ** 2 - ((c[2] as number) - 0.3) ** 2 - 0.5 * (c[1] as number) ** 2;
    const tasks = [accuracyTask('x', { owner: 'a' }), accuracyTask('a')].map((task) => ({ ...task, lower: undefined, upper: undefined }));
    const { coefficients } = resultOf(playStudy(studyOf(3, { method: 'nested', tasks }), metric));
    for (const [index, expected] of [0.5, 0, 0.3].entries())
      expect(Math.abs((coefficients[index] as number) - expected)).toBeLessThan(0.02);
  });

  it('recycle: near the best with 150 candidates of 6 checkpoints', () => {
    const spec = studyOf(6, { method: 'recycle', budget: { kind: 'candidates', candidates: 150 } });
    const history = playStudy(spec, crowded);
    const best = climb((c) => meanOf(crowded, 6, c), 6);
    const average = meanOf(
      crowded,
      6,
      Array.from({ length: 6 }, () => 1 / 6),
    );
    expect(meanOf(crowded, 6, resultOf(history).coefficients) - average).toBeGreaterThan(0.9 * (best - average));
    expect(history).toHaveLength(150);
  });

  it('recycle: finds the bottom of a narrow valley', () => {
    const tasks: Task[] = [{ name: 'loss', metric: 'loss', direction: 'minimize', lower: 0 }];
    const valley: Metric = (c) =>
      100 * ((c[0] as number) + (c[1] as number) - 1) ** 2 + ((c[0] as number) - 0.7) ** 2 + ((c[2] as number) - 0.2) ** 2;
    const spec = studyOf(3, { method: 'recycle', tasks, budget: { kind: 'candidates', candidates: 400 } });
    const { coefficients } = resultOf(playStudy(spec, valley));
    expect(valley(coefficients, 0, 0)).toBeLessThan(1e-3);
  });

  const entropies: Task[] = ['a', 'b'].map((name) => ({ name, metric: 'entropy', direction: 'minimize', lower: 0 }));
  const entropy: Metric = (c, task) => {
    const slope = c.map((value, index) => 2 * (0.5 + index) * (value - (task === 0 ? 0.6 : 0.8)));
    return {
      value: 0.2 + c.reduce((sum, value, index) => sum + (0.5 + index) * (value - (task === 0 ? 0.6 : 0.8)) ** 2, 0),
      gradient: slope,
    };
  };
  const withoutGradient: Metric = (c, task) => (entropy(c, task, 0) as { value: number }).value;
  const merging = (budget: StudySpec['budget'], more: Partial<StudySpec> = {}): StudySpec =>
    studyOf(3, { method: 'adamerging', tasks: [...entropies, accuracyTask('acc')], budget, ...more });

  it('adamerging: downhill with the gradients of the evaluators', () => {
    const history = playStudy(merging({ kind: 'candidates', candidates: 80 }), entropy);
    const result = resultOf(history);
    for (const value of result.coefficients) expect(Math.abs(value - 0.7)).toBeLessThan(0.03);
    expect(history.length).toBeLessThanOrEqual(80);
    // On the way only entropies are measured; the result is measured in every task.
    expect(history.filter(({ kind }) => kind === 'adaptive').every(({ tasks }) => tasks?.join() === '0,1')).toBe(true);
    expect(result.measured[2]).toBeDefined();
  });

  it('adamerging: downhill with differences, and by preference', () => {
    const spec = merging({ kind: 'evaluations', evaluations: 600 }, { preferences: new Map([['b', 3]]) });
    const { coefficients } = resultOf(playStudy(spec, withoutGradient));
    for (const value of coefficients) expect(Math.abs(value - 0.75)).toBeLessThan(0.03);
  });

  it('adamerging: asks for differences where gradients stop coming', () => {
    const history = playStudy(merging({ kind: 'candidates', candidates: 100 }), (c, task, id) =>
      (id < 8 ? entropy : withoutGradient)(c, task, id),
    );
    // Thirteen steps of a fiftieth, from 0.3.
    for (const value of resultOf(history).coefficients) expect(value).toBeGreaterThan(0.5);
    expect(history.length).toBeLessThanOrEqual(100);
  });
});

describe('bayesian', () => {
  /** Task 0 is a quadratic; task 1 is one too, but for a hill where x is large and y small. */
  const hill: Metric = (c, task) => {
    const [x = 0, y = 0] = c;
    return 0.2 + 0.2 * x - 0.1 * y * y + (task === 0 ? 0 : 0.5 * Math.exp(-((x - 0.9) ** 2 + (y - 0.2) ** 2) / 0.03));
  };

  it('draws where a surrogate is worst', () => {
    let late = 0;
    let near = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const history = playStudy(studyOf(2, { method: 'bayesian', seed, budget: { kind: 'candidates', candidates: 60 } }), hill);
      const drawn = history.filter(({ kind }) => kind === 'adaptive');
      late += drawn.length;
      near += drawn.filter(({ coefficients: [x = 0, y = 0] }) => y < x / 2).length;
    }
    expect(late).toBe(5 * 30);
    // Of directions drawn evenly, 0.295 would be there.
    expect(near / late).toBeGreaterThan(0.45);
  });

  it('explains about as well as samples of the whole box alone, at the same budget', () => {
    const errorOf = (method: 'map' | 'bayesian'): number => {
      let squares = 0;
      for (let seed = 1; seed <= 6; seed++) {
        const spec = studyOf(4, { method, seed, budget: { kind: 'candidates', candidates: 24 } });
        const surrogates = fitSurrogates(spec, playStudy(spec, crowded));
        const random = seededRandom(seed);
        for (let k = 0; k < 200; k++) {
          const c = Array.from({ length: 4 }, random);
          for (const [task, surrogate] of surrogates.entries()) squares += (predict(surrogate, c) - (crowded(c, task, 0) as number)) ** 2;
        }
      }
      return Math.sqrt(squares / (6 * 200 * 4));
    };
    expect(errorOf('bayesian')).toBeLessThan(1.25 * errorOf('map'));
    expect(errorOf('bayesian')).toBeLessThan(0.1);
  });
});
