/**
 * What surrogates say of many points: the same as `predictPoint` of each, up to rounding. Covariances have as many rows as quadratics have
 * parameters, so of each only one half is read, and for four points at a time.
 */
import { linkSlope } from './links.js';
import { quadraticTerms, quadraticValue } from './quadratic.js';
import type { PredictedPoint, Surrogate } from './study.js';
import { predict } from './surrogate.js';

/** terms^T covariance terms of the four rows of `terms` (size values each), into four values from `at` on. */
function fourVariances(covariance: Float64Array, terms: Float64Array, size: number, into: Float64Array, at: number): void {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  for (let row = 0; row < size; row++) {
    let k = row * size;
    const half = 0.5 * (covariance[k + row] as number);
    let a = half * (terms[row] as number);
    let b = half * (terms[size + row] as number);
    let c = half * (terms[2 * size + row] as number);
    let d = half * (terms[3 * size + row] as number);
    for (let column = 0; column < row; column++) {
      const value = covariance[k++] as number;
      a += value * (terms[column] as number);
      b += value * (terms[size + column] as number);
      c += value * (terms[2 * size + column] as number);
      d += value * (terms[3 * size + column] as number);
    }
    first += a * (terms[row] as number);
    second += b * (terms[size + row] as number);
    third += c * (terms[2 * size + row] as number);
    fourth += d * (terms[3 * size + row] as number);
  }
  into[at] = 2 * first;
  into[at + 1] = 2 * second;
  into[at + 2] = 2 * third;
  into[at + 3] = 2 * fourth;
}

/** Standard errors of one task, by point. */
function errorsOf({ link, parameters, covariance, ...bounds }: Surrogate, points: readonly (readonly number[])[]): Float64Array {
  const size = parameters.length;
  const errors = new Float64Array(points.length + 3);
  if (covariance.length !== size * size) return errors;
  const matrix = Float64Array.from(covariance);
  const terms = new Float64Array(4 * size);
  for (let from = 0; from < points.length; from += 4) {
    const four = points.slice(from, from + 4);
    for (const [k, coefficients] of four.entries()) quadraticTerms(coefficients, terms, k * size);
    fourVariances(matrix, terms, size, errors, from);
    for (const [k, coefficients] of four.entries())
      errors[from + k] =
        Math.sqrt(Math.max(errors[from + k] as number, 0)) * linkSlope(link, bounds, quadraticValue(parameters, coefficients));
  }
  return errors;
}

/** @param points coefficients, as many as every surrogate has */
export function predictPoints(surrogates: readonly Surrogate[], points: readonly (readonly number[])[]): PredictedPoint[] {
  const errors = surrogates.map((surrogate) => errorsOf(surrogate, points));
  return points.map((coefficients, at) => ({
    coefficients,
    predicted: surrogates.map((surrogate) => predict(surrogate, coefficients)),
    predictedErrors: errors.map((ofTask) => ofTask[at] as number),
  }));
}
