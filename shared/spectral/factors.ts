/** Pairs of factors as they are stored and sent: balanced, fp32, with signs that do not depend on the engine. */
import type { LinearAlgebra, Matrix, Reals, Spectrum } from '../linalg/linear-algebra.js';
import { squaredNorm, toSingle, zeros } from './matrices.js';

export interface Factors {
  /** rows x rank. */
  readonly left: Matrix;
  /** rank x columns. */
  readonly right: Matrix;
}

/** How much of a spectrum to keep: at most `rank` values, and the fewest whose squares are the share `energy` of all squares. */
export interface FactorSize {
  readonly rank?: number | undefined;
  /** In (0, 1]. */
  readonly energy?: number | undefined;
}

/**
 * Column i of `left` is leftScales[i] times row i of `ut`, row i of `right` is rightScales[i] times row i of `vt`; both change sign where
 * needed so that the entry of largest magnitude of the left column (the first of equals) is positive.
 */
function signedFactors(
  ut: Matrix<Reals>,
  leftScales: ArrayLike<number>,
  vt: Matrix<Reals>,
  rightScales: ArrayLike<number>,
  rank: number,
): Factors {
  const left = zeros(ut.columns, rank);
  const right = zeros(rank, vt.columns);
  for (let i = 0; i < rank; i++) {
    const sign = signOfLargest(ut.data, i * ut.columns, (i + 1) * ut.columns);
    const a = sign * (leftScales[i] ?? 0);
    const b = sign * (rightScales[i] ?? 0);
    for (let j = 0; j < ut.columns; j++) left.data[j * rank + i] = a * (ut.data[i * ut.columns + j] ?? 0);
    for (let j = 0; j < vt.columns; j++) right.data[i * vt.columns + j] = b * (vt.data[i * vt.columns + j] ?? 0);
  }
  return { left, right };
}

function signOfLargest(data: Reals, from: number, to: number): 1 | -1 {
  let largest = 0;
  for (let i = from; i < to; i++) if (Math.abs(data[i] ?? 0) > Math.abs(largest)) largest = data[i] ?? 0;
  return largest < 0 ? -1 : 1;
}

/** Of unit singular vectors: both sides take the square root of the value. */
export function balancedFactors(ut: Matrix<Reals>, values: ArrayLike<number>, vt: Matrix<Reals>, rank: number): Factors {
  const roots = Float64Array.from({ length: rank }, (_, index) => Math.sqrt(values[index] ?? 0));
  return signedFactors(ut, roots, vt, roots, rank);
}

/**
 * factor times the projection of `a` on its `rank` leading singular directions, rank > 0, balanced. The vectors of the longer side are not
 * divided by singular values but by their own lengths, which cancel in the product: it is exact to fp32 whatever the values.
 */
export function projectionFactors(
  la: LinearAlgebra,
  a: Matrix,
  spectrum: Spectrum,
  { rank, factor }: { readonly rank: number; readonly factor: number },
): Factors {
  const vectors = toSingle(spectrum.vectors(rank));
  const right = spectrum.side === 'right';
  const other = right ? la.gemm(vectors, a, { transposeB: true }) : la.gemm(vectors, a);
  const lengths = Float64Array.from({ length: rank }, (_, i) =>
    Math.sqrt(squaredNorm(other.data.subarray(i * other.columns, (i + 1) * other.columns))),
  );
  const ofOther = lengths.map((length) => (length === 0 ? 0 : Math.sqrt(factor / length)));
  const ofVectors = lengths.map((length) => Math.sqrt(factor * length));
  return right ? signedFactors(other, ofOther, vectors, ofVectors, rank) : signedFactors(vectors, ofVectors, other, ofOther, rank);
}

/**
 * @param values descending
 * @param numerical how many of them are not noise; what is kept when `size` asks for nothing, and never exceeded
 * @returns the rank to keep, and what is cut off relative to the whole (Frobenius norm)
 */
export function rankToKeep(values: Float64Array, numerical: number, { rank, energy }: FactorSize): { rank: number; error: number } {
  /** Of values from i on; summed from the smallest. */
  const tails = new Float64Array(values.length + 1);
  for (let i = values.length - 1; i >= 0; i--) tails[i] = (tails[i + 1] ?? 0) + (values[i] ?? 0) ** 2;
  const all = tails[0] ?? 0;
  if (numerical === 0) return { rank: 0, error: 0 };
  let kept = Math.min(numerical, rank ?? numerical);
  if (energy !== undefined && energy < 1) {
    const mayGo = (1 - energy + 1e-12) * all;
    let enough = 0;
    while (enough < kept && (tails[enough] ?? 0) > mayGo) enough += 1;
    kept = enough;
  }
  return { rank: kept, error: Math.sqrt((tails[kept] ?? 0) / all) };
}
