/**
 * What surrogates say of many points: the same as `predictPoint` of each, up to rounding. Covariances have as many rows as quadratics have
 * parameters, so of each only one half is read, and for all points at once.
 */
import { withLinalg } from './dense-memory.js';
import { linkSlope } from './links.js';
import { quadraticSize, quadraticTerms, quadraticValue } from './quadratic.js';
import type { PredictedPoint, Surrogate } from './study.js';
import { predict } from './surrogate.js';

/** Columns of a covariance that are multiplied together, from the diagonal of the first on. */
const BLOCK = 32;

/**
 * terms' covariance terms of every point, for one covariance after another: twice terms' L terms, L the lower half with half of the
 * diagonal.
 */
function variancesOf(covariances: readonly (readonly number[])[], points: readonly (readonly number[])[], size: number): Float64Array[] {
  const count = points.length;
  return withLinalg((linalg) => {
    const { run } = linalg;
    const step = run.stepBytes(size);
    const width = step / 8;
    const at = linalg.layOut('variances', { terms: count * step, half: size * step, sums: count * step });
    const terms = linalg.doubles(at.terms, count * width);
    for (const [row, coefficients] of points.entries()) quadraticTerms(coefficients, terms, row * width);
    const half = linalg.doubles(at.half, size * width).fill(0);
    const sums = linalg.doubles(at.sums, count * width);
    return covariances.map((covariance) => {
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < i; j++) half[i * width + j] = covariance[i * size + j] as number;
        half[i * width + i] = (covariance[i * size + i] as number) / 2;
      }
      sums.fill(0);
      for (let first = 0; first < size; first += BLOCK) {
        const offset = first * 8;
        const block = at.half + first * step + offset;
        const columns = Math.min(BLOCK, size - first);
        run.addProduct64(count, columns, size - first, 2, at.terms + offset, step, 0, block, step, 0, at.sums + offset, step, 0);
      }
      const variances = new Float64Array(count);
      for (let row = 0; row < count; row++) {
        let sum = 0;
        for (let k = row * width; k < row * width + size; k++) sum += (sums[k] as number) * (terms[k] as number);
        variances[row] = sum;
      }
      return variances;
    });
  });
}

/** @param points coefficients, as many as every surrogate has */
export function predictPoints(surrogates: readonly Surrogate[], points: readonly (readonly number[])[]): PredictedPoint[] {
  const size = quadraticSize(points[0]?.length ?? 0);
  const known = surrogates.filter(({ covariance }) => covariance.length === size * size);
  const variances = variancesOf(
    known.map(({ covariance }) => covariance),
    points,
    size,
  );
  const errors = new Map(known.map((surrogate, at) => [surrogate, variances[at] as Float64Array]));
  const errorOf = (surrogate: Surrogate, coefficients: readonly number[], at: number): number => {
    const { link, parameters, lower, upper } = surrogate;
    const variance = errors.get(surrogate)?.[at] ?? 0;
    return Math.sqrt(Math.max(variance, 0)) * linkSlope(link, { lower, upper }, quadraticValue(parameters, coefficients));
  };
  return points.map((coefficients, at) => ({
    coefficients,
    predicted: surrogates.map((surrogate) => predict(surrogate, coefficients)),
    predictedErrors: surrogates.map((surrogate) => errorOf(surrogate, coefficients, at)),
  }));
}
