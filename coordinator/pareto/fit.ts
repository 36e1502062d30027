/** One fit of a study: surrogates, what they are good for, and the front. Pure: what was measured in, everything that is served out. */
import { nonDominated } from '../../shared/pareto/dominance.js';
import { fitSurrogates } from '../../shared/pareto/fit-surrogates.js';
import { searchFront } from '../../shared/pareto/search-front.js';
import type { MeasuredCandidate, PredictedFront, StudySpec, Surrogate } from '../../shared/pareto/study.js';

/** `measuring`: too little for surrogates. `measured_only`: one of them explains nothing, so no predicted point is shown. */
export type FitState = 'measuring' | 'serving' | 'measured_only';

export interface Fit {
  readonly state: FitState;
  /** By number of task. */
  readonly surrogates: readonly Surrogate[];
  /** Of a fit that serves. */
  readonly front: PredictedFront | undefined;
  /** Pairs that it knew. */
  readonly evaluations: number;
  readonly seconds: number;
}

/** Points inside of the box that a surrogate needs at least, by task. */
export function leastMeasurements({ dimensions }: Pick<StudySpec, 'dimensions'>): number {
  return dimensions.length + 2;
}

export function countEvaluations(candidates: readonly MeasuredCandidate[]): number {
  return candidates.reduce((sum, { measured }) => sum + measured.filter((one) => one !== undefined).length, 0);
}

export function fitStudy(spec: StudySpec, candidates: readonly MeasuredCandidate[], nowMs: () => number): Fit {
  const startMs = nowMs();
  const surrogates = fitSurrogates(spec, candidates);
  const least = leastMeasurements(spec);
  const state: FitState = surrogates.some(({ quality }) => quality.measurements < least)
    ? 'measuring'
    : surrogates.every(({ quality }) => quality.usable)
      ? 'serving'
      : 'measured_only';
  const front = state === 'serving' ? searchFront(spec, surrogates) : undefined;
  return { state, surrogates, front, evaluations: countEvaluations(candidates), seconds: (nowMs() - startMs) / 1000 };
}

/**
 * Whether a candidate is dominated by another, by position. Only candidates with every task measured can be compared; the others are not
 * dominated as far as anyone knows.
 */
export function dominatedCandidates({ tasks }: Pick<StudySpec, 'tasks'>, candidates: readonly MeasuredCandidate[]): boolean[] {
  const whole = candidates.flatMap(({ measured }, index) => {
    const values = measured.flatMap((one) => (one === undefined ? [] : [one.value]));
    return values.length === tasks.length ? [{ index, values }] : [];
  });
  const kept = nonDominated(
    whole.map(({ values }) => values),
    tasks.map(({ direction }) => direction),
  );
  const dominated = candidates.map(() => false);
  for (const { index } of whole) dominated[index] = true;
  for (const row of kept) dominated[whole[row]?.index ?? 0] = false;
  return dominated;
}
