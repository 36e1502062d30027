/** Rules that give every contribution one number: V = sum of coefficient_i tau_i. Each function here returns coefficients, or the vector V. */
import {
  at,
  combination,
  distance,
  mean,
  meanVector,
  median,
  minus,
  norm,
  plus,
  scaled,
  squaredDistance,
  sum,
  type Vector,
  zeros,
} from './vectors.js';

/** One-shot FedAvg (arXiv 1602.05629, 2411.18607): n_i / n. */
export function fedavgShares(samples: readonly number[]): number[] {
  return samples.map((one) => one / sum(samples));
}

/** FedNova normalised by iterations only (as in arXiv 2411.18607): mean(s) / (N s_i), s_i local steps. */
export function fednovaShares(steps: readonly number[]): number[] {
  return steps.map((one) => mean(steps) / (steps.length * one));
}

/** NAN (arXiv 2505.16148): inverse norms, normalised. A norm of zero counts as 1e-12. */
export function nanShares(norms: readonly number[], scale: number | 'm_half' = 1): number[] {
  if (norms.includes(0) && norms.some((one) => one > 0)) throw new Error('all weight would be on a vector without length');
  const inverse = norms.map((one) => 1 / Math.max(one, 1e-12));
  const factor = scale === 'm_half' ? norms.length / 2 : scale;
  return inverse.map((one) => (factor * one) / sum(inverse));
}

/** MetaGPT (arXiv 2406.11385): squared norms of the task vectors, normalised. Without any task vector every share is 0. */
export function metagptShares(norms: readonly number[]): number[] {
  const squares = norms.map((one) => one * one);
  const total = sum(squares);
  return squares.map((one) => (total === 0 ? 0 : one / total));
}

export interface ClipOptions {
  /** Clipping radius; `auto` is the median of the task vectors' norms. */
  readonly rho: number | 'auto';
  readonly iterations: number;
  readonly aggregate: 'sum' | 'mean';
}

/**
 * Centred clipping. One iteration stands at the base and clips the task vectors (arXiv 2411.18607), their sum or mean being V. With more
 * the centre moves, v <- v + mean of clip(tau_i - v) (Karimireddy et al., arXiv 2012.10333): always the mean.
 */
export function centredClipping(taus: readonly Vector[], { rho, iterations, aggregate }: ClipOptions): Vector {
  const radius = rho === 'auto' ? median(taus.map(norm)) : rho;
  const clipped = (tau: Vector): Vector => {
    const length = norm(tau);
    return length > radius ? scaled(tau, radius / length) : tau;
  };
  const ones = taus.map(() => 1);
  if (iterations === 1 && aggregate === 'sum') return combination(taus.map(clipped), ones);
  let centre = zeros(taus[0]?.length ?? 0);
  for (let round = 0; round < iterations; round++) {
    const from = centre;
    centre = plus(from, meanVector(taus.map((tau) => clipped(minus(tau, from)))));
  }
  return centre;
}

export interface WeiszfeldOptions {
  readonly iterations: number;
  /** Distances below it count as it. */
  readonly smoothing: number;
  /** Stops when the sum of distances falls by less than this share. */
  readonly tol: number;
}

/** Geometric median by Weiszfeld's iteration from the mean (RFA, arXiv 1912.13445). */
export function geometricMedian(taus: readonly Vector[], { iterations, smoothing, tol }: WeiszfeldOptions): Vector {
  let centre = meanVector(taus);
  let objective = sum(taus.map((tau) => distance(tau, centre)));
  for (let round = 0; round < iterations; round++) {
    const weights = taus.map((tau) => 1 / Math.max(smoothing, distance(tau, centre)));
    const total = sum(weights);
    centre = combination(
      taus,
      weights.map((one) => one / total),
    );
    const next = sum(taus.map((tau) => distance(tau, centre)));
    if (Math.abs(objective - next) <= tol * next) break;
    objective = next;
  }
  return centre;
}

/** Krum's scores (Blanchard et al. 2017): sum of the N - f - 2 smallest squared distances to the others. */
export function krumScores(taus: readonly Vector[], byzantine: number): number[] {
  const neighbours = Math.max(0, taus.length - byzantine - 2);
  return taus.map((tau, self) => {
    const others = taus.filter((_, other) => other !== self).map((other) => squaredDistance(tau, other));
    return sum(others.toSorted((a, b) => a - b).slice(0, neighbours));
  });
}

/** Mean of the `keep` contributions of the lowest score, equal scores in order of the contributions. Krum keeps one. */
export function multiKrum(taus: readonly Vector[], byzantine: number, keep: number): Vector {
  const scores = krumScores(taus, byzantine);
  const order = scores.map((_, index) => index).toSorted((a, b) => at(scores, a) - at(scores, b) || a - b);
  return meanVector(order.slice(0, keep).flatMap((index) => taus[index] ?? []));
}
