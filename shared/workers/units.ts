/** Carrying out the units of a job: without a pause in worker threads, in slices where there is an event loop to serve. */
import type { Finding } from './protocol.js';

export interface UnitRunner {
  /** Does the next unit; false when there is none left, or the job was stopped. */
  step(): boolean;
  /** Gives back files and leaves results; to be called once, whatever happened. */
  close(): void;
  readonly findings: readonly Finding[];
}

/** All units that are left. */
export function runUnits(runner: UnitRunner): readonly Finding[] {
  try {
    while (runner.step());
    return runner.findings;
  } finally {
    runner.close();
  }
}

/** Longest time for which `helpUnits` keeps the event loop waiting, give or take a unit. */
const SLICE_MS = 12;

/** The same for a thread that has an event loop to serve: signals and timers get their turn between slices. */
export async function helpUnits(runner: UnitRunner): Promise<readonly Finding[]> {
  try {
    for (let until = performance.now() + SLICE_MS; runner.step(); ) {
      if (performance.now() < until) continue;
      await new Promise((resolve) => setImmediate(resolve));
      until = performance.now() + SLICE_MS;
    }
    return runner.findings;
  } finally {
    runner.close();
  }
}
