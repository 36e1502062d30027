/** Tasks of a study that wait for an agent that does not come; coordinator and client say so in their own words. */
import { type Study, StudyState } from '../generated/tributary/v1/evaluations.js';

/** Nobody asked for a task for so long: it is idle. */
const IDLE_MS = 30_000;

/** @returns names of tasks */
export function idleTasks({ state, progress }: Pick<Study, 'state' | 'progress'>, nowMs: number): string[] {
  if (state !== StudyState.EVALUATING) return [];
  return progress.flatMap(({ task, open, leased, lastAskedAt }) =>
    open > 0 && leased === 0 && (lastAskedAt === undefined || nowMs - lastAskedAt.getTime() > IDLE_MS) ? [task] : [],
  );
}
