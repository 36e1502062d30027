/**
 * One number for several metrics, for methods that end in one model. Each metric is turned so that more is better and scaled: by its bounds if
 * it has both, otherwise by what the reference points span, which stays the same through the study.
 */
import type { Measured, StudySpec } from '../study.js';
import type { MeasuredBook } from './measured-book.js';
import { referencePoints } from './reference-points.js';

export interface Objective {
  /** 0 (worst) to 1 for a bounded metric; about that for others. */
  readonly normalised: (task: number, value: number) => number;
  /** Of the task; 1 where the study says nothing. */
  readonly preference: (task: number) => number;
  /** The weighted mean over some tasks, of those that are measured; undefined: none is. */
  readonly mean: (measured: readonly (Measured | undefined)[], tasks?: readonly number[]) => number | undefined;
  /** The same, but undefined unless all those that count are measured. */
  readonly complete: (measured: readonly (Measured | undefined)[], tasks?: readonly number[]) => number | undefined;
}

export function createObjective(spec: StudySpec, book: MeasuredBook): Objective {
  const all = spec.tasks.map((_, task) => task);
  const references = referencePoints(spec).map(({ coefficients }) => book.at(coefficients));
  const scales = spec.tasks.map(({ lower, upper }, task) => {
    if (lower !== undefined && upper !== undefined) return { from: lower, width: upper - lower };
    const values = references.flatMap((measured) => measured[task]?.value ?? []);
    if (values.length === 0) return { from: 0, width: 1 };
    const low = Math.min(...values);
    const width = Math.max(...values) - low;
    return { from: low, width: width > 0 ? width : 1 };
  });
  const normalised = (task: number, value: number): number => {
    const { from, width } = scales[task] ?? { from: 0, width: 1 };
    const share = (value - from) / width;
    return spec.tasks[task]?.direction === 'minimize' ? 1 - share : share;
  };
  const preference = (task: number): number => spec.preferences.get(spec.tasks[task]?.name ?? '') ?? 1;
  /** Tasks of preference 0 do not count, unless no other is there. */
  const counting = (tasks: readonly number[]): readonly { readonly task: number; readonly weight: number }[] => {
    const liked = tasks.map((task) => ({ task, weight: preference(task) })).filter(({ weight }) => weight > 0);
    return liked.length > 0 ? liked : tasks.map((task) => ({ task, weight: 1 }));
  };
  const mean = (measured: readonly (Measured | undefined)[], tasks: readonly number[] = all): number | undefined => {
    let sum = 0;
    let weights = 0;
    for (const { task, weight } of counting(tasks)) {
      const value = measured[task]?.value;
      if (value === undefined) continue;
      sum += weight * normalised(task, value);
      weights += weight;
    }
    return weights > 0 ? sum / weights : undefined;
  };
  return {
    normalised,
    preference,
    mean,
    complete: (measured, tasks = all) =>
      counting(tasks).every(({ task }) => measured[task] !== undefined) ? mean(measured, tasks) : undefined,
  };
}
