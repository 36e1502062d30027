/** Whether a reported metric can be one. Nothing else reaches the database: a NaN or an accuracy of 1.2 would bend every surrogate. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { MetricReport } from '../../shared/generated/tributary/v1/evaluations.js';
import type { StudySpec, Task } from '../../shared/pareto/study.js';
import type { Report } from './study-rows.js';

/** Sums of fractions miss 1 by some units in the last place; such values count as the bound. */
const RELATIVE_TOLERANCE = 1e-9;

function refused(task: Task, what: string, got: string): TributaryError {
  const { lower = -Infinity, upper = Infinity } = task;
  return new TributaryError('METRIC_REFUSED', {
    what: `${what} of task ${task.name} (${task.metric}) is not possible`,
    expected: `a finite number from ${lower} to ${upper}`,
    got,
    fix: 'Correct the evaluator, or the bounds of the task in the recipe.',
  });
}

/** The value, moved onto a bound that it misses by rounding. @throws METRIC_REFUSED */
function withinBounds(task: Task, value: number): number {
  const { lower = -Infinity, upper = Infinity } = task;
  const slack = (bound: number): number => RELATIVE_TOLERANCE * Math.max(1, Math.abs(bound));
  const low = lower === -Infinity ? lower : lower - slack(lower);
  const high = upper === Infinity ? upper : upper + slack(upper);
  if (!Number.isFinite(value) || value < low || value > high) throw refused(task, 'The metric', `${value}`);
  return Math.min(upper, Math.max(lower, value));
}

/** @throws METRIC_REFUSED, naming bounds and value */
export function checkMetric({ tasks, dimensions }: StudySpec, number: number, report: MetricReport): Report {
  const task = tasks[number] as Task;
  const value = withinBounds(task, report.value);
  const { standardError, gradient } = report;
  if (standardError !== undefined && !(Number.isFinite(standardError) && standardError >= 0))
    throw new TributaryError('METRIC_REFUSED', {
      what: `The standard error of task ${task.name} is not possible`,
      expected: 'a finite number from 0',
      got: `${standardError}`,
    });
  if (gradient.length > 0 && (gradient.length !== dimensions.length || !gradient.every(Number.isFinite)))
    throw new TributaryError('METRIC_REFUSED', {
      what: `The gradient of task ${task.name} does not fit the study`,
      expected: `${dimensions.length} finite numbers (${dimensions.map(({ name }) => name).join(', ')})`,
      got: gradient.length === dimensions.length ? gradient.join(', ') : `${gradient.length} numbers`,
    });
  const metrics = Object.entries(report.metrics).filter(([, other]) => Number.isFinite(other));
  return {
    value,
    ...(report.count === 0n ? {} : { count: Number(report.count) }),
    ...(standardError === undefined ? {} : { standardError }),
    ...(metrics.length === 0 ? {} : { metrics: Object.fromEntries(metrics) }),
    ...(gradient.length === 0 ? {} : { gradient }),
  };
}
