import type { LinearAlgebra, Matrix, Reals } from '../linalg/linear-algebra.js';
import { asDouble, withScaledRows } from './matrices.js';
import { gramSuffices, numericalRank, throughSide } from './triples.js';

export interface Polar {
  /** rows x columns: U V^T over the directions that exist (triples.ts), the closest matrix to `a` whose singular values are all 1 there. */
  readonly factor: Matrix<Float64Array>;
  /** All min(rows, columns) singular values of `a`, descending. */
  readonly values: Float64Array;
}

/**
 * The orthogonal factor of the polar decomposition, the solution of the orthogonal Procrustes problem: a (a^T a)^(-1/2) by the eigenvectors
 * of the Gram matrix of the shorter side, in fp64; by a full decomposition where that would lose more than 1e-6.
 * @throws LINALG_FAILED
 */
export function polar(la: LinearAlgebra, a: Matrix<Reals>): Polar {
  const spectrum = la.spectrum(a);
  const { values, side } = spectrum;
  const rank = numericalRank(values);
  if (rank === 0) return { factor: { ...a, data: new Float64Array(a.rows * a.columns) }, values };
  if (!gramSuffices(values, rank)) return polarBySvd(la, a);
  const vectors = spectrum.vectors(rank);
  const scaled = withScaledRows(
    vectors,
    values.subarray(0, rank).map((value) => 1 / value),
  );
  return { factor: throughSide(la, asDouble(a), side, vectors, scaled), values };
}

function polarBySvd(la: LinearAlgebra, a: Matrix<Reals>): Polar {
  const { u, s, vt } = la.svd(asDouble(a));
  const rank = numericalRank(s);
  const present = Float64Array.from(s, (_, index) => (index < rank ? 1 : 0));
  const factor = rank === s.length ? la.gemm(u, vt) : la.gemm(u, withScaledRows(vt, present));
  return { factor, values: s };
}
