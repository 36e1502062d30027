/**
 * Parameter competition balancing (arXiv 2410.02396), element by element: the score of an input's element is exp(N x m^2) tanh(v x sum of v),
 * m its clamped magnitude on the way from the smallest to the largest of its task; scores from the lowest that counts to the highest are its share.
 * Scores are held as fp32, divided by e^N: their order is counted in fp32, and only their ratios matter.
 */
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS } from '../merge/program.js';
import { numberIndex, type ProgramStatistics, STATISTIC, type TensorTask } from './program-job.js';
import type { Vectors } from './vectors.js';

/** Where the statistics of an input's competition stand, among those of the combination. */
export const COMPETITION = {
  smallest: STATISTIC.low,
  largest: STATISTIC.high,
  lowest: STATISTIC.lowFrom,
  highest: STATISTIC.highTo,
} as const;

/** Shares that add up to less count as this much. */
const LEAST_SHARES = 1e-12;

export interface Competition {
  /** The scores of each input: what is above zero as number 2 i, what is below, without its sign, as number 2 i + 1. */
  scores(task: TensorTask, count: number): Generator<[number: number, vector: number]>;
  /** Shares times clamped vectors, divided by the sum of shares. */
  combine(task: TensorTask, result: number, count: number): void;
}

type Numbers = Float32Array | Float64Array;

export function createCompetition(kernels: Kernels, vectors: Vectors, { numbers }: ProgramStatistics): Competition {
  let parts = 0;

  function list({ program }: TensorTask, pointer: number, count: number): Numbers {
    const { buffer, byteOffset } = kernels.bytes(pointer, (count * program.precision) / 8);
    return program.precision === 64 ? new Float64Array(buffer, byteOffset, count) : new Float32Array(buffer, byteOffset, count);
  }

  const numberOf = (task: TensorTask, use: number, field: number): number =>
    numbers[numberIndex(task, task.program.stages.length, use, field)] ?? 0;

  function limitsOf(task: TensorTask, use: number) {
    const smallest = numberOf(task, use, COMPETITION.smallest);
    const largest = Math.max(smallest, numberOf(task, use, COMPETITION.largest));
    return { smallest, largest, perMagnitude: largest > smallest ? 1 / (largest - smallest) : 0 };
  }

  type Limits = ReturnType<typeof limitsOf>;
  const clampedSize = (value: number, { smallest, largest }: Limits): number => Math.min(largest, Math.max(smallest, Math.abs(value)));

  function scoreOf(value: number, total: number, limits: Limits, inputs: number): number {
    const place = (clampedSize(value, limits) - limits.smallest) * limits.perMagnitude;
    return Math.fround(Math.exp(inputs * (place * place - 1)) * Math.tanh(value * total));
  }

  function totalsOf(inputs: readonly Numbers[], count: number): Float64Array {
    const totals = new Float64Array(count);
    for (const values of inputs) for (let i = 0; i < count; i++) totals[i] = (totals[i] ?? 0) + (values[i] ?? 0);
    return totals;
  }

  return {
    *scores(task, count) {
      if (parts === 0) parts = kernels.reserve(2 * BLOCK_ELEMENTS * 8);
      const inputs = vectors.pointers.map((pointer) => list(task, pointer, count));
      const totals = totalsOf(inputs, count);
      const positive = parts;
      const negative = parts + BLOCK_ELEMENTS * 8;
      const [above, below] = [list(task, positive, count), list(task, negative, count)];
      for (const [use, values] of inputs.entries()) {
        const limits = limitsOf(task, use);
        for (let i = 0; i < count; i++) {
          const score = scoreOf(values[i] ?? 0, totals[i] ?? 0, limits, inputs.length);
          above[i] = Math.max(0, score);
          below[i] = Math.max(0, -score);
        }
        yield [2 * use, positive];
        yield [2 * use + 1, negative];
      }
    },
    combine(task, result, count) {
      const inputs = vectors.pointers.map((pointer) => list(task, pointer, count));
      const totals = totalsOf(inputs, count);
      const sums = new Float64Array(count);
      const shares = new Float64Array(count);
      for (const [use, values] of inputs.entries()) {
        const limits = limitsOf(task, use);
        const lowest = numberOf(task, use, COMPETITION.lowest);
        const highest = numberOf(task, use, COMPETITION.highest);
        if (!(highest > lowest)) continue;
        for (let i = 0; i < count; i++) {
          const value = values[i] ?? 0;
          const score = scoreOf(value, totals[i] ?? 0, limits, inputs.length);
          const share = (Math.min(highest, Math.max(lowest, score)) - lowest) / (highest - lowest);
          sums[i] = (sums[i] ?? 0) + share * Math.sign(value) * clampedSize(value, limits);
          shares[i] = (shares[i] ?? 0) + share;
        }
      }
      const out = list(task, result, count);
      for (let i = 0; i < count; i++) out[i] = (sums[i] ?? 0) / Math.max(LEAST_SHARES, shares[i] ?? 0);
    },
  };
}
