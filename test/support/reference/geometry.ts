/** Averages on the sphere, and averages whose mix is read off angles. A rule over one tensor takes it as one vector unless said. */
import type { Quirks } from './types.js';
import { at, combination, dot, lastDimension, mean, meanVector, minus, norm, perSlice, plus, scaled, sum, type Vector } from './vectors.js';

const clampCosine = (value: number): number => Math.min(1, Math.max(-1, value));

/** v0 at t = 0, v1 at t = 1; along the arc unless the directions are within |cos| > 0.9995. */
export function slerp(v0: Vector, v1: Vector, t: number): Vector {
  const unit = (vector: Vector): Vector => (norm(vector) > 1e-8 ? scaled(vector, 1 / norm(vector)) : vector);
  const cosine = dot(unit(v0), unit(v1));
  if (Math.abs(cosine) > 0.9995) return combination([v0, v1], [1 - t, t]);
  const theta = Math.acos(cosine);
  return combination([v0, v1], [Math.sin((1 - t) * theta) / Math.sin(theta), Math.sin(t * theta) / Math.sin(theta)]);
}

/** The share of the second of two weighted contributions. */
export function nuslerpShare(first: number, second: number): number {
  return Math.abs(first + second) < 1e-6 ? 0.5 : second / (first + second);
}

function nuslerpVector(v0: Vector, v1: Vector, t: number): Vector {
  const length = (vector: Vector): number => Math.max(norm(vector), 1e-7);
  const theta = Math.acos(clampCosine(dot(scaled(v0, 1 / length(v0)), scaled(v1, 1 / length(v1)))));
  const sine = Math.sin(theta);
  // An angle next to pi is known to about 1e-8 at best.
  if (Math.abs(sine) < 1e-6) return combination([v0, v1], [1 - t, t]);
  return combination([v0, v1], [Math.sin((1 - t) * theta) / sine, Math.sin(t * theta) / sine]);
}

/** Whole tensor as one vector (`flatten`), per row (last dimension), or per column (first dimension). */
export function nuslerp(v0: Vector, v1: Vector, shape: readonly number[], t: number, by: 'flatten' | 'row' | 'column'): Vector {
  if (by === 'flatten') return nuslerpVector(v0, v1, t);
  const dimension = by === 'row' ? lastDimension(shape) : 0;
  return perSlice([v0, v1], shape, dimension, ([a = v0, b = v1]) => nuslerpVector(a, b, t));
}

/** One exponential step at the weighted mean direction, times the weighted mean norm. */
export function multislerp(vectors: readonly Vector[], givenWeights: readonly number[], normalizeWeights = true, eps = 1e-8): Vector {
  const [only] = vectors;
  if (vectors.length === 1 && only !== undefined) return only;
  const total = normalizeWeights ? sum(givenWeights) : 1;
  const weights = givenWeights.map((one) => one / total);
  const units = vectors.map((vector) => scaled(vector, 1 / (norm(vector) + eps)));
  const direction = combination(units, weights);
  if (norm(direction) < eps) {
    if (vectors.length === 2) return combination(vectors, weights);
    throw new Error('the directions cancel');
  }
  const centre = scaled(direction, 1 / norm(direction));
  const tangents = units.map((unit) => minus(unit, scaled(centre, dot(unit, centre))));
  const tangent = combination(tangents, weights);
  const angle = norm(tangent) + eps;
  const length = sum(vectors.map((vector, index) => norm(vector) * at(weights, index)));
  return scaled(combination([centre, tangent], [Math.cos(angle), Math.sin(angle) / angle]), length);
}

/** Mean on the sphere of equal weights, times the mean norm. Vectors of norm up to `tol` have no direction and count in the norm only. */
export function karcher(vectors: readonly Vector[], maxIterations = 10, tol = 1e-5): Vector {
  const length = mean(vectors.map(norm));
  const units = vectors.filter((vector) => norm(vector) > tol).map((vector) => scaled(vector, 1 / norm(vector)));
  const [first] = units;
  if (first === undefined) return scaled(vectors[0] ?? new Float64Array(), 0);
  const start = meanVector(units);
  let centre = norm(start) < tol ? first : scaled(start, 1 / norm(start));
  for (let round = 0; round < maxIterations; round++) {
    const from = centre;
    const tangents = units.map((unit) => {
      const cosine = clampCosine(dot(from, unit));
      const theta = Math.acos(cosine);
      return scaled(minus(unit, scaled(from, cosine)), theta < tol ? 0 : theta / Math.sin(theta));
    });
    const tangent = meanVector(tangents);
    const angle = norm(tangent);
    if (angle < tol) break;
    const moved = plus(scaled(from, Math.cos(angle)), scaled(tangent, Math.sin(angle) / angle));
    centre = scaled(moved, 1 / norm(moved));
  }
  return scaled(centre, length);
}

/** Model Stock's t (arXiv 2403.19522) from the mean of pairwise cosines; held to [0, 1], and so 0 where they point apart, unless as mergekit has it. */
export function modelStockRatio(offsets: readonly Vector[], quirks?: Quirks): number {
  const cosines = offsets.flatMap((a, index) =>
    offsets
      .slice(index + 1)
      .map((b) => clampCosine(dot(a, b) / Math.max(norm(a) * norm(b), quirks === 'mergekit' ? 1e-6 : Number.MIN_VALUE))),
  );
  const cosine = mean(cosines);
  const ratio = (offsets.length * cosine) / (1 + (offsets.length - 1) * cosine);
  if (quirks === 'mergekit') return ratio;
  return cosine <= 0 ? 0 : Math.min(1, ratio);
}

/** V = t x mean of the offsets, per tensor or per row. */
export function modelStock(offsets: readonly Vector[], shape: readonly number[], filterWise: boolean, quirks?: Quirks): Vector {
  const rule = (vectors: readonly Vector[]): Vector => scaled(meanVector(vectors), modelStockRatio(vectors, quirks));
  return filterWise ? perSlice(offsets, shape, lastDimension(shape), rule) : rule(offsets);
}
