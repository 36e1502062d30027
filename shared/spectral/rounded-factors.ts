/** What rounding the factors of a truncated matrix does to their product, in the time that it takes to read them. */
import type { Factors } from './factors.js';

/** Squared norm of column i of left (i < rank), with `taken` off where it is given. */
function columnNorms({ left }: Factors, taken?: Factors): Float64Array {
  const norms = new Float64Array(left.columns);
  for (let at = 0; at < left.data.length; at += left.columns)
    for (let i = 0; i < left.columns; i++) norms[i] = (norms[i] ?? 0) + ((left.data[at + i] ?? 0) - (taken?.left.data[at + i] ?? 0)) ** 2;
  return norms;
}

/** The same of row i of right. */
function rowNorms({ right }: Factors, taken?: Factors): Float64Array {
  const norms = new Float64Array(right.rows);
  for (let i = 0; i < right.rows; i++) {
    let sum = 0;
    for (let at = i * right.columns; at < (i + 1) * right.columns; at++) sum += ((right.data[at] ?? 0) - (taken?.right.data[at] ?? 0)) ** 2;
    norms[i] = sum;
  }
  return norms;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);

/** ||left right||_F of factors whose columns and rows stand at right angles to one another. */
export function factorsNorm(factors: Factors): number {
  return Math.sqrt(dot(columnNorms(factors), rowNorms(factors)));
}

/**
 * ||left right - left' right'||_F for factors as of `factorsNorm` and the same factors rounded, to a few percent: rounding errors of different
 * columns, and of the two factors, have nothing to do with one another. NaN or infinite when a rounded number is.
 */
export function roundingDistance(factors: Factors, rounded: Factors): number {
  return Math.sqrt(dot(columnNorms(factors, rounded), rowNorms(factors)) + dot(columnNorms(rounded), rowNorms(factors, rounded)));
}
