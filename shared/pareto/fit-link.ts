/**
 * A quadratic through one link, fitted to measurements of one metric (MAP, arXiv 2406.07529, section 3.2; algorithm: closed form, then polish).
 * The closed form solves weighted least squares through the inverse link; what starts from there cannot wander off as fits from
 * p0 = (1, ..., 1) do.
 */
import { chooseRidge, LEAST_SLACK } from './choose-ridge.js';
import { factorise, inverseForms, invertFactorised } from './dense.js';
import { type Bounds, linkInverse, linkSlope, linkValue } from './links.js';
import { curvatureOf, type PolishedFit, polish, slopesAt } from './polish-fit.js';
import { quadraticSize } from './quadratic.js';
import { type StandardTerms, standardTerms } from './standard-terms.js';
import type { LinkName } from './study.js';

export interface FitInput {
  readonly dimensions: number;
  readonly points: readonly (readonly number[])[];
  /** In units of the metric. */
  readonly values: Float64Array;
  /** 1 / variance of each value, up to a common factor; mean 1. */
  readonly precisions: Float64Array;
  readonly bounds: Bounds;
  /** What a value is kept away from a bound before the inverse link. */
  readonly clip: number;
  readonly ridge: number | 'auto';
}

export interface LinkFit {
  readonly link: LinkName;
  readonly ridge: number;
  readonly parameters: Float64Array;
  /** Of the metric, one a point. */
  readonly fitted: Float64Array;
  /** The same of fits without the point. */
  readonly leftOut: Float64Array;
  readonly leftOutRmse: number;
  /** Estimated variance of a measurement of average precision around the surface; NaN: nothing tells. */
  readonly variance: number;
  /** Covariance of the parameters, given that variance; empty: the system is singular. */
  readonly covarianceAt: (variance: number) => Float64Array;
}

/**
 * How much curvature is expected beside slope: leave-one-out chooses, unless there are so many times as many points as terms that it hardly
 * matters, or so many terms that a choice would take longer than it is worth.
 */
const CURVATURES = [1, 0.3, 0.1];
const ENOUGH = 4;
const MANY_TERMS = 100;
const OF_MANY = [0.3];

/** @param input at least two points with distinct values */
export function fitLink(input: FitInput, link: LinkName): LinkFit {
  const { values, precisions, bounds, clip } = input;
  const count = values.length;
  const targets = new Float64Array(count);
  const weights = new Float64Array(count);
  let total = 0;
  for (let row = 0; row < count; row++) {
    let value = values[row] as number;
    if (link !== 'identity') {
      if (bounds.lower !== undefined) value = Math.max(value, bounds.lower + clip);
      if (bounds.upper !== undefined) value = Math.min(value, bounds.upper - clip);
    }
    const target = linkInverse(link, bounds, value);
    const slope = linkSlope(link, bounds, target);
    targets[row] = target;
    weights[row] = (precisions[row] as number) * slope * slope;
    total += weights[row] as number;
  }
  const average = total / count;
  for (let row = 0; row < count; row++) weights[row] = (weights[row] as number) / average;

  const loss = (leftOut: Float64Array): number => {
    let sum = 0;
    for (let row = 0; row < count; row++) {
      const residual = (values[row] as number) - linkValue(link, bounds, leftOut[row] as number);
      sum += (precisions[row] as number) * residual * residual;
    }
    return sum;
  };
  const { dimensions, points } = input;
  const fixed = input.ridge === 'auto' ? undefined : input.ridge;
  const size = quadraticSize(dimensions);
  const choices = fixed !== undefined || count >= ENOUGH * size ? [1] : size > MANY_TERMS ? OF_MANY : CURVATURES;
  const { standard, linear } = choices
    .map((curvature) => {
      const terms = standardTerms(dimensions, points, weights, curvature);
      return { standard: terms, linear: chooseRidge(terms, targets, weights, loss, fixed) };
    })
    .reduce((best, other) => (other.linear.loss < best.linear.loss ? other : best));
  const penalty = linear.ridge * average;
  // Through the identity the closed form is the optimum; without a ridge one more step takes rounding away.
  const state = polish(standard, input, link, linear.parameters, penalty, targets);
  return describeFit(standard, input, link, state, penalty, linear.ridge);
}

/** Fitted and leave-one-out values, by the linear smoother that the fit is around its optimum. */
function describeFit(
  standard: StandardTerms,
  input: FitInput,
  link: LinkName,
  state: PolishedFit,
  penalty: number,
  ridge: number,
): LinkFit {
  const { size, rows } = standard;
  const { values, precisions, bounds } = input;
  const count = values.length;
  const { weights } = slopesAt(standard, input, link, state, penalty);
  const factor = curvatureOf(standard, weights, penalty);
  const regular = factorise(factor, size);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;

  const fitted = new Float64Array(count);
  const leftOut = new Float64Array(count);
  const influences = regular ? inverseForms(factor, size, rows) : new Float64Array(count);
  let squares = 0;
  let variance = 0;
  let told = 0;
  for (let row = 0; row < count; row++) {
    const [q, value] = [state.q[row] as number, values[row] as number];
    fitted[row] = linkValue(link, bounds, q);
    const residual = value - (fitted[row] as number);
    const influence = influences[row] as number;
    const slack = regular ? 1 - (weights[row] as number) * influence : 0;
    if (slack >= LEAST_SLACK) {
      const slope = linkSlope(link, bounds, q);
      leftOut[row] = linkValue(link, bounds, q - ((precisions[row] as number) * slope * influence * residual) / slack);
      variance += ((precisions[row] as number) * residual * residual) / slack;
      told++;
    } else {
      // Without this point nothing is known here but the others' mean.
      leftOut[row] = (mean * count - value) / (count - 1);
    }
    const miss = value - (leftOut[row] as number);
    squares += miss * miss;
  }
  return {
    link,
    ridge,
    parameters: standard.toParameters(state.parameters),
    fitted,
    leftOut,
    leftOutRmse: Math.sqrt(squares / count),
    variance: told === 0 ? Number.NaN : variance / told,
    covarianceAt(common) {
      if (!regular) return new Float64Array(0);
      const covariance = standard.toCovariance(invertFactorised(factor, size));
      for (let at = 0; at < covariance.length; at++) covariance[at] = (covariance[at] as number) * common;
      return covariance;
    },
  };
}
