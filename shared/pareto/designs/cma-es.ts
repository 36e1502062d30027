/**
 * CMA-ES as in N. Hansen, The CMA Evolution Strategy: A Tutorial (arXiv 1604.00772), with positive weights only and a Cholesky factor in place of
 * the square root of the covariance (O. Krause et al., 2016), in the unit cube: draws that leave it are moved to its border, and that is what is
 * learnt from: the best merges often lie there, and reflected draws needed about twice the evaluations to get as near. Beyond 100 coordinates the covariance stays diagonal (R. Ros and N. Hansen, 2008).
 */
import { factorise, forwardSubstitute } from '../dense.js';
import { clamp } from './points.js';
import type { RandomStream } from './random.js';

const MOST_COUPLED = 100;

export interface CmaState {
  readonly mean: Float64Array;
  readonly sigma: number;
  /** Lower triangle of the covariance; only its diagonal when separable. */
  readonly covariance: Float64Array;
  readonly factor: Float64Array;
  readonly pathOfSigma: Float64Array;
  readonly pathOfCovariance: Float64Array;
  readonly generation: number;
}

export function populationOf(dimensions: number): number {
  return 4 + Math.floor(3 * Math.log(dimensions));
}

function unitMatrix(size: number): Float64Array {
  const matrix = new Float64Array(size * size);
  for (let k = 0; k < size; k++) matrix[k * size + k] = 1;
  return matrix;
}

export function startCma(mean: readonly number[], sigma: number): CmaState {
  const size = mean.length;
  return {
    mean: Float64Array.from(mean),
    sigma,
    covariance: unitMatrix(size),
    factor: unitMatrix(size),
    pathOfSigma: new Float64Array(size),
    pathOfCovariance: new Float64Array(size),
    generation: 0,
  };
}

export function drawGeneration({ mean, sigma, factor }: CmaState, count: number, random: RandomStream): number[][] {
  const size = mean.length;
  return Array.from({ length: count }, () => {
    const normal = Array.from({ length: size }, random.normal);
    return Array.from({ length: size }, (_, row) => {
      let step = 0;
      for (let k = size > MOST_COUPLED ? row : 0; k <= row; k++) step += (factor[row * size + k] as number) * (normal[k] as number);
      return clamp((mean[row] as number) + sigma * step, 0, 1);
    });
  });
}

/** @param ranked a generation's points, the best first; at least two */
export function updateCma(state: CmaState, ranked: readonly (readonly number[])[]): CmaState {
  const { mean, sigma, factor } = state;
  const size = mean.length;
  const separable = size > MOST_COUPLED;
  const parents = ranked.slice(0, Math.max(1, ranked.length >> 1));
  const raw = parents.map((_, rank) => Math.log((ranked.length + 1) / 2) - Math.log(rank + 1));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  const weights = raw.map((weight) => weight / total);
  const effective = 1 / weights.reduce((sum, weight) => sum + weight * weight, 0);
  const rateOfSigma = (effective + 2) / (size + effective + 5);
  const damping = 1 + 2 * Math.max(0, Math.sqrt((effective - 1) / (size + 1)) - 1) + rateOfSigma;
  const rateOfPath = (4 + effective / size) / (size + 4 + (2 * effective) / size);
  const faster = separable ? (size + 2) / 3 : 1;
  const rankOne = Math.min(1, (faster * 2) / ((size + 1.3) * (size + 1.3) + effective));
  const rankMany = Math.min(1 - rankOne, (faster * 2 * (effective - 2 + 1 / effective)) / ((size + 2) * (size + 2) + effective));
  const expected = Math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size * size));

  const steps = parents.map((point) => Float64Array.from(point, (value, k) => (value - (mean[k] as number)) / sigma));
  const step = new Float64Array(size);
  for (const [index, own] of steps.entries())
    for (let k = 0; k < size; k++) step[k] = (step[k] as number) + (weights[index] as number) * (own[k] as number);
  const white = step.slice();
  forwardSubstitute(factor, size, white);

  const keep = Math.sqrt(rateOfSigma * (2 - rateOfSigma) * effective);
  const pathOfSigma = state.pathOfSigma.map((value, k) => (1 - rateOfSigma) * value + keep * (white[k] as number));
  const length = Math.sqrt(pathOfSigma.reduce((sum, value) => sum + value * value, 0));
  const generation = state.generation + 1;
  let forgotten = 1;
  for (let k = 0; k < 2 * generation && forgotten > 1e-16; k++) forgotten *= 1 - rateOfSigma;
  const moving = length / Math.sqrt(1 - forgotten) < (1.4 + 2 / (size + 1)) * expected ? 1 : 0;
  const along = moving * Math.sqrt(rateOfPath * (2 - rateOfPath) * effective);
  const pathOfCovariance = state.pathOfCovariance.map((value, k) => (1 - rateOfPath) * value + along * (step[k] as number));

  const old = 1 - rankOne - rankMany + (1 - moving) * rankOne * rateOfPath * (2 - rateOfPath);
  const covariance = state.covariance.slice();
  for (let i = 0; i < size; i++)
    for (let j = separable ? i : 0; j <= i; j++) {
      let many = 0;
      for (const [index, own] of steps.entries()) many += (weights[index] as number) * (own[i] as number) * (own[j] as number);
      const one = (pathOfCovariance[i] as number) * (pathOfCovariance[j] as number);
      covariance[i * size + j] = old * (covariance[i * size + j] as number) + rankOne * one + rankMany * many;
    }
  const next = covariance.slice();
  if (separable) for (let k = 0; k < size; k++) next[k * size + k] = Math.sqrt(next[k * size + k] as number);
  const sound = separable || factorise(next, size);
  // Rounding can spoil a covariance that has shrunk to next to nothing; then it starts anew.
  return {
    mean: mean.map((value, k) => value + sigma * (step[k] as number)),
    sigma: sigma * Math.exp(Math.min(1, (rateOfSigma / damping) * (length / expected - 1))),
    covariance: sound ? covariance : unitMatrix(size),
    factor: sound ? next : unitMatrix(size),
    pathOfSigma,
    pathOfCovariance,
    generation,
  };
}
