/** What an agent says while it works, and in the end. */
import type { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationLease, Study } from '../../shared/generated/tributary/v1/evaluations.js';
import type { PairResult } from './measure-candidate.js';
import type { CacheState } from './prune-cache.js';
import type { LeftResult } from './report-left.js';
import type { KeptMeasurement, Measurement } from './unreported.js';

/** Pairs; a measurement that was refused counts as failed. */
export interface AgentTally {
  readonly measured: number;
  readonly failed: number;
}

export interface AgentReport {
  readonly agent: string;
  /** In the order in which they were first worked on. */
  readonly rounds: readonly (AgentTally & { readonly round: string })[];
}

export interface Tally {
  add(round: string, isMeasured: boolean): void;
  rounds(): AgentReport['rounds'];
}

export function createTally(): Tally {
  const counts = new Map<string, AgentTally>();
  return {
    add(round, isMeasured) {
      const { measured, failed } = counts.get(round) ?? { measured: 0, failed: 0 };
      counts.set(round, { measured: measured + (isMeasured ? 1 : 0), failed: failed + (isMeasured ? 0 : 1) });
    },
    rounds: () => [...counts].map(([round, tally]) => ({ round, ...tally })),
  };
}

export interface AgentEvents {
  /**
   * When it starts.
   * @param ours that want something of this agent
   * @param others that go on without it: it does not offer their tasks, or may not measure them
   */
  onStudies(ours: readonly Study[], others: readonly Study[]): void;
  /** A measurement of an earlier agent in this work folder. */
  onLeft(measurement: Measurement, result: LeftResult): void;
  /** The cache of models: when the agent starts, and whenever something was removed. */
  onCache(state: CacheState): void;
  onFetch(name: string, totalBytes: number): void;
  onFetchProgress(doneBytes: number, totalBytes: number): void;
  onResult(lease: EvaluationLease, result: PairResult): void;
  /** A lease expired before its work was done. */
  onLost(lease: EvaluationLease): void;
  /** A measurement that the disk does not take. */
  onNotKept(error: TributaryError): void;
  /** In the end: what is on disk for the next agent. */
  onUnreported(left: readonly KeptMeasurement[], folder: string): void;
}
