/** Which reported metrics are taken. */
import { describe, expect, it } from 'vitest';
import { checkMetric } from '../../coordinator/evaluation/metric-check.js';
import { MetricReport } from '../../shared/generated/tributary/v1/evaluations.js';
import type { StudySpec, Task } from '../../shared/pareto/study.js';
import { expectError } from '../support/expect-error.js';

const tasks: Task[] = [
  { name: 'legal', metric: 'accuracy', direction: 'maximize', lower: 0, upper: 1 },
  { name: 'code', metric: 'loss', direction: 'minimize', lower: 0 },
  { name: 'free', metric: 'score', direction: 'maximize' },
];
const spec = { tasks, dimensions: [{ name: 'a' }, { name: 'b' }] } as unknown as StudySpec;
const check = (task: number, report: Partial<MetricReport>) => checkMetric(spec, task, MetricReport.fromPartial(report));

describe('a metric', () => {
  it('is kept as it was reported', () => {
    const reported = { value: 0.1 + 0.2, count: 12n, standardError: 0, metrics: { f1: 0.5, broken: Number.NaN }, gradient: [1, -1] };
    expect(check(0, reported)).toEqual({ value: 0.1 + 0.2, count: 12, standardError: 0, metrics: { f1: 0.5 }, gradient: [1, -1] });
    expect(check(2, { value: -1e300 })).toEqual({ value: -1e300 });
  });

  it('that misses a bound by rounding is on it', () => {
    expect(check(0, { value: 1 + 4e-16 }).value).toBe(1);
    expect(check(0, { value: -1e-12 }).value).toBe(0);
    expect(check(1, { value: -1e-12 }).value).toBe(0);
  });

  it.each([
    [0, 1.00001, '0 to 1'],
    [0, -0.1, '0 to 1'],
    [1, -0.1, '0 to Infinity'],
    [1, Number.POSITIVE_INFINITY, '0 to Infinity'],
    [2, Number.NaN, '-Infinity to Infinity'],
  ])('of task %i is refused at %d, and the bounds are named', async (task, value, bounds) => {
    const { details } = await expectError('METRIC_REFUSED', () => check(task, { value }));
    expect([details.expected, details.got]).toEqual([`a finite number from ${bounds}`, `${value}`]);
  });

  it.each([
    ['a gradient of another length', { gradient: [1] }],
    ['a gradient that is not finite', { gradient: [1, Number.NaN] }],
    ['a negative standard error', { standardError: -0.1 }],
    ['a standard error that is not finite', { standardError: Number.NaN }],
  ])('with %s is refused', async (_label, report) => {
    await expectError('METRIC_REFUSED', () => check(0, { value: 0.5, ...report }));
  });
});
