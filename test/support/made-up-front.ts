/** A front as a coordinator would serve it, of any number of tasks: metric t falls with the square of the distance from corner t of the box. */
import { CandidateKind, MetricDirection, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { Front, FrontState, Point } from '../../shared/generated/tributary/v1/pareto.js';

export function madeUpFront(tasks: number, names: readonly string[] = []): Front {
  const nameOf = (task: number): string => names[task] ?? `task${task}`;
  const metrics = (c: readonly number[]): number[] =>
    Array.from({ length: tasks }, (_, task) => 1 - c.reduce((sum, one, at) => sum + (one - (at === task ? 1 : 0)) ** 2, 0) / (tasks + 1));
  const measured = (c: readonly number[], kind: CandidateKind, label: string, candidate: number): Point =>
    Point.fromPartial({
      coefficients: [...c],
      predicted: metrics(c),
      predictedErrors: c.map(() => 0.01),
      measured: metrics(c).map((value, task) => ({ task: nameOf(task), value, count: 600n })),
      dominated: kind === CandidateKind.SAMPLE && candidate % 3 !== 0,
      kind,
      label,
      candidate,
    });
  const one = (at: number): number[] => Array.from({ length: tasks }, (_, index) => (index === at ? 1 : 0));
  const samples = Array.from({ length: 30 }, (_, index) =>
    Array.from({ length: tasks }, (__, at) => ((index + 1) * (at * 0.37 + 0.618)) % 1),
  );
  return Front.fromPartial({
    round: 'spring',
    state: FrontState.SERVING,
    version: 3,
    study: StudyState.COMPLETE,
    tasks: Array.from({ length: tasks }, (_, task) => ({
      name: nameOf(task),
      metric: 'accuracy',
      direction: MetricDirection.MAXIMIZE,
      lower: 0,
      upper: 1,
    })),
    dimensions: Array.from({ length: tasks }, (_, at) => ({ name: `team${at}`, contributor: `team${at}`, lower: 0, upper: 1, neutral: 1 })),
    surrogates: Array.from({ length: tasks }, (_, task) => ({
      task: nameOf(task),
      link: 'sigmoid',
      r2: 0.99,
      heldOutR2: 0.97,
      heldOutRmse: 0.01,
      measurements: 34,
      usable: true,
    })),
    predicted: Array.from({ length: 40 }, (_, index) => {
      const raw = Array.from({ length: tasks }, (__, at) => ((index + 1) * (at * 0.29 + 0.414)) % 1);
      const sum = raw.reduce((total, value) => total + value, 0);
      const c = raw.map((value) => value / sum);
      return { coefficients: c, predicted: metrics(c), predictedErrors: c.map(() => 0.01) };
    }),
    measured: [
      measured(one(-1), CandidateKind.BASE, '', 0),
      ...Array.from({ length: tasks }, (_, at) => measured(one(at), CandidateKind.SINGLE, `team${at}`, at + 1)),
      measured(
        one(-1).map(() => 1 / tasks),
        CandidateKind.AVERAGE,
        '',
        tasks + 1,
      ),
      ...samples.map((c, index) => measured(c, CandidateKind.SAMPLE, '', tasks + 2 + index)),
    ],
    solver: 'gradient',
    gradientHypervolume: 0.5,
    nsga3Hypervolume: 0.49,
    evaluations: 34 * tasks,
  });
}
