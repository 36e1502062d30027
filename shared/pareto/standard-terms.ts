/**
 * The terms of a quadratic in coordinates where every number is about 1: coefficients shifted and stretched to [-1, 1] over the points, terms
 * shifted to (weighted) mean 0 and stretched to variance 1 (or less, where curvature is unlikely). A ridge treats all terms alike there, and the constant is what is left over.
 */
import { quadraticSize, quadraticTerms } from './quadratic.js';

export interface StandardTerms {
  /** Number of terms, the constant (the last) included. */
  readonly size: number;
  /** Points x size; the constant's column is 1, that of a term which does not vary is 0. */
  readonly rows: Float64Array;
  /** Parameters of the quadratic in the coefficients themselves, from those of the standard terms. */
  readonly toParameters: (standard: Float64Array) => Float64Array;
  /** The same for their covariance, size x size. */
  readonly toCovariance: (standard: Float64Array) => Float64Array;
}

/** A term that varies by less than this share of its size does not vary. */
const SAME = 1e-12;
/** Coefficients are about 1; what differs by less came through text. */
const SAME_COORDINATE = 1e-9;

/**
 * Row k of the result: what parameter k of the quadratic in u contributes to the parameters of the quadratic in c, u_i = stretch_i c_i - shift_i.
 */
function substitution(stretch: Float64Array, shift: Float64Array): Float64Array {
  const n = stretch.length;
  const size = quadraticSize(n);
  const linear = size - 1 - n;
  const rows = new Float64Array(size * size);
  let cross = n;
  for (let i = 0; i < n; i++) {
    const [a, b] = [stretch[i] as number, shift[i] as number];
    rows[i * size + i] = a * a;
    rows[i * size + linear + i] = -2 * a * b;
    rows[i * size + size - 1] = b * b;
    rows[(linear + i) * size + linear + i] = a;
    rows[(linear + i) * size + size - 1] = -b;
    for (let j = i + 1; j < n; j++, cross++) {
      const [c, d] = [stretch[j] as number, shift[j] as number];
      rows[cross * size + cross] = a * c;
      rows[cross * size + linear + i] = -a * d;
      rows[cross * size + linear + j] = -b * c;
      rows[cross * size + size - 1] = b * d;
    }
  }
  rows[size * size - 1] = 1;
  return rows;
}

/**
 * @param weights one a point, their sum above 0
 * @param curvature deviation that squares and cross terms are stretched to: a ridge holds those back more where it is below 1
 */
export function standardTerms(
  dimensions: number,
  points: readonly (readonly number[])[],
  weights: Float64Array,
  curvature: number,
): StandardTerms {
  const size = quadraticSize(dimensions);
  const stretch = new Float64Array(dimensions);
  const shift = new Float64Array(dimensions);
  for (let i = 0; i < dimensions; i++) {
    const values = points.map((point) => point[i] as number);
    const low = values.reduce((least, value) => Math.min(least, value), Infinity);
    const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
    const half = (high - low) / 2;
    if (half <= SAME_COORDINATE) continue;
    stretch[i] = 1 / half;
    shift[i] = (low + half) / half;
  }
  const rows = new Float64Array(points.length * size);
  const u = new Float64Array(dimensions);
  for (const [row, point] of points.entries()) {
    for (let i = 0; i < dimensions; i++) u[i] = (point[i] as number) * (stretch[i] as number) - (shift[i] as number);
    quadraticTerms(u, rows, row * size);
  }

  let total = 0;
  for (const weight of weights) total += weight;
  const means = new Float64Array(size);
  const scales = new Float64Array(size).fill(1);
  for (let term = 0; term + 1 < size; term++) {
    let sum = 0;
    for (let row = 0; row < points.length; row++) sum += (weights[row] as number) * (rows[row * size + term] as number);
    const mean = sum / total;
    let spread = 0;
    for (let row = 0; row < points.length; row++) {
      const centred = (rows[row * size + term] as number) - mean;
      rows[row * size + term] = centred;
      spread += (weights[row] as number) * centred * centred;
    }
    const deviation = Math.sqrt(spread / total);
    const scale = deviation > SAME ? (term < size - 1 - dimensions ? curvature : 1) / deviation : 0;
    for (let row = 0; row < points.length; row++) rows[row * size + term] = (rows[row * size + term] as number) * scale;
    means[term] = mean;
    scales[term] = scale;
  }

  // Parameters of standard terms -> parameters of terms in u -> parameters of terms in c; transposed, row by row.
  const change = substitution(stretch, shift);
  for (let term = 0; term + 1 < size; term++) {
    const row = term * size;
    change[row + size - 1] = (change[row + size - 1] as number) - (means[term] as number);
    for (let k = 0; k < size; k++) change[row + k] = (change[row + k] as number) * (scales[term] as number);
  }
  // A term changes at most four parameters.
  const touched = Array.from({ length: size }, (_, term) =>
    Array.from({ length: size }, (_value, k) => k).filter((k) => change[term * size + k] !== 0),
  );
  const toParameters = (standard: Float64Array): Float64Array => {
    const parameters = new Float64Array(size);
    for (let term = 0; term < size; term++) {
      const value = standard[term] as number;
      for (const k of touched[term] as readonly number[])
        parameters[k] = (parameters[k] as number) + value * (change[term * size + k] as number);
    }
    return parameters;
  };
  const toCovariance = (standard: Float64Array): Float64Array => {
    const half = new Float64Array(size * size);
    for (let row = 0; row < size; row++) half.set(toParameters(standard.subarray(row * size, (row + 1) * size)), row * size);
    const covariance = new Float64Array(size * size);
    const column = new Float64Array(size);
    for (let k = 0; k < size; k++) {
      for (let row = 0; row < size; row++) column[row] = half[row * size + k] as number;
      covariance.set(toParameters(column), k * size);
    }
    return covariance;
  };
  return { size, rows, toParameters, toCovariance };
}
