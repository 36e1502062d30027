/** The last step of a program: one vector made of all inputs' vectors, a block (or a row) at a time. */
import { CONSENSUS } from '../kernels/block-functions.js';
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, type Combine } from '../merge/program.js';
import { nuslerpCoefficients, stockRatio } from '../merge/sphere.js';
import { createColumnTurn } from './column-turn.js';
import { createCompetition } from './competition.js';
import { numberIndex, type ProgramStatistics, STATISTIC, type TensorTask } from './program-job.js';
import type { Vectors } from './vectors.js';

export interface Combiner {
  /** Address of the result. */
  readonly result: number;
  /** Prepares for the blocks of a task whose vectors are open; `capacity` elements at a time. */
  open(task: TensorTask, capacity: number): void;
  /** Combines the loaded vectors of `count` elements into `result`. */
  combine(count: number): void;
}

export function createCombiner(kernels: Kernels, vectors: Vectors, statistics: ProgramStatistics): Combiner {
  const competition = createCompetition(kernels, vectors, statistics);
  const columnTurn = createColumnTurn(kernels, statistics);
  let weightList = 0;
  let weightEntries = 0;
  let result = 0;
  let resultBytes = 0;
  let task: TensorTask | undefined;
  let weights: readonly number[] = [];
  let majority = 1;

  const factorOf = (of: TensorTask, use: number): number =>
    statistics.numbers[numberIndex(of, of.program.stages.length, use, STATISTIC.factor)] ?? 0;

  function weightsOf(next: TensorTask): readonly number[] {
    const { combine } = next.program;
    if (combine.kind === 'sum' || combine.kind === 'consensus') return combine.weights;
    if (combine.kind === 'energy') return next.uses.map((_, use) => factorOf(next, use));
    return next.uses.map(() => 1);
  }

  /** Sum of weight x vector, divided by the sum of weights; every operation rounded under `numerics: mergekit`. */
  function sum({ program, uses }: TensorTask, normalize: boolean, count: number): void {
    const { v, pointers, pointerList } = vectors;
    const { rounding } = program;
    if (rounding === 0) {
      v.weightedSum(pointerList, weightList, uses.length, result, count);
    } else {
      v.zero(result, count);
      pointers.forEach((pointer, use) => {
        v.scale(pointer, weights[use] ?? 0, count);
        v.round(pointer, rounding, count);
        v.add(result, pointer, count);
      });
      v.round(result, rounding, count);
    }
    if (!normalize) return;
    const divisor =
      program.precision === 64
        ? weights.reduce((all, one) => all + one, 0)
        : vectors.roundNumber(weights.reduce((all, one) => Math.fround(all + Math.fround(one)), 0));
    v.divideBy(result, divisor, count);
    v.round(result, rounding, count);
  }

  function consensus(one: Extract<Combine, { kind: 'consensus' }>, n: number, rounding: number, count: number): void {
    const flags =
      (one.weighted ? 0 : CONSENSUS.electUnweighted) |
      (one.zero === 'majority' ? CONSENSUS.zeroByMajority : 0) |
      (one.divide === 'count' ? CONSENSUS.count : 0) |
      (one.divide === 'no' ? 0 : CONSENSUS.normalize);
    vectors.v.consensus(vectors.pointerList, weightList, n, result, count, flags, rounding, 0, majority);
  }

  function combine(count: number): void {
    if (task === undefined) return;
    const { program, uses } = task;
    const { combine: how, rounding } = program;
    const { v, pointers, pointerList, base } = vectors;
    const n = uses.length;
    switch (how.kind) {
      case 'sum':
        return sum(task, how.normalize, count);
      case 'consensus':
        return consensus(how, n, rounding, count);
      case 'energy':
        return v.consensus(
          pointerList,
          weightList,
          n,
          result,
          count,
          CONSENSUS.electUnweighted | CONSENSUS.normalize,
          rounding,
          how.floor,
          1,
        );
      case 'agreement':
        return v.agreement(pointerList, n, result, count, how.rho, how.mean ? 1 : 0);
      case 'sorted':
        v.sortAcross(pointerList, n, count);
        v.zero(result, count);
        for (const pointer of pointers.slice(how.from, how.to)) v.add(result, pointer, count);
        if (how.to - how.from > 1) v.divideBy(result, how.to - how.from, count);
        return;
      case 'shared':
        v.weightedSum(pointerList, weightList, n, result, count);
        v.scale(result, how.alpha, count);
        return v.consensusMask(pointerList, result, n, count, how.threshold, how.k);
      case 'unify':
        return v.unify(pointerList, n, result, count);
      case 'mean_of_kept':
        return v.meanOfKept(pointerList, n, result, count);
      case 'competition':
        return competition.combine(task, result, count);
      case 'nearswap':
        if (program.quirks) return v.nearswapStepwise32(base, pointers[0] ?? 0, result, count, how.t, rounding);
        return v.nearswap(base, pointers[0] ?? 0, result, count, how.t);
      case 'second_moment': {
        const [delta = 0, moment] = pointers;
        v.zero(result, count);
        if (moment !== undefined) v.add(result, moment, count);
        return v.secondMoment(result, delta, how.beta2, how.yogi ? 1 : 0, count);
      }
      case 'adaptive':
        return v.adaptive(pointers[0] ?? 0, pointers[1] ?? 0, how.tau, result, count);
      case 'row_slerp':
        return addRow(nuslerpCoefficients(rowGram(count), how.t), count);
      case 'column_slerp':
        return columnTurn.turn(vectors, result, count);
      case 'row_stock': {
        const ratio = stockRatio(rowGram(count), program.quirks);
        return addRow(
          pointers.map(() => ratio / n),
          count,
        );
      }
    }
  }

  function addRow(coefficients: readonly number[], count: number): void {
    const { v, pointers } = vectors;
    const lane = (task?.program.precision ?? 32) / 8;
    v.zero(result, count);
    for (let at = 0; at < count; at += BLOCK_ELEMENTS) {
      const size = Math.min(BLOCK_ELEMENTS, count - at);
      pointers.forEach((pointer, use) => v.addScaled(result + at * lane, pointer + at * lane, coefficients[use] ?? 0, size));
    }
  }

  /** Products of all pairs of vectors over a row. */
  function rowGram(count: number): number[][] {
    const { v, pointers } = vectors;
    const lane = (task?.program.precision ?? 32) / 8;
    return pointers.map((a) =>
      pointers.map((b) => {
        let total = 0;
        for (let at = 0; at < count; at += BLOCK_ELEMENTS)
          total += v.dot(a + at * lane, b + at * lane, Math.min(BLOCK_ELEMENTS, count - at));
        return total;
      }),
    );
  }

  return {
    get result() {
      return result;
    },
    open(next, capacity) {
      task = next;
      const bytes = Math.max(capacity, BLOCK_ELEMENTS) * 8;
      if (bytes > resultBytes) {
        result = kernels.reserve(bytes);
        resultBytes = bytes;
      }
      if (next.uses.length > weightEntries) {
        weightEntries = next.uses.length;
        weightList = kernels.reserve(weightEntries * 8);
      }
      weights = weightsOf(next);
      if (next.program.combine.kind === 'column_slerp') columnTurn.open(next);
      majority = factorOf(next, 0) < 0 ? -1 : 1;
      const view = kernels.view();
      weights.forEach((weight, index) => view.setFloat64(weightList + index * 8, weight, true));
    },
    combine,
  };
}
