/** What a generator of looks asks for and gets: room in the shared buffers of a pass, and what the pass left there. */
import type { Look, ProgramStatistics, TensorTask } from '../workers/program-job.js';

/** Places in the shared buffers of a pass. */
export interface LookRoom {
  readonly tables: number;
  readonly sums: number;
  readonly keys: number;
}

export interface LookRequest {
  /** Numbers wanted in each buffer. */
  readonly room: LookRoom;
  readonly look: (at: LookRoom) => Look;
}

/** What the pass left in the places that were asked for. */
export interface LookResult {
  readonly tables: Uint32Array;
  readonly sums: Float64Array;
  readonly keys: Uint32Array;
}

export type Looks = Generator<LookRequest, void, LookResult>;

export const NO_ROOM: LookRoom = { tables: 0, sums: 0, keys: 0 };

export interface TaskStatistics {
  readonly task: TensorTask;
  readonly statistics: ProgramStatistics;
}

/** Sums over units, in the order of the units: `step` numbers each. */
export function total(sums: Float64Array, index: number, step: number): number {
  let sum = 0;
  for (let at = index; at < sums.length; at += step) sum += sums[at] ?? 0;
  return sum;
}
