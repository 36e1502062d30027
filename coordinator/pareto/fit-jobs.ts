/** What the main thread and the thread of fits say to one another: pure types, and how covariances travel. */
import type { SerializedError } from '../../shared/errors/tributary-error.js';
import type { Attribution } from '../../shared/pareto/attribute.js';
import type { MeasuredCandidate, PredictedFront, Proposal, StudySpec, Surrogate } from '../../shared/pareto/study.js';
import type { Fit } from './fit.js';

export interface FitJobs {
  readonly propose: {
    readonly in: { readonly spec: StudySpec; readonly history: readonly MeasuredCandidate[] };
    readonly out: readonly Proposal[];
  };
  readonly fit: { readonly in: { readonly spec: StudySpec; readonly candidates: readonly MeasuredCandidate[] }; readonly out: PackedFit };
  readonly whatIf: {
    readonly in: { readonly spec: StudySpec; readonly surrogates: PackedSurrogates; readonly without: readonly string[] };
    readonly out: PredictedFront;
  };
  readonly attribute: {
    readonly in: { readonly spec: StudySpec; readonly surrogates: PackedSurrogates; readonly coefficients: readonly number[] };
    readonly out: readonly Attribution[];
  };
}

export type FitJobKind = keyof FitJobs;

export interface FitRequest<Kind extends FitJobKind = FitJobKind> {
  readonly id: number;
  readonly kind: Kind;
  readonly input: FitJobs[Kind]['in'];
}

export type FitReply =
  | { readonly id: number; readonly kind: 'done'; readonly output: FitJobs[FitJobKind]['out'] }
  | { readonly id: number; readonly kind: 'failed'; readonly error: SerializedError };

/** Surrogates with their covariances in one block: sixteen tasks of sixteen weights have 375,000 numbers of them, slow to copy one by one. */
export interface PackedSurrogates {
  /** `covariance`: how many numbers of the block are its own. */
  readonly plain: readonly (Omit<Surrogate, 'covariance'> & { readonly covariance: number })[];
  /** One behind another, in the order of the tasks. */
  readonly covariances: Float64Array;
}

export function packSurrogates(surrogates: readonly Surrogate[]): PackedSurrogates {
  const covariances = new Float64Array(surrogates.reduce((sum, { covariance }) => sum + covariance.length, 0));
  let at = 0;
  const plain = surrogates.map(({ covariance, ...surrogate }) => {
    covariances.set(covariance, at);
    at += covariance.length;
    return { ...surrogate, covariance: covariance.length };
  });
  return { plain, covariances };
}

export function unpackSurrogates({ plain, covariances }: PackedSurrogates): Surrogate[] {
  let at = 0;
  return plain.map(({ covariance: length, ...surrogate }) => {
    // Array.from takes twenty times as long.
    const covariance: number[] = [];
    for (const end = at + length; at < end; at++) covariance.push(covariances[at] as number);
    return { ...surrogate, covariance };
  });
}

/** A fit as it comes from the thread and lies in the database. */
export interface PackedFit {
  readonly json: string;
  readonly covariances: Float64Array;
}

export function packFit(fit: Fit): PackedFit {
  const { plain, covariances } = packSurrogates(fit.surrogates);
  return { json: JSON.stringify({ ...fit, surrogates: plain }), covariances };
}

export function unpackFit({ json, covariances }: PackedFit): Fit {
  const fit = JSON.parse(json) as Omit<Fit, 'surrogates'> & { surrogates: PackedSurrogates['plain'] };
  return { ...fit, front: fit.front, surrogates: unpackSurrogates({ plain: fit.surrogates, covariances }) };
}
