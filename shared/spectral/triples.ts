/**
 * Singular triples by the way of the Gram matrix of the shorter side, which costs a fraction of a full decomposition, and the full
 * decomposition where squaring the singular values would lose too much. Everything that is divided by a singular value is fp64.
 *
 * Which directions exist: a matrix of fp32 elements, or a sum of a few, carries rounding noise of spectral norm below about 6e-8 of its
 * largest singular value, and values from a Gram matrix are known to about 1e-8 of it. A direction whose value is at most 2^-22 (2.4e-7)
 * of the largest is therefore taken to be absent. Absent directions are left out wherever a method would give them a length of their own
 * (flat spectra, orthogonal factors): what points where no input points would be an accident of the library.
 */
import type { LinearAlgebra, Matrix, Reals } from '../linalg/linear-algebra.js';
import { asDouble, transpose, withScaledRows } from './matrices.js';

export const RANK_TOLERANCE = 2 ** -22;

/** Largest relative error (Frobenius) that the way by the Gram matrix may bring into a matrix with orthonormal rows. */
const GRAM_ERROR_LIMIT = 1e-6;

/** Row i of `ut` (count x rows) and of `vt` (count x columns) are the singular vectors of s[i]; descending, all above the tolerance. */
export interface Triples {
  readonly ut: Matrix<Float64Array>;
  readonly s: Float64Array;
  readonly vt: Matrix<Float64Array>;
}

/** How many of the descending values are above RANK_TOLERANCE of the largest and above `floor`. */
export function numericalRank(values: ArrayLike<number>, floor = 0): number {
  const threshold = Math.max(RANK_TOLERANCE * (values[0] ?? 0), floor);
  let rank = 0;
  while (rank < values.length && (values[rank] ?? 0) > threshold) rank += 1;
  return rank;
}

/**
 * Whether vectors of the longer side of the first `rank` triples, and polar factors over them, may come from an fp64 Gram matrix. Its own
 * error E has a norm of about 2^-52 s_1^2, and in the i-th direction (G + E)^(-1/2) is off by E / s_i^2 relative to what it should be.
 */
export function gramSuffices(values: ArrayLike<number>, rank: number): boolean {
  const largest = values[0] ?? 0;
  let sum = 0;
  for (let i = 0; i < rank; i++) sum += (largest / (values[i] ?? 0)) ** 4;
  return 2 ** -52 * Math.sqrt(sum / Math.max(1, rank)) <= GRAM_ERROR_LIMIT;
}

/**
 * The triples of the `count` largest singular values, fewer where the rank is lower.
 * @param floor values at or below it count as absent too
 * @throws LINALG_FAILED
 */
export function topTriples(la: LinearAlgebra, a: Matrix<Reals>, count: number, floor = 0): Triples {
  const spectrum = la.spectrum(a);
  const rank = Math.min(count, numericalRank(spectrum.values, floor));
  if (rank === 0) return cut(a, { s: new Float64Array(0) });
  if (!gramSuffices(spectrum.values, rank)) {
    const { u, s, vt } = la.svd(asDouble(a));
    return cut(a, { ut: transpose(u), s: s.subarray(0, Math.min(count, numericalRank(s, floor))), vt });
  }
  const s = spectrum.values.slice(0, rank);
  const vectors = spectrum.vectors(rank);
  const right = spectrum.side === 'right';
  const other = right ? la.gemm(vectors, asDouble(a), { transposeB: true }) : la.gemm(vectors, asDouble(a));
  const scaled = withScaledRows(
    other,
    s.map((value) => 1 / value),
  );
  return right ? { ut: scaled, s, vt: vectors } : { ut: vectors, s, vt: scaled };
}

function cut({ rows, columns }: Matrix<Reals>, { ut, s, vt }: Partial<Triples> & Pick<Triples, 's'>): Triples {
  const first = (matrix: Matrix<Float64Array> | undefined, width: number) => ({
    rows: s.length,
    columns: width,
    data: matrix === undefined ? new Float64Array(0) : matrix.data.subarray(0, s.length * width),
  });
  return { ut: first(ut, rows), s, vt: first(vt, columns) };
}

export interface ProductOptions<T extends Reals> {
  readonly alpha?: number | undefined;
  readonly into?: Matrix<T> | undefined;
  readonly beta?: number | undefined;
}

/**
 * alpha a X^T Y (`right`) or alpha X^T Y a (`left`) + beta into, for X and Y of count x (length of that side): through the longer side or
 * through the square X^T Y, whichever takes fewer operations.
 */
export function throughSide<T extends Reals>(
  la: LinearAlgebra,
  a: Matrix<T>,
  side: 'left' | 'right',
  x: Matrix<T>,
  y: Matrix<T>,
  options: ProductOptions<T> = {},
): Matrix<T> {
  const { rows, columns } = a;
  const [short, long] = side === 'right' ? [columns, rows] : [rows, columns];
  const throughLong = 2 * long * x.rows < short * (x.rows + long);
  if (side === 'right') {
    if (throughLong) return la.gemm(la.gemm(a, x, { transposeB: true }), y, options);
    return la.gemm(a, la.gemm(x, y, { transposeA: true }), options);
  }
  if (throughLong) return la.gemm(x, la.gemm(y, a), { ...options, transposeA: true });
  return la.gemm(la.gemm(x, y, { transposeA: true }), a, options);
}
