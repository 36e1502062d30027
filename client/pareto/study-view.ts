/** How far the evaluation of a round is, in words and as JSON. */
import { MetricDirection, type Study, StudyState, type StudyTask } from '../../shared/generated/tributary/v1/evaluations.js';
import { idleTasks } from '../../shared/grpc/idle-tasks.js';
import { table } from '../cli/table.js';
import { formatSeconds } from '../cli/units.js';

const STATES: Readonly<Record<StudyState, string>> = {
  [StudyState.UNSPECIFIED]: 'unknown',
  [StudyState.UNRECOGNIZED]: 'unknown',
  [StudyState.EVALUATING]: 'evaluating',
  [StudyState.COMPLETE]: 'complete',
  [StudyState.STOPPED]: 'stopped',
};

export function studyStateName(state: StudyState): string {
  return STATES[state];
}

export function directionName(direction: MetricDirection): 'maximize' | 'minimize' {
  return direction === MetricDirection.MINIMIZE ? 'minimize' : 'maximize';
}

export function taskView({ name, metric, direction, lower, upper, owner }: StudyTask): object {
  return {
    name,
    metric,
    direction: directionName(direction),
    lower: lower ?? null,
    upper: upper ?? null,
    evaluator: owner === '' ? null : owner,
  };
}

export function studyView(study: Study): object {
  return {
    round: study.round,
    state: studyStateName(study.state),
    method: study.method,
    tasks: study.tasks.map(taskView),
    dimensions: study.dimensions.map(({ name, lower, upper }) => ({ name, lower, upper })),
    candidates: study.candidates,
    plannedCandidates: study.plannedCandidates === 0 ? null : study.plannedCandidates,
    progress: study.progress.map(({ task, done, leased, open, failed, lastAskedAt }) => ({
      task,
      done,
      leased,
      open,
      failed,
      lastAskedAt: lastAskedAt?.toISOString() ?? null,
    })),
    secondsLeft: study.secondsLeft ?? null,
    warnings: study.warnings,
  };
}

/** Evaluations done, and of those that are known so far. */
export function evaluationCounts(study: Study): { readonly done: number; readonly total: number } {
  let done = 0;
  let total = 0;
  for (const one of study.progress) {
    done += one.done + one.failed;
    total += one.done + one.failed + one.leased + one.open;
  }
  return { done, total };
}

function ownersOf(study: Study, tasks: readonly string[]): string {
  return tasks
    .map((task) => {
      const owner = study.tasks.find(({ name }) => name === task)?.owner ?? '';
      return owner === '' ? task : `${task} (agent ${owner})`;
    })
    .join(', ');
}

/** One line for whoever watches. */
export function studyLine(study: Study, nowMs: number): string {
  const { done, total } = evaluationCounts(study);
  const planned = study.plannedCandidates > 0 ? ` of ${study.plannedCandidates}` : '';
  const left = study.secondsLeft === undefined ? '' : `, about ${formatSeconds(study.secondsLeft)} left`;
  const idle = idleTasks(study, nowMs);
  const waiting = idle.length === 0 ? '' : `; nobody measures ${ownersOf(study, idle)}`;
  return `${studyStateName(study.state)}: ${done} of ${total} evaluations, ${study.candidates}${planned} candidates${left}${waiting}`;
}

export function studyText(study: Study, nowMs: number): string {
  const rows = study.progress.map(({ task, done, leased, open, failed, lastAskedAt }) => {
    const { metric = '', direction = MetricDirection.MAXIMIZE, owner = '' } = study.tasks.find(({ name }) => name === task) ?? {};
    const seen = lastAskedAt === undefined ? 'never' : `${formatSeconds(Math.max(0, (nowMs - lastAskedAt.getTime()) / 1000))} ago`;
    const who = owner === '' ? 'any' : owner;
    return [task, metric, directionName(direction), who, `${done}`, `${leased}`, `${open}`, `${failed}`, seen];
  });
  const head = ['task', 'metric', 'direction', 'agent', 'done', 'leased', 'open', 'failed', 'asked for'];
  return [
    `map      ${study.method}, ${studyLine(study, nowMs)}`,
    '',
    table(head, rows, [4, 5, 6, 7]),
    ...study.warnings.map((warning) => `warning  ${warning}`),
  ].join('\n');
}
