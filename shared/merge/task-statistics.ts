/** The shared arrays that statistics of programs live in between passes. */
import { NO_LOWER_BOUND, NO_UPPER_BOUND } from '../kernels/block-functions.js';
import { ALL_TIES, type ProgramStatistics, STATISTIC } from '../workers/program-job.js';
import type { StatisticsRoom } from './compile-job.js';

/** Bands that keep everything, factors of 1. */
export function emptyStatistics({ numbers, ties, bits }: StatisticsRoom): ProgramStatistics {
  const shared = new Float64Array(new SharedArrayBuffer(numbers * 8));
  for (let at = 0; at < numbers; at += STATISTIC.fields) {
    shared[at + STATISTIC.low] = NO_LOWER_BOUND;
    shared[at + STATISTIC.lowTo] = ALL_TIES;
    shared[at + STATISTIC.high] = NO_UPPER_BOUND;
    shared[at + STATISTIC.factor] = 1;
  }
  return {
    numbers: shared,
    ties: new Uint32Array(new SharedArrayBuffer(ties * 4)),
    bits: new Uint8Array(new SharedArrayBuffer(bits)),
  };
}
