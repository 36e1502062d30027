/**
 * Ways to make one number of many objectives, all to be minimised: what preferences, directions and constraints become for the Newton
 * solver.
 */
import type { Scalarisation } from './box-newton.js';

/** sum of weight x value. */
export function weightedSum(weights: ArrayLike<number>): Scalarisation {
  const count = weights.length;
  const value = (values: Float64Array, at: number): number => {
    let sum = 0;
    for (let t = 0; t < count; t++) sum += (weights[t] as number) * (values[at + t] as number);
    return sum;
  };
  return {
    value,
    expand(values, slopes, curvatures, spread) {
      for (let t = 0; t < count; t++) slopes[t] = weights[t] as number;
      curvatures.fill(0);
      spread.fill(0);
      return value(values, 0);
    },
  };
}

/**
 * Chebyshev's largest weighted distance to a goal, made smooth: mu log sum exp(weight (value - goal) / mu), at most mu log(objectives)
 * above the largest, plus a small weighted sum, without which a task that is nowhere near the largest would not count. It rises in every
 * objective, so its global minima are Pareto optimal for every mu. Fields may be changed between minimisations.
 */
export interface SmoothChebyshev extends Scalarisation {
  readonly weights: Float64Array;
  readonly goal: Float64Array;
  readonly extra: Float64Array;
  mu: number;
  /** The largest weighted distance itself. */
  readonly largest: (values: Float64Array, at: number) => number;
}

export function smoothChebyshev(count: number): SmoothChebyshev {
  const weights = new Float64Array(count);
  const goal = new Float64Array(count);
  const extra = new Float64Array(count);
  const shares = new Float64Array(count);
  const largest = (values: Float64Array, at: number): number => {
    let most = -Infinity;
    for (let t = 0; t < count; t++) most = Math.max(most, (weights[t] as number) * ((values[at + t] as number) - (goal[t] as number)));
    return most;
  };
  const scalarisation: SmoothChebyshev = {
    weights,
    goal,
    extra,
    mu: 1,
    largest,
    value(values, at) {
      const { mu } = scalarisation;
      const most = largest(values, at);
      let sum = 0;
      let added = 0;
      for (let t = 0; t < count; t++) {
        const distance = (values[at + t] as number) - (goal[t] as number);
        sum += Math.exp(((weights[t] as number) * distance - most) / mu);
        added += (extra[t] as number) * distance;
      }
      return most + mu * Math.log(sum) + added;
    },
    expand(values, slopes, curvatures, spread) {
      const { mu } = scalarisation;
      const most = largest(values, 0);
      let sum = 0;
      let added = 0;
      for (let t = 0; t < count; t++) {
        const distance = (values[t] as number) - (goal[t] as number);
        const share = Math.exp(((weights[t] as number) * distance - most) / mu);
        shares[t] = share;
        sum += share;
        added += (extra[t] as number) * distance;
      }
      const root = 1 / Math.sqrt(mu);
      for (let t = 0; t < count; t++) {
        const weight = weights[t] as number;
        const slope = ((shares[t] as number) / sum) * weight;
        slopes[t] = slope + (extra[t] as number);
        curvatures[t] = (slope * weight) / mu;
        spread[t] = slope * root;
      }
      return most + mu * Math.log(sum) + added;
    },
  };
  return scalarisation;
}

/**
 * Minus the logarithm of a weighted product of how much better than the reference every objective is, in ranges. It rises in every
 * objective and bends upwards: Newton's method is at home here. Nearer to the reference than a fiftieth of a range, and beyond it, the
 * logarithm goes on as a parabola. Fields may be changed between minimisations.
 */
export interface WeightedProduct extends Scalarisation {
  readonly weights: Float64Array;
  readonly reference: Float64Array;
  readonly ranges: Float64Array;
  /** What the weight of an objective is multiplied with when it has this value. */
  readonly part: (value: number, objective: number) => number;
}

const NEAR = 0.02;

export function weightedProduct(count: number): WeightedProduct {
  const weights = new Float64Array(count);
  const reference = new Float64Array(count);
  const ranges = new Float64Array(count);
  const part = (value: number, t: number): number => {
    const better = ((reference[t] as number) - value) / (ranges[t] as number);
    const missing = NEAR - better;
    return missing < 0 ? -Math.log(better) : (missing / NEAR) * (1 + missing / (2 * NEAR)) - Math.log(NEAR);
  };
  const value = (values: Float64Array, at: number): number => {
    let sum = 0;
    for (let t = 0; t < count; t++) sum += (weights[t] as number) * part(values[at + t] as number, t);
    return sum;
  };
  return {
    weights,
    reference,
    ranges,
    part,
    value,
    expand(values, slopes, curvatures, spread) {
      spread.fill(0);
      for (let t = 0; t < count; t++) {
        const range = ranges[t] as number;
        const better = ((reference[t] as number) - (values[t] as number)) / range;
        const missing = NEAR - better;
        const weight = (weights[t] as number) / range;
        slopes[t] = missing < 0 ? weight / better : (weight / NEAR) * (1 + missing / NEAR);
        curvatures[t] = missing < 0 ? weight / (range * better * better) : weight / (range * NEAR * NEAR);
      }
      return value(values, 0);
    },
  };
}
