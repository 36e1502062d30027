/** The surrogates of a study from everything measured inside of its box; what lies outside (a single model, say) is no part of the surface. */
import { fitSurrogate } from './fit-surrogate.js';
import type { MeasuredPoint } from './observations.js';
import type { Dimension, MeasuredCandidate, StudySpec, Surrogate } from './study.js';

/** Coefficients that went through decimal text may be off by this. */
const SLACK = 1e-9;

export function isInBox(dimensions: readonly Dimension[], coefficients: readonly number[]): boolean {
  return (
    coefficients.length === dimensions.length &&
    dimensions.every(({ lower, upper }, index) => {
      const value = coefficients[index] as number;
      return value >= lower - SLACK && value <= upper + SLACK;
    })
  );
}

/** What is known of one task inside of the box, in the order of the candidates. */
export function pointsOfTask(
  { dimensions }: Pick<StudySpec, 'dimensions'>,
  candidates: readonly MeasuredCandidate[],
  task: number,
): MeasuredPoint[] {
  return candidates.flatMap(({ coefficients, measured }) => {
    const own = measured[task];
    return own === undefined || !isInBox(dimensions, coefficients) ? [] : [{ coefficients, measured: own }];
  });
}

/** One surrogate for each task, in the order of the tasks. */
export function fitSurrogates(spec: StudySpec, candidates: readonly MeasuredCandidate[]): Surrogate[] {
  return spec.tasks.map((task, index) => fitSurrogate(task, spec.surrogate, spec.dimensions.length, pointsOfTask(spec, candidates, index)));
}
