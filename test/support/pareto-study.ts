/** Plays a study without agents: what designs propose is measured by a function, batch by batch. */
import { nextBatch } from '../../shared/pareto/designs/next-batch.js';
import type { Measured, MeasuredCandidate, Proposal, StudySpec, Task } from '../../shared/pareto/study.js';

export type Metric = (coefficients: readonly number[], task: number, id: number) => Measured | number | undefined;

export const accuracyTask = (name: string, more: Partial<Task> = {}): Task => ({
  name,
  metric: 'accuracy',
  direction: 'maximize',
  lower: 0,
  upper: 1,
  ...more,
});

/** A study of contributors a, b, c, ... with a task of each one's name. */
export function studyOf(contributors: number, more: Partial<StudySpec> = {}): StudySpec {
  const names = Array.from({ length: contributors }, (_, index) => String.fromCharCode(97 + index));
  return {
    tasks: names.map((name) => accuracyTask(name)),
    method: 'map',
    sampler: 'sobol',
    seed: 7,
    preferences: new Map(),
    greedySoup: false,
    surrogate: { link: 'auto', ridge: 'auto', minR2: 0.2 },
    contributors: names,
    dimensions: names.map((name) => ({ name, contributor: name, lower: 0, upper: 1, neutral: 1 })),
    ...more,
  };
}

export function measureBatch(
  spec: StudySpec,
  proposals: readonly Proposal[],
  metric: Metric,
  batch: number,
  firstId: number,
): MeasuredCandidate[] {
  return proposals.map((proposal, index): MeasuredCandidate => {
    const id = firstId + index;
    const measured = spec.tasks.map((_, task) => {
      if (proposal.tasks !== undefined && !proposal.tasks.includes(task)) return undefined;
      const value = metric(proposal.coefficients, task, id);
      return typeof value === 'number' ? { value } : value;
    });
    return { ...proposal, id, batch, measured };
  });
}

/** @param mostBatches ends open-ended studies */
export function playStudy(spec: StudySpec, metric: Metric, mostBatches = 2000): MeasuredCandidate[] {
  const history: MeasuredCandidate[] = [];
  for (let batch = 0; batch < mostBatches; batch++) {
    const proposals = nextBatch(spec, history);
    if (proposals.length === 0) return history;
    history.push(...measureBatch(spec, proposals, metric, batch, history.length));
  }
  return history;
}
