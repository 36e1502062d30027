/**
 * Reports to the coordinator: a finished measurement may have cost hours, so it is said again until it is acknowledged or refused, and is on disk
 * until then.
 */
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationLease, ReportRequest } from '../../shared/generated/tributary/v1/evaluations.js';
import { toErrorInfo } from '../../shared/grpc/error-trailer.js';
import type { Connection } from '../api/connection.js';
import { persevere } from '../api/retry.js';
import type { EvaluationOutcome } from '../evaluate/evaluator.js';
import type { KeptMeasurement, Measurement, Unreported } from './unreported.js';

/** What became of a report. `known`: the pair had been measured before, by whomever. */
export type Reported = { readonly kind: 'counted' | 'known' } | { readonly kind: 'refused'; readonly error: TributaryError };

export interface Reporting {
  readonly connection: Pick<Connection, 'evaluations' | 'server'>;
  readonly agent: string;
  readonly unreported: Unreported;
  /** How long to try without success, in milliseconds. */
  readonly giveUpAfterMs: number;
  /** Ends the trying. */
  readonly signal: AbortSignal;
  readonly onRetry: (error: TributaryError) => void;
  /** A measurement that the disk does not take is reported like any; it is lost if the agent is stopped before. */
  readonly onNotKept: (error: TributaryError) => void;
}

type Pair = Pick<EvaluationLease, 'leaseId' | 'round' | 'candidate' | 'task'>;

/** Answers that no repeated report would change: the measurement is not wanted. After others (a wrong token, say) it stays on disk. */
const FINAL = new Set(['METRIC_REFUSED', 'USAGE', 'ROUND_NOT_FOUND', 'STUDY_NOT_FOUND', 'ROUND_STATE']);

export const isFinal = (reported: Reported): boolean => reported.kind !== 'refused' || FINAL.has(reported.error.code);

const countOf = (count: number | undefined): bigint =>
  count !== undefined && Number.isSafeInteger(Math.round(count)) && count > 0 ? BigInt(Math.round(count)) : 0n;

function measuredOutcome(outcome: EvaluationOutcome): ReportRequest['outcome'] {
  const { value, count, standardError, metrics, gradient = [] } = outcome;
  return { $case: 'measured', value: { value, count: countOf(count), standardError, metrics: { ...metrics }, gradient: [...gradient] } };
}

/** @throws COORDINATOR_UNAVAILABLE when the time is over; the reason of the signal, when it fires first */
async function report(reporting: Reporting, pair: Pair, outcome: ReportRequest['outcome']): Promise<Reported> {
  const { connection, agent, giveUpAfterMs, signal, onRetry } = reporting;
  const { leaseId, round, candidate, task } = pair;
  const patience = { withoutProgressMs: giveUpAfterMs, signal, onRetry };
  try {
    const { counted } = await persevere(patience, () =>
      connection.evaluations.report({ agent, leaseId, round, candidate, task, outcome }, { signal }).catch(asUnavailable),
    );
    return { kind: counted ? 'counted' : 'known' };
  } catch (error) {
    if (error instanceof TributaryError && error.code !== 'COORDINATOR_UNAVAILABLE' && !signal.aborted) return { kind: 'refused', error };
    throw error;
  }
}

/** A coordinator whose disk is full, say, may take the same report later. */
function asUnavailable(error: unknown): never {
  if (error instanceof TributaryError && error.entry.retryable && error.code !== 'COORDINATOR_UNAVAILABLE')
    throw new TributaryError('COORDINATOR_UNAVAILABLE', error.details, { cause: error });
  throw error;
}

/** Why there is no measurement. Not kept: the lease expires, and the pair is tried again. @throws as `reportKept` */
export async function reportFailure(reporting: Reporting, lease: Pair, error: TributaryError): Promise<void> {
  await report(reporting, lease, { $case: 'failed', value: toErrorInfo(error) });
}

/** Numbers that JSON has; of a value that is none the coordinator has to say that it refuses it. */
function keepable({ value, count, standardError, metrics, gradient }: EvaluationOutcome): Measurement['outcome'] | undefined {
  if (!Number.isFinite(value) || gradient?.every(Number.isFinite) === false) return undefined;
  return {
    value,
    ...(count !== undefined && Number.isFinite(count) ? { count } : {}),
    ...(standardError !== undefined && Number.isFinite(standardError) ? { standardError } : {}),
    metrics: Object.fromEntries(Object.entries(metrics).filter(([, other]) => Number.isFinite(other))),
    ...(gradient === undefined ? {} : { gradient: [...gradient] }),
  };
}

/** @param study studyIdentity @throws as `reportKept` */
export async function reportMeasured(
  reporting: Reporting,
  { leaseId, round, candidate, task, metric }: EvaluationLease,
  outcome: EvaluationOutcome,
  study: string,
): Promise<Reported> {
  const { connection, agent, unreported, onNotKept } = reporting;
  const kept = keepable(outcome);
  const about = { server: connection.server, agent, study, round, candidate, task, metric, leaseId, measuredAt: new Date().toISOString() };
  const file = kept && (await unreported.keep({ ...about, outcome: kept }).catch((error: unknown) => onNotKept(toTributaryError(error))));
  const reported = await report(reporting, { leaseId, round, candidate, task }, measuredOutcome(outcome));
  if (file && isFinal(reported)) await unreported.forget(file);
  return reported;
}

/**
 * Reports what an earlier agent left. The coordinator counts a pair once, whoever brings it under whatever lease.
 * @throws COORDINATOR_UNAVAILABLE when the time is over; the reason of the signal, when it fires first
 */
export async function reportKept(reporting: Reporting, kept: KeptMeasurement): Promise<Reported> {
  const { measurement } = kept;
  const reported = await report(reporting, measurement, measuredOutcome(measurement.outcome));
  if (isFinal(reported)) await reporting.unreported.forget(kept);
  return reported;
}
