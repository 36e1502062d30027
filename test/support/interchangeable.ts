/**
 * Which elements a sparsifier may keep or drop as it likes. torch sorts magnitudes with an unstable sort (introsort: first come, first kept only
 * up to 16 elements), so among equal magnitudes at the threshold mergekit keeps arbitrary ones; ours keeps the first. Our default numerics do
 * not round task vectors, so there elements whose magnitudes are equal only after rounding are interchangeable as well.
 */
import type { MergeDType } from '../../shared/formats/tensor.js';
import { toFloats } from './compare-numbers.js';
import type { Cut } from './golden-cases.js';
import { decode, encode } from './scalar-reference.js';
import type { TestTensor } from './write-checkpoint.js';

/** Relative width of what counts as equal to the threshold. */
const ROUNDED: Readonly<Record<MergeDType, number>> = { F32: 2 ** -20, BF16: 2 ** -7, F16: 2 ** -10 };
const VARIANCE: Readonly<Record<MergeDType, number>> = { F32: 2 ** -17, BF16: 2 ** -5, F16: 2 ** -8 };

/** Numbers of elements, counted from the largest, behind which the sorted elements are cut. */
function positions({ density, gamma = 0 }: Cut, count: number): number[] {
  const target = Math.trunc(density * count);
  const outliers = Math.trunc(gamma * count);
  const bottom = Math.max(0, count - target - outliers);
  return gamma === 0 ? [target] : [count - target - bottom, count - bottom];
}

function markAround(marks: Uint8Array, keys: Float64Array, position: number, width: number): void {
  const sorted = keys.toSorted((a, b) => b - a);
  const [last, next] = [sorted[position - 1], sorted[position]];
  if (last === undefined || next === undefined || last - next > width * last) return;
  keys.forEach((key, index) => {
    if (Math.abs(key - last) <= width * last || Math.abs(key - next) <= width * last) marks[index] = 1;
  });
}

function variance(deltas: readonly Float64Array[]): Float64Array {
  const count = deltas.length;
  return Float64Array.from(deltas[0] ?? [], (_, index) => {
    const mean = deltas.reduce((sum, delta) => sum + (delta[index] ?? 0), 0) / count;
    return deltas.reduce((sum, delta) => sum + ((delta[index] ?? 0) - mean) ** 2, 0) / count;
  });
}

/** @param dtype of the arithmetic @param exact whether ours computes without rounding to it */
export function interchangeable(
  cuts: readonly Cut[],
  base: TestTensor,
  models: readonly TestTensor[],
  dtype: MergeDType,
  exact: boolean,
): Uint8Array {
  const round = (value: number): number => (dtype === 'F32' ? Math.fround(value) : decode(dtype, encode(dtype, value)));
  const from = toFloats(base.dtype as MergeDType, base.bytes);
  const deltas = models.map((model) => {
    const values = toFloats(model.dtype as MergeDType, model.bytes);
    return Float64Array.from(from, (value, index) => round((values[index] ?? 0) - value));
  });
  const marks = new Uint8Array(from.length);
  for (const cut of cuts) {
    if (cut.of === 'variance') {
      const keys = variance(deltas);
      const nonZero = keys.filter((key) => key !== 0).length;
      markAround(marks, keys, Math.trunc(nonZero * cut.density), VARIANCE[dtype]);
      continue;
    }
    for (const delta of deltas) {
      const keys = delta.map(Math.abs);
      for (const position of positions(cut, keys.length)) markAround(marks, keys, position, exact ? ROUNDED[dtype] : 0);
    }
  }
  return marks;
}
