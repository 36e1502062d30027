/** Reports to the coordinator: a finished measurement may have cost hours, so it is said again until it is acknowledged or refused. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationLease, ReportRequest } from '../../shared/generated/tributary/v1/evaluations.js';
import { toErrorInfo } from '../../shared/grpc/error-trailer.js';
import type { Connection } from '../api/connection.js';
import { persevere } from '../api/retry.js';
import type { EvaluationOutcome } from '../evaluate/evaluator.js';

/** What became of a report. `known`: the pair had been measured before, by whomever. */
export type Reported = { readonly kind: 'counted' | 'known' } | { readonly kind: 'refused'; readonly error: TributaryError };

export interface Reporting {
  readonly connection: Pick<Connection, 'evaluations'>;
  readonly agent: string;
  /** Ends the trying. */
  readonly signal: AbortSignal;
  readonly onRetry: (error: TributaryError) => void;
}

const countOf = (count: number | undefined): bigint =>
  count !== undefined && Number.isSafeInteger(Math.round(count)) && count > 0 ? BigInt(Math.round(count)) : 0n;

export function measuredOutcome(outcome: EvaluationOutcome): ReportRequest['outcome'] {
  const { value, count, standardError, metrics, gradient = [] } = outcome;
  return { $case: 'measured', value: { value, count: countOf(count), standardError, metrics: { ...metrics }, gradient: [...gradient] } };
}

export const failedOutcome = (error: TributaryError): ReportRequest['outcome'] => ({ $case: 'failed', value: toErrorInfo(error) });

/** @throws the reason of the signal, when it fires first */
export async function report(reporting: Reporting, lease: EvaluationLease, outcome: ReportRequest['outcome']): Promise<Reported> {
  const { connection, agent, signal, onRetry } = reporting;
  const { leaseId, round, candidate, task } = lease;
  const patience = { withoutProgressMs: Infinity, signal, onRetry };
  try {
    const { counted } = await persevere(patience, () =>
      connection.evaluations.report({ agent, leaseId, round, candidate, task, outcome }, { signal }).catch(asUnavailable),
    );
    return { kind: counted ? 'counted' : 'known' };
  } catch (error) {
    if (error instanceof TributaryError && !signal.aborted) return { kind: 'refused', error };
    throw error;
  }
}

/** A coordinator whose disk is full, say, may take the same report later. */
function asUnavailable(error: unknown): never {
  if (error instanceof TributaryError && error.entry.retryable && error.code !== 'COORDINATOR_UNAVAILABLE')
    throw new TributaryError('COORDINATOR_UNAVAILABLE', error.details, { cause: error });
  throw error;
}
