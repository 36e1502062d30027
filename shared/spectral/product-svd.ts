/**
 * Decompositions of products (LoRA) that are never written out: with left = Q_l R_l and right^T = Q_r R_r, the product scale left right has
 * the singular values of the core R_l R_r^T, and its vectors are Q_l and Q_r times those of the core. All in fp64; exact for any rank, also
 * above rows or columns. Cost: (rows + columns) rank^2, where the full matrix takes rows x columns x min(rows, columns).
 */
import type { LinearAlgebra, Matrix, Reals } from '../linalg/linear-algebra.js';
import { balancedFactors } from './factors.js';
import { asDouble, firstRows, toDouble, transpose, zeros } from './matrices.js';
import { type StarFactors, starCut, starError } from './star.js';
import type { Triples } from './triples.js';

/** scale left right, with left rows x r and right r x columns. */
export interface Product {
  readonly left: Matrix;
  readonly right: Matrix;
  readonly scale: number;
}

interface Core {
  /** rows x kl and columns x kr, orthonormal columns, kl = min(rows, r), kr = min(columns, r). */
  readonly rowBasis: Matrix<Float64Array>;
  readonly columnBasis: Matrix<Float64Array>;
  /** kl x kr. */
  readonly core: Matrix<Float64Array>;
}

function coreOf(la: LinearAlgebra, left: Matrix<Reals>, right: Matrix<Reals>): Core {
  const { q: rowBasis, r: upper } = la.qr(asDouble(left));
  const { q: columnBasis, r: lower } = la.qr(transpose(asDouble(right)));
  return { rowBasis, columnBasis, core: la.gemm(upper, lower, { transposeB: true }) };
}

/**
 * All min(rows, columns, r) triples of left right, for r > 0; noise is not left out.
 * @throws LINALG_FAILED
 */
export function productTriples(la: LinearAlgebra, left: Matrix<Reals>, right: Matrix<Reals>): Triples {
  const { rowBasis, columnBasis, core } = coreOf(la, left, right);
  const { u, s, vt } = la.svd(core);
  return {
    ut: la.gemm(u, rowBasis, { transposeA: true, transposeB: true }),
    s,
    vt: la.gemm(vt, columnBasis, { transposeB: true }),
  };
}

/**
 * The min(rows, columns, r) singular values that can be other than zero, descending.
 * @throws LINALG_FAILED
 */
export function productSpectrum(la: LinearAlgebra, { left, right, scale }: Product): Float64Array {
  if (left.columns === 0) return new Float64Array(0);
  const { core } = coreOf(la, left, right);
  return la.singularValues(core).map((value) => Math.abs(scale) * value);
}

/**
 * STAR of a product by its core (arXiv 2502.10339), as balanced factors.
 * @param eta percent kept, (0, 100]
 * @throws LINALG_FAILED
 */
export function starProduct(la: LinearAlgebra, { left, right, scale }: Product, eta: number): StarFactors {
  const nothing = { rank: 0, factor: 0, left: zeros(left.rows, 0), right: zeros(0, right.columns), error: 0 };
  if (left.columns === 0 || scale === 0) return nothing;
  const scaled = toDouble(left);
  for (let i = 0; i < scaled.data.length; i++) scaled.data[i] = scale * (scaled.data[i] ?? 0);
  const { ut, s, vt } = productTriples(la, scaled, right);
  const cut = starCut(s, eta);
  if (cut.rank === 0) return nothing;
  const stretched = s.map((value) => cut.factor * value);
  const factors = balancedFactors(firstRows(ut, cut.rank), stretched, firstRows(vt, cut.rank), cut.rank);
  return { ...cut, ...factors, error: starError(s, cut) };
}
