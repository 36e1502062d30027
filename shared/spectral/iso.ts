/** Isotropic merging (arXiv 2502.04959): the merged matrix keeps its directions and gets one singular value for all of them. */
import type { LinearAlgebra, Matrix, Reals } from '../linalg/linear-algebra.js';
import { commonShape, squaredNorm, sumOf, toDouble, toSingle } from './matrices.js';
import { polar } from './polar.js';
import { RANK_TOLERANCE, type Triples, topTriples } from './triples.js';
import { mergeTriples } from './tsv.js';

/**
 * Iso-C (arXiv 2502.04959): U diag(mean of s) V^T of the sum of the tasks. The mean is over all min(rows, columns) singular
 * values, also those that are zero; directions that do not exist (triples.ts) stay zero instead of being given that mean along vectors
 * nobody chose. A zero matrix stays zero.
 * @throws LINALG_FAILED
 */
export function isoC(la: LinearAlgebra, sum: Matrix<Reals>): Matrix {
  const { factor, values } = polar(la, sum);
  return toSingle(factor, mean(values));
}

/**
 * Iso-CTS (arXiv 2502.04959): the leading directions of the sum (the common space), filled up with the leading
 * directions that each task has outside of it, orthogonalised as in TSV-M, with one singular value: the mean over all min(rows, columns).
 * For T >= 1 tasks of n = min(rows, columns), each gets round((n - trunc(fraction n)) / T) directions of its own (half to even, as the
 * authors' code; fewer where T times as many would exceed n), and the common space gets the rest. Where no task gets any, this is Iso-C.
 * Directions that do not exist (triples.ts), of a task: beside the common part of it, are left out; they count as zeros in the mean.
 * @param commonFraction in [0, 1], the authors' choice is 0.8
 * @throws LINALG_FAILED
 */
export function isoCts(la: LinearAlgebra, vectors: readonly Matrix[], commonFraction: number): Matrix {
  const { rows, columns } = commonShape(vectors);
  const short = Math.min(rows, columns);
  const sum = sumOf(vectors);
  const own = Math.min(Math.floor(short / vectors.length), roundHalfToEven((short - Math.trunc(short * commonFraction)) / vectors.length));
  if (own === 0 || vectors.length === 1) return isoC(la, sum);
  const common = topTriples(la, sum, short - own * vectors.length);
  const triples = vectors.map((vector) => triplesOutside(la, vector, common, own)).concat(common);
  const total = triples.reduce((acc, { s }) => acc + s.reduce((partial, value) => partial + value, 0), 0);
  return mergeTriples(la, triples, { rows, columns }, total / short);
}

/** Of what the left vectors of `common` leave of a matrix; its noise is relative to the whole matrix. */
function triplesOutside(la: LinearAlgebra, vector: Matrix, { ut }: Triples, count: number): Triples {
  const rest = toDouble(vector);
  if (ut.rows > 0) la.gemm(ut, la.gemm(ut, rest), { transposeA: true, alpha: -1, into: rest, beta: 1 });
  return topTriples(la, rest, count, RANK_TOLERANCE * Math.sqrt(squaredNorm(vector.data)));
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return above > 0.5 ? floor + 1 : floor;
}
