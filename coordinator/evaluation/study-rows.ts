/** Rows of studies, candidates and (candidate, task) pairs, and what they mean to designs and fits. */
import type { CandidateKind, Measured, MeasuredCandidate } from '../../shared/pareto/study.js';
import type { StudyState } from './states.js';

export interface StudyRow {
  readonly round: string;
  readonly state: StudyState;
  readonly batches: number;
  readonly error: string | null;
  readonly created_ms: number;
  readonly ended_ms: number | null;
}

export interface Pair {
  readonly round: string;
  readonly candidate: number;
  /** Number of the task. */
  readonly task: number;
}

export interface PairRow extends Pair {
  readonly status: 'open' | 'leased' | 'done' | 'failed';
  readonly attempts: number;
  readonly failures: number;
  /** 1: another candidate was measured in the task since this one first failed. */
  readonly blamed: 0 | 1;
  readonly lease: string | null;
  readonly agent: string | null;
  readonly expires_ms: number | null;
  readonly value: number | null;
  readonly count: number | null;
  readonly standard_error: number | null;
  readonly metrics: string | null;
  readonly gradient: string | null;
  readonly reported_ms: number | null;
  readonly error: string | null;
}

export interface CandidateRow {
  readonly id: number;
  readonly batch: number;
  readonly kind: CandidateKind;
  readonly label: string | null;
  readonly coefficients: string;
}

export interface Lease extends Pair {
  readonly lease: string;
  /** Leases of this pair before. */
  readonly attempt: number;
}

export interface Report extends Measured {
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

export interface TaskCounts {
  readonly task: number;
  readonly done: number;
  readonly leased: number;
  readonly open: number;
  readonly failed: number;
}

/** @param pairs its own, in the order of the tasks */
export function candidateOf(
  { id, batch, kind, label, coefficients }: CandidateRow,
  pairs: readonly PairRow[],
  taskCount: number,
): MeasuredCandidate {
  const measured = Array.from({ length: taskCount }, (): Measured | undefined => undefined);
  for (const pair of pairs) if (pair.status === 'done') measured[pair.task] = measuredOf(pair);
  return {
    id,
    batch,
    kind,
    ...(label === null ? {} : { label }),
    coefficients: JSON.parse(coefficients) as number[],
    ...(pairs.length === taskCount ? {} : { tasks: pairs.map(({ task }) => task) }),
    measured,
  };
}

function measuredOf(pair: PairRow): Measured {
  return {
    value: pair.value ?? Number.NaN,
    ...(pair.count === null ? {} : { count: pair.count }),
    ...(pair.standard_error === null ? {} : { standardError: pair.standard_error }),
    ...(pair.gradient === null ? {} : { gradient: JSON.parse(pair.gradient) as number[] }),
  };
}
