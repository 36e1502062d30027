/** Arcee fusion: takes from the other model what both changed much and changed the row's softmax. */
import { at, lastDimension, minus, perSlice, quantile, sum, type Vector } from './vectors.js';

function logSoftmax(row: Vector): Vector {
  const high = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const total = Math.log(sum(row.map((value) => Math.exp(value - high))));
  return row.map((value) => value - high - total);
}

/** |delta| x KL(softmax of the model's row || softmax of the base's row). */
export function fusionImportance(base: Vector, other: Vector, shape: readonly number[]): Vector {
  return perSlice([base, other], shape, lastDimension(shape), ([from = base, to = other]) => {
    const [q, p] = [logSoftmax(from), logSoftmax(to)];
    const divergence = sum(p.map((log, index) => Math.exp(log) * (log - at(q, index))));
    return to.map((value, index) => Math.abs(value - at(from, index)) * divergence);
  });
}

/** V: the difference where its importance reaches median + 1.5 x interquartile range. */
export function arceeFusion(base: Vector, other: Vector, shape: readonly number[]): Vector {
  const importance = fusionImportance(base, other, shape);
  const threshold = quantile(importance, 0.5) + 1.5 * (quantile(importance, 0.75) - quantile(importance, 0.25));
  return minus(other, base).map((value, index) => (at(importance, index) >= threshold ? value : 0));
}
