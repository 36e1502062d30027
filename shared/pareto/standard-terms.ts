/**
 * The terms of a quadratic in coordinates where every number is about 1: coefficients shifted and stretched to [-1, 1] over the points, terms
 * shifted to (weighted) mean 0 and stretched to variance 1 (or less, where curvature is unlikely). A ridge treats all terms alike there, and the constant is what is left over.
 */
import { timesRows } from './dense.js';
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

/** A square matrix by rows that have few values other than 0: those of row r stand from starts[r] to starts[r + 1]. */
interface SparseRows {
  readonly starts: Int32Array;
  readonly columns: Int32Array;
  readonly values: Float64Array;
}

/**
 * Row k of the result: what parameter k of the quadratic in standard terms contributes to the parameters of the quadratic in c. Terms are
 * scale (term in u - mean), and u_i = stretch_i c_i - shift_i. The constant comes last in every row.
 */
function substitution(stretch: Float64Array, shift: Float64Array, means: Float64Array, scales: Float64Array): SparseRows {
  const n = stretch.length;
  const size = quadraticSize(n);
  const linear = size - 1 - n;
  const starts = new Int32Array(size + 1);
  const columns = new Int32Array(4 * size);
  const values = new Float64Array(4 * size);
  let at = 0;
  let term = 0;
  const add = (column: number, value: number): void => {
    columns[at] = column;
    values[at++] = value * (scales[term] as number);
  };
  const end = (constant: number): void => {
    add(size - 1, constant - (means[term] as number));
    starts[++term] = at;
  };
  for (let i = 0; i < n; i++) {
    const [a, b] = [stretch[i] as number, shift[i] as number];
    add(i, a * a);
    add(linear + i, -2 * a * b);
    end(b * b);
  }
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      const [a, b, c, d] = [stretch[i] as number, shift[i] as number, stretch[j] as number, shift[j] as number];
      add(term, a * c);
      add(linear + i, -a * d);
      add(linear + j, -b * c);
      end(b * d);
    }
  for (let i = 0; i < n; i++) {
    add(linear + i, stretch[i] as number);
    end(-(shift[i] as number));
  }
  end(1);
  return { starts, columns, values };
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
    let low = Infinity;
    let high = -Infinity;
    for (const point of points) {
      low = Math.min(low, point[i] as number);
      high = Math.max(high, point[i] as number);
    }
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
  const means = timesRows(rows, size, weights).map((sum) => sum / total);
  means[size - 1] = 0;
  const spreads = new Float64Array(size);
  for (let row = 0, at = 0; row < points.length; row++)
    for (let term = 0; term < size; term++, at++) {
      const centred = (rows[at] as number) - (means[term] as number);
      rows[at] = centred;
      spreads[term] = (spreads[term] as number) + (weights[row] as number) * centred * centred;
    }
  const scales = spreads.map((spread, term) => {
    if (term === size - 1) return 1;
    const deviation = Math.sqrt(spread / total);
    return deviation > SAME ? (term < size - 1 - dimensions ? curvature : 1) / deviation : 0;
  });
  for (let row = 0, at = 0; row < points.length; row++)
    for (let term = 0; term < size; term++, at++) rows[at] = (rows[at] as number) * (scales[term] as number);

  const { starts, columns, values } = substitution(stretch, shift, means, scales);
  const toParameters = (standard: Float64Array): Float64Array => {
    const parameters = new Float64Array(size);
    for (let term = 0; term < size; term++)
      for (let at = starts[term] as number; at < (starts[term + 1] as number); at++) {
        const column = columns[at] as number;
        parameters[column] = (parameters[column] as number) + (standard[term] as number) * (values[at] as number);
      }
    return parameters;
  };
  const toCovariance = (standard: Float64Array): Float64Array => {
    const covariance = new Float64Array(size * size);
    for (let term = 0; term < size; term++) {
      const half = toParameters(standard.subarray(term * size, (term + 1) * size));
      for (let at = starts[term] as number; at < (starts[term + 1] as number); at++) {
        const value = values[at] as number;
        const row = (columns[at] as number) * size;
        for (let k = 0; k < size; k++) covariance[row + k] = (covariance[row + k] as number) + value * (half[k] as number);
      }
    }
    return covariance;
  };
  return { size, rows, toParameters, toCovariance };
}
