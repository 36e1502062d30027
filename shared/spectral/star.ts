/**
 * STAR, spectral truncate and rescale (arXiv 2502.10339): keep the leading singular values that make up the share eta of their
 * sum, and stretch them so that the sum (the nuclear norm) is what it was. Every kept value grows by the same factor, so the result is
 * factor x (projection of the matrix on its leading singular space), and no singular vectors of the longer side are needed.
 * Equal values on both sides of the cut leave the space, and so the result, to the engine.
 */
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { type Factors, projectionFactors } from './factors.js';
import { squaredNorm, toSingle, zeros } from './matrices.js';
import { throughSide } from './triples.js';

export interface StarCut {
  /** How many singular values stay. */
  readonly rank: number;
  /** Sum of all over sum of the kept ones; 0 for a zero matrix. */
  readonly factor: number;
}

export interface StarFactors extends StarCut, Factors {
  /** Distance of left right from the original matrix, relative to its norm (Frobenius). */
  readonly error: number;
}

/**
 * The smallest r in [1, k] with s_1 + ... + s_r >= eta/100 of the sum, less 1e-12 of that; {0, 0} where all are zero.
 * @param values descending, none negative
 * @param eta percent kept, (0, 100]
 */
export function starCut(values: Float64Array, eta: number): StarCut {
  const all = values.reduce((sum, value) => sum + value, 0);
  if (all === 0) return { rank: 0, factor: 0 };
  const target = (eta / 100) * all * (1 - 1e-12);
  let kept = values[0] ?? 0;
  let rank = 1;
  while (kept < target && rank < values.length) {
    kept += values[rank] ?? 0;
    rank += 1;
  }
  return { rank, factor: all / kept };
}

/**
 * Adds weight x STAR(a) to `into`, fp32; within 1e-5 of the definition relative to its norm. When nothing is cut off, `a` itself is added.
 * At eta = 100 nothing is decomposed, and the rank returned is min(rows, columns).
 * @param into of the shape of `a`
 * @throws LINALG_FAILED
 */
export function addStar(la: LinearAlgebra, a: Matrix, eta: number, weight: number, into: Matrix): StarCut {
  const full = Math.min(a.rows, a.columns);
  if (eta >= 100) {
    if (squaredNorm(a.data) === 0) return { rank: 0, factor: 0 };
    addScaled(a, weight, into);
    return { rank: full, factor: 1 };
  }
  const spectrum = la.spectrum(a);
  const { rank, factor } = starCut(spectrum.values, eta);
  if (rank === full) addScaled(a, weight, into);
  else if (rank > 0) {
    const vectors = toSingle(spectrum.vectors(rank));
    throughSide(la, a, spectrum.side, vectors, vectors, { alpha: weight * factor, into, beta: 1 });
  }
  return { rank, factor };
}

function addScaled({ data }: Matrix, weight: number, into: Matrix): void {
  for (let i = 0; i < data.length; i++) into.data[i] = (into.data[i] ?? 0) + weight * (data[i] ?? 0);
}

/**
 * STAR(a) as left (rows x rank) times right (rank x columns), balanced: column i of left and row i of right have equal norms.
 * Kept directions without length become zero columns and rows.
 * @throws LINALG_FAILED
 */
export function starFactors(la: LinearAlgebra, a: Matrix, eta: number): StarFactors {
  const spectrum = la.spectrum(a);
  const cut = starCut(spectrum.values, eta);
  if (cut.rank === 0) return { ...cut, left: zeros(a.rows, 0), right: zeros(0, a.columns), error: 0 };
  return { ...cut, ...projectionFactors(la, a, spectrum, cut), error: starError(spectrum.values, cut) };
}

/** Relative Frobenius distance between a spectrum and what the cut makes of it. */
export function starError(values: Float64Array, { rank, factor }: StarCut): number {
  let apart = 0;
  let all = 0;
  for (let i = values.length - 1; i >= 0; i--) {
    const value = values[i] ?? 0;
    apart += (i < rank ? (factor - 1) * value : value) ** 2;
    all += value ** 2;
  }
  return all === 0 ? 0 : Math.sqrt(apart / all);
}
