/** What an agent says while it works, and in the end. */
import type { EvaluationLease, Study } from '../../shared/generated/tributary/v1/evaluations.js';
import type { PairResult } from './measure-candidate.js';

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

export interface AgentEvents {
  /** Those that want something of this agent, when it starts. */
  onStudies(studies: readonly Study[]): void;
  onFetch(name: string, totalBytes: number): void;
  onFetchProgress(doneBytes: number, totalBytes: number): void;
  onResult(lease: EvaluationLease, result: PairResult): void;
  /** A lease expired before its work was done. */
  onLost(): void;
}
