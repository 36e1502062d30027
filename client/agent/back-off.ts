/**
 * An agent does not run an evaluator that fails again and again at full speed: after a few failures of a task in a row it waits before it takes the task
 * again, longer each time. A success forgets all of it.
 */
import type { TributaryError } from '../../shared/errors/tributary-error.js';

const PATIENT_FROM = 3;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** An agent that is to end by itself ends when a task failed so often in a row. */
const HOPELESS_AT = 10;

export interface BackOff {
  succeeded(task: string): void;
  failed(task: string, error: TributaryError): void;
  /** Those that may be taken now. */
  ready(tasks: readonly string[]): string[];
  /** Until the first of them may be taken again, in milliseconds. */
  waitMs(tasks: readonly string[]): number;
  /** The error of a task that failed so often that only a person can help. */
  hopeless(): TributaryError | undefined;
}

export function createBackOff(nowMs: () => number): BackOff {
  const rows = new Map<string, { failures: number; untilMs: number; error: TributaryError }>();
  const untilMs = (task: string): number => rows.get(task)?.untilMs ?? 0;
  return {
    succeeded: (task) => void rows.delete(task),
    failed: (task, error) => {
      const failures = (rows.get(task)?.failures ?? 0) + 1;
      const waitMs = failures < PATIENT_FROM ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - PATIENT_FROM));
      rows.set(task, { failures, untilMs: nowMs() + waitMs, error });
    },
    ready: (tasks) => tasks.filter((task) => untilMs(task) <= nowMs()),
    waitMs: (tasks) => Math.max(0, Math.min(...tasks.map(untilMs)) - nowMs()),
    hopeless: () => [...rows.values()].find(({ failures }) => failures >= HOPELESS_AT)?.error,
  };
}
