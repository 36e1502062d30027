/** The shared arrays that statistics of programs live in between passes. */
import { ALL_TIES, NO_HIGH, NO_LOW, type ProgramStatistics, STATISTIC } from '../workers/program-job.js';
import type { StatisticsRoom } from './compile-job.js';

/** Bands that keep everything, factors of 1. */
export function emptyStatistics({ numbers, ties, bits }: StatisticsRoom): ProgramStatistics {
  const shared = new Float64Array(new SharedArrayBuffer(numbers * 8));
  for (let at = 0; at < numbers; at += STATISTIC.fields) {
    shared[at + STATISTIC.low] = NO_LOW;
    shared[at + STATISTIC.lowTo] = ALL_TIES;
    shared[at + STATISTIC.high] = NO_HIGH;
    shared[at + STATISTIC.factor] = 1;
  }
  return {
    numbers: shared,
    ties: new Uint32Array(new SharedArrayBuffer(ties * 4)),
    bits: new Uint8Array(new SharedArrayBuffer(bits)),
  };
}
