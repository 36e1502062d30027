/**
 * Hyperspherical angles and the bins of Bayesian MAP (arXiv 2406.07529, its code's run_MAP_Bayesian): which directions a surrogate explains
 * worst, as a distribution over bins. Angles of vectors without negative parts lie in [0, pi / 2].
 */
import type { RandomStream } from './random.js';

export interface Polar {
  readonly radius: number;
  /** One less than the coordinates: angle k is atan2(length of the coordinates after k, coordinate k). */
  readonly angles: readonly number[];
}

export function toPolar(vector: readonly number[]): Polar {
  const angles: number[] = [];
  let tail = 0;
  for (let k = vector.length - 1; k >= 0; k--) {
    const value = vector[k] as number;
    if (k < vector.length - 1) angles.unshift(Math.atan2(Math.sqrt(tail), value));
    tail += value * value;
  }
  return { radius: Math.sqrt(tail), angles };
}

export function fromPolar({ radius, angles }: Polar): number[] {
  let length = radius;
  const vector = angles.map((angle) => {
    const value = length * Math.cos(angle);
    length *= Math.sin(angle);
    return value;
  });
  return [...vector, length];
}

const QUARTER = Math.PI / 2;

/** One bin number for each angle. */
export function binOf(angles: readonly number[], perAngle: number): number[] {
  return angles.map((angle) => Math.min(perAngle - 1, Math.max(0, Math.floor((angle / QUARTER) * perAngle))));
}

/** Angles uniform in a bin. */
export function drawInBin(bin: readonly number[], perAngle: number, random: RandomStream): number[] {
  return bin.map((at) => ((at + random.uniform()) / perAngle) * QUARTER);
}

const RESAMPLES = 30;
const KEPT = 0.8;

/**
 * Standard deviation of the means of 30 random subsets of four fifths of the values, each drawn from all of them; 0 for one value.
 * (The reference flips one mask in place, so that its subsets shrink from round to round.)
 */
export function deviationOfMeans(values: readonly number[], random: RandomStream): number {
  const kept = Math.max(1, Math.round(KEPT * values.length));
  const means = Array.from({ length: RESAMPLES }, () => {
    const order = [...values];
    let sum = 0;
    for (let k = 0; k < kept; k++) {
      const other = k + random.index(order.length - k);
      sum += order[other] as number;
      order[other] = order[k] as number;
    }
    return sum / kept;
  });
  const mean = means.reduce((sum, value) => sum + value, 0) / RESAMPLES;
  return Math.sqrt(means.reduce((sum, value) => sum + (value - mean) * (value - mean), 0) / RESAMPLES);
}

export interface ScoredBin {
  readonly bin: readonly number[];
  readonly score: number;
}

/** mean loss + doubt x deviation of each bin that has a point; the others are never drawn. In the order in which bins first occur. */
export function scoreBins(
  bins: readonly (readonly number[])[],
  losses: readonly number[],
  doubt: number,
  random: RandomStream,
): readonly ScoredBin[] {
  const groups = new Map<string, { readonly bin: readonly number[]; readonly losses: number[] }>();
  for (const [index, bin] of bins.entries()) {
    const key = bin.join(' ');
    const group = groups.get(key) ?? { bin, losses: [] };
    groups.set(key, group);
    group.losses.push(losses[index] as number);
  }
  return [...groups.values()].map(({ bin, losses: own }) => ({
    bin,
    score: own.reduce((sum, loss) => sum + loss, 0) / own.length + (doubt === 0 ? 0 : doubt * deviationOfMeans(own, random)),
  }));
}

/** Softmax of scores / temperature. */
export function probabilities(scores: readonly number[], temperature: number): number[] {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp((score - most) / temperature));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Number of the one that a uniform draw falls on. */
export function pick(shares: readonly number[], random: RandomStream): number {
  let rest = random.uniform();
  for (const [index, share] of shares.entries()) {
    rest -= share;
    if (rest < 0) return index;
  }
  return shares.length - 1;
}
