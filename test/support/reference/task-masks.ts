/** Rules that ask of every coordinate which tasks need it: TALL masks, Consensus TA, PCB, EMR, Localize-and-Stitch, and LiNeS' depth. */
import { largest } from './selection.js';
import { across, at, mean, type ReferenceModel, scaled, sum, sumAbs, type Vector } from './vectors.js';

/** TALL (arXiv 2405.07813): 1 where |tau_t| > threshold |V - tau_t|; V is the merged task vector, scaled as it is used. */
export function tallMask(tau: Vector, merged: Vector, threshold: number): Vector {
  return tau.map((value, index) => (Math.abs(value) > threshold * Math.abs(at(merged, index) - value) ? 1 : 0));
}

/** Keeps the merged vector where at least k tasks have a mask. */
export function consensusTaskArithmetic(taus: readonly Vector[], merged: Vector, threshold: number, k: number): Vector {
  const votes = across(
    taus.map((tau) => tallMask(tau, merged, threshold)),
    sum,
  );
  return merged.map((value, index) => (at(votes, index) >= k ? value : 0));
}

/** (x - min) / (max - min); nothing where all are equal. */
function minMax(values: Vector): Vector {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return values.map((value) => (high === low ? 0 : (value - low) / (high - low)));
}

/** Clamps to the sorted values at trunc(lower d) and trunc(d upper - 1), the positions that the official code takes for quantiles. */
function clampQuantiles(values: Vector, lower: number, upper: number): Vector {
  const d = values.length;
  const sorted = values.toSorted();
  const low = at(sorted, Math.min(d - 1, Math.trunc(d * lower)));
  const high = at(sorted, Math.max(0, Math.trunc(d * upper - 1)));
  return values.map((value) => Math.min(high, Math.max(low, value)));
}

/** PCB (arXiv 2410.02396) on flat vectors: intra- and inter-balancing scores, the share `ratio` of the best of each task counts. */
export function pcb(taus: readonly Vector[], ratio: number): Vector {
  const clamped = taus.map((tau) => {
    const sizes = clampQuantiles(tau.map(Math.abs), 1e-4, 1 - 1e-4);
    return tau.map((value, index) => Math.sign(value) * at(sizes, index));
  });
  const total = across(taus, sum);
  const scales = taus.map((tau, task) => {
    const own = minMax((clamped[task] ?? tau).map(Math.abs));
    const scores = tau.map((value, index) => Math.exp(taus.length * at(own, index) ** 2) * Math.tanh(value * at(total, index)));
    return minMax(clampQuantiles(scores, 1 - ratio, 1));
  });
  return across(clamped, (elements, index) => {
    const shares = scales.map((scale) => at(scale, index));
    return sum(elements.map((element, task) => element * at(shares, task))) / Math.max(sum(shares), 1e-12);
  });
}

/** EMR (arXiv 2405.17461): sign + where the sum is above zero, - elsewhere; largest magnitude among those of that sign. */
export function emrUnified(taus: readonly Vector[]): Vector {
  return across(taus, (elements) => {
    const sign = sum(elements) > 0 ? 1 : -1;
    return sign * Math.max(0, ...elements.map((element) => sign * element));
  });
}

export function emrMask(tau: Vector, unified: Vector): Vector {
  return tau.map((value, index) => (value * at(unified, index) > 0 ? 1 : 0));
}

export const masked = (values: Vector, mask: Vector): Vector => values.map((value, index) => value * at(mask, index));

const meanAbs = (values: Vector): number => mean(Array.from(values, Math.abs));

/** Brings a task's masked unified vector to the task's own size. `official`: a sum over tensors of means; `paper`: one ratio of sums. */
export function emrRescaler(tau: ReferenceModel, unified: ReferenceModel, form: 'official' | 'paper'): number {
  const size = form === 'official' ? meanAbs : sumAbs;
  const own = sum([...tau.values()].map((tensor) => size(tensor.values)));
  const shared = sum(
    [...tau].map(([name, { values }]) => {
      const all = unified.get(name)?.values ?? values;
      return size(masked(all, emrMask(values, all)));
    }),
  );
  return shared === 0 ? 0 : own / shared;
}

/** One task back: theta_t - base = rescaler x mask x unified. */
export function emrTask(tau: ReferenceModel, unified: ReferenceModel, form: 'official' | 'paper'): ReferenceModel {
  const rescaler = emrRescaler(tau, unified, form);
  return new Map(
    [...tau].map(([name, { shape, values }]) => {
      const all = unified.get(name)?.values ?? values;
      return [name, { shape, values: scaled(masked(all, emrMask(values, all)), rescaler) }];
    }),
  );
}

/** Dataless Localize-and-Stitch (arXiv 2408.13656): per task the magnitudes strictly above the trunc(density d)-th largest; their mean. */
export function localizeAndStitch(taus: readonly Vector[], density: number): Vector {
  const masks = taus.map((tau) => {
    const top = largest(tau, Math.max(1, Math.trunc(density * tau.length)));
    const threshold = [...top].reduce((low, index) => Math.min(low, Math.fround(Math.abs(at(tau, index)))), Number.POSITIVE_INFINITY);
    return tau.map((value) => (Math.fround(Math.abs(value)) > threshold ? 1 : 0));
  });
  return across(taus, (elements, index) => {
    const votes = masks.map((mask) => at(mask, index));
    return sum(elements.map((element, task) => element * at(votes, task))) / Math.max(1, sum(votes));
  });
}

/** LiNeS (arXiv 2410.17146): alpha + beta depth, depth = l / (L - 1) in 0..1; alpha outside of blocks. */
export function linesFactor(alpha: number, beta: number, depth: number | undefined): number {
  return depth === undefined ? alpha : alpha + beta * depth;
}

/** LiNeS' alpha for several tasks: (|sum of tau|_1 / |V|_1) / T. */
export function linesAlpha(taus: readonly Vector[], merged: Vector): number {
  const size = sumAbs(merged);
  return size === 0 ? 0 : sumAbs(across(taus, sum)) / size / taus.length;
}
