/** What a surrogate says of a candidate: the metric, how sure that is, and how it changes. */
import { linkSlope, linkValue } from './links.js';
import { quadraticTerms, quadraticValue } from './quadratic.js';
import type { PredictedPoint, Surrogate } from './study.js';

/** In units of the metric. */
export function predict({ link, parameters, ...bounds }: Surrogate, coefficients: readonly number[]): number {
  return linkValue(link, bounds, quadraticValue(parameters, coefficients));
}

/** Standard error of the prediction, by the delta method; 0 when the covariance is not known. In units of the metric. */
export function predictionError({ link, parameters, covariance, ...bounds }: Surrogate, coefficients: readonly number[]): number {
  const size = parameters.length;
  if (covariance.length !== size * size) return 0;
  const terms = new Float64Array(size);
  quadraticTerms(coefficients, terms);
  let variance = 0;
  for (let row = 0; row < size; row++) {
    let sum = 0;
    for (let column = 0; column < size; column++) sum += (covariance[row * size + column] as number) * (terms[column] as number);
    variance += sum * (terms[row] as number);
  }
  return Math.sqrt(Math.max(variance, 0)) * linkSlope(link, bounds, quadraticValue(parameters, coefficients));
}

export function predictPoint(surrogates: readonly Surrogate[], coefficients: readonly number[]): PredictedPoint {
  return {
    coefficients,
    predicted: surrogates.map((surrogate) => predict(surrogate, coefficients)),
    predictedErrors: surrogates.map((surrogate) => predictionError(surrogate, coefficients)),
  };
}
