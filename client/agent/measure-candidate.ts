/** One candidate from its leases to its reports: made once, measured for each of its tasks in turn, and dropped where the lease is lost. */
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationLease } from '../../shared/generated/tributary/v1/evaluations.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator } from '../evaluate/evaluator.js';
import { gradientSource } from './gradient-source.js';
import type { HeldLease, LeaseKeeper } from './lease-keeper.js';
import type { OpenedStudy } from './open-study.js';
import { type Reported, type Reporting, reportFailure, reportMeasured } from './report.js';
import type { Slot } from './slot.js';
import { candidateDigest } from './study-identity.js';
import type { WorkFolder } from './work-folder.js';

/** A pair is over: measured (unless `reported` says that it was refused), or without a value. */
export type PairResult =
  | { readonly kind: 'measured'; readonly outcome: EvaluationOutcome; readonly seconds: number; readonly reported: Reported }
  | { readonly kind: 'failed'; readonly error: TributaryError };

export interface Measuring {
  readonly evaluators: ReadonlyMap<string, Evaluator>;
  readonly keeper: LeaseKeeper;
  readonly work: WorkFolder;
  readonly reporting: Reporting;
  /** Ends the agent: what is not finished is dropped. */
  readonly stop: AbortSignal;
  readonly onResult: (lease: EvaluationLease, result: PairResult) => void;
}

interface HeldPair {
  readonly lease: EvaluationLease;
  readonly held: HeldLease;
}

/** Fires when the last of the leases is lost. */
function allLost(pairs: readonly HeldPair[]): AbortSignal {
  const all = new AbortController();
  for (const { held } of pairs)
    held.lost.addEventListener('abort', () => {
      if (pairs.every((other) => other.held.lost.aborted)) all.abort(held.lost.reason);
    });
  return all.signal;
}

async function fail(measuring: Measuring, lease: EvaluationLease, thrown: unknown): Promise<void> {
  const error = toTributaryError(thrown);
  measuring.onResult(lease, { kind: 'failed', error });
  await reportFailure(measuring.reporting, lease, error);
}

async function measurePair(
  measuring: Measuring,
  { lease, held }: HeldPair,
  study: string,
  job: Pick<EvaluationJob, 'folder' | 'gradient'>,
): Promise<void> {
  const { evaluators, work, stop, reporting, onResult } = measuring;
  const { round, candidate, task, metric, coefficients } = lease;
  const evaluator = evaluators.get(task);
  const signal = AbortSignal.any([stop, held.lost]);
  if (signal.aborted) return;
  const startedMs = performance.now();
  let outcome: EvaluationOutcome;
  try {
    if (evaluator === undefined) throw new TributaryError('EVALUATOR_UNAVAILABLE', { what: `this agent does not measure ${task}` });
    const logFile = await work.openLog(round, candidate, task);
    const digest = candidateDigest(study, lease);
    outcome = await evaluator.evaluate({ round, candidate, task, metric, coefficients, digest, logFile, signal, ...job });
  } catch (error) {
    if (signal.aborted) return;
    held.release();
    await fail(measuring, lease, error);
    return;
  }
  // The pair is over with its report: a lease that is still renewed then would look like one that was lost.
  held.release();
  const seconds = (performance.now() - startedMs) / 1000;
  const reported = await reportMeasured(reporting, lease, outcome, study);
  onResult(lease, { kind: 'measured', outcome, seconds, reported });
}

/** A study whose leases can be held, although opening it may still take long: contributions are fetched meanwhile. */
export interface OpeningStudy {
  readonly leaseSeconds: number;
  /** studyIdentity. */
  readonly identity: string;
  readonly opened: Promise<OpenedStudy>;
}

/**
 * @param leases of one candidate
 * @throws only when the agent is stopped, or the study cannot be opened, which is no candidate's fault
 */
export async function measureCandidate(
  measuring: Measuring,
  slot: Slot,
  opening: OpeningStudy,
  leases: readonly EvaluationLease[],
): Promise<void> {
  const [first] = leases;
  if (first === undefined) return;
  const { stop, keeper } = measuring;
  const pairs = leases.map((lease) => ({ lease, held: keeper.hold(lease, opening.leaseSeconds) }));
  const signal = AbortSignal.any([stop, allLost(pairs)]);
  try {
    const study = await opening.opened;
    try {
      await slot.prepare(study, first, signal);
    } catch (error) {
      if (signal.aborted) return;
      for (const { lease, held } of pairs) if (!held.lost.aborted) await fail(measuring, lease, error);
      return;
    }
    const gradient = leases.some(({ wantsGradient }) => wantsGradient) ? gradientSource(study, first.coefficients) : undefined;
    for (const pair of pairs) {
      const wanted = pair.lease.wantsGradient ? gradient : undefined;
      await measurePair(measuring, pair, opening.identity, { folder: slot.folder, gradient: wanted });
    }
  } finally {
    for (const { held } of pairs) held.release();
  }
}
