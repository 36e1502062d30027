/**
 * Sums of products of unequal ranks in product space: sum_t w_t c_t left_t right_t is one product of the factors side by side, whose exact
 * decomposition needs only a small core (product-svd.ts). Averaging the factors apart would average something else: the mean of products is
 * not the product of means (FLoRA, arXiv 2409.05976).
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { balancedFactors, type FactorSize, type Factors, projectionFactors, rankToKeep } from './factors.js';
import { firstRows, squaredNorm, stackRows, toDouble, zeros } from './matrices.js';
import { type Product, productTriples } from './product-svd.js';
import { numericalRank, type Triples } from './triples.js';

export interface WeightedProduct extends Product {
  readonly weight: number;
}

export interface TruncatedProduct extends Factors {
  readonly rank: number;
  /** Frobenius norm of what was cut off, relative to the whole. */
  readonly error: number;
  /** Singular values before the cut, descending: min(rows, columns, sum of ranks), or min(rows, columns) of a matrix. */
  readonly spectrum: Float64Array;
}

export interface AggregatedProduct extends TruncatedProduct {
  /** Of the whole sum, fp64; of a sum of zeros none. */
  readonly triples: Triples;
}

/**
 * sum_t weight_t scale_t left_t right_t as balanced factors, truncated to a size (Eckart-Young: no product of that rank is closer).
 * Without a size all directions above fp64 noise stay, and the factors are the sum to fp32.
 * @param parts left rows x r_t, right r_t x columns; at least one
 * @throws LINALG_FAILED
 */
export function aggregateProducts(la: LinearAlgebra, parts: readonly WeightedProduct[], size: FactorSize): AggregatedProduct {
  const { rows, columns } = commonProductShape(parts);
  const left = sideBySide(parts, rows);
  const right = stackRows(
    parts.map((part) => part.right),
    columns,
  );
  const reach = sumOfTermNorms(left, right);
  if (reach === 0) return { ...nothing(rows, columns, Math.min(rows, columns, left.columns)), triples: noTriples(rows, columns) };
  const triples = productTriples(la, left, right);
  const { ut, s, vt } = triples;
  /** Rounding in fp64 is relative to the terms, which may cancel in the sum. */
  const noise = 2 ** -46 * reach;
  const numerical = s.reduce((count, value) => (value > noise ? count + 1 : count), 0);
  const { rank, error } = rankToKeep(s, numerical, size);
  return { rank, error, spectrum: s, triples, ...balancedFactors(firstRows(ut, rank), s, firstRows(vt, rank), rank) };
}

const noTriples = (rows: number, columns: number): Triples => ({
  ut: toDouble(zeros(0, rows)),
  s: new Float64Array(0),
  vt: toDouble(zeros(0, columns)),
});

/** Frobenius norm of X Y from X^T X and Y Y^T, squared. */
const squaredProductNorm = (ofLeft: Matrix<Float64Array>, ofRight: Matrix<Float64Array>): number =>
  ofLeft.data.reduce((sum, value, index) => sum + value * (ofRight.data[index] ?? 0), 0);

/**
 * Frobenius norm of the sum less left right, exact to fp64 noise. Parts inside and outside of the sum's own directions stand at right angles,
 * so none is a difference of large numbers.
 */
export function distanceOfFactors(la: LinearAlgebra, { ut, s, vt }: Triples, factors: Factors): number {
  const [left, right] = [toDouble(factors.left), toDouble(factors.right)];
  const leftInside = la.gemm(ut, left);
  const rightInside = la.gemm(right, vt, { transposeB: true });
  const core = la.gemm(leftInside, rightInside, { alpha: -1 });
  for (let i = 0; i < s.length; i++) core.data[i * s.length + i] = (core.data[i * s.length + i] ?? 0) + (s[i] ?? 0);
  la.gemm(ut, leftInside, { transposeA: true, alpha: -1, beta: 1, into: left });
  la.gemm(rightInside, vt, { alpha: -1, beta: 1, into: right });
  const [insideLeft, outsideLeft] = [la.gram(leftInside, 'right'), la.gram(left, 'right')];
  const [insideRight, outsideRight] = [la.gram(rightInside, 'left'), la.gram(right, 'left')];
  const outside =
    squaredProductNorm(insideLeft, outsideRight) +
    squaredProductNorm(outsideLeft, insideRight) +
    squaredProductNorm(outsideLeft, outsideRight);
  return Math.sqrt(squaredNorm(core.data) + Math.max(0, outside));
}

/**
 * A matrix as balanced factors, truncated to a size; without one, to its numerical rank in fp32 (triples.ts).
 * @throws LINALG_FAILED
 */
export function truncateMatrix(la: LinearAlgebra, a: Matrix, size: FactorSize): TruncatedProduct {
  const spectrum = la.spectrum(a);
  const { values } = spectrum;
  const { rank, error } = rankToKeep(values, numericalRank(values), size);
  if (rank === 0) return { ...nothing(a.rows, a.columns, 0), error, spectrum: values };
  return { rank, error, spectrum: values, ...projectionFactors(la, a, spectrum, { rank, factor: 1 }) };
}

function nothing(rows: number, columns: number, values: number): TruncatedProduct {
  return { rank: 0, error: 0, spectrum: new Float64Array(values), left: zeros(rows, 0), right: zeros(0, columns) };
}

/** weight x scale x left of every part, rows x (sum of ranks), fp64. */
function sideBySide(parts: readonly WeightedProduct[], rows: number): Matrix<Float64Array> {
  const columns = parts.reduce((sum, part) => sum + part.left.columns, 0);
  const data = new Float64Array(rows * columns);
  let offset = 0;
  for (const { left, scale, weight } of parts) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < left.columns; j++) data[i * columns + offset + j] = weight * scale * (left.data[i * left.columns + j] ?? 0);
    }
    offset += left.columns;
  }
  return { rows, columns, data };
}

/** Sum over j of |column j of left| |row j of right|: no singular value of the product is larger. */
function sumOfTermNorms(left: Matrix<Float64Array>, right: Matrix<Float64Array>): number {
  const squares = new Float64Array(left.columns);
  for (let i = 0; i < left.data.length; i++) squares[i % left.columns] = (squares[i % left.columns] ?? 0) + (left.data[i] ?? 0) ** 2;
  let sum = 0;
  for (let j = 0; j < left.columns; j++) {
    sum += Math.sqrt((squares[j] ?? 0) * squaredNorm(right.data.subarray(j * right.columns, (j + 1) * right.columns)));
  }
  return sum;
}

function commonProductShape(parts: readonly WeightedProduct[]): { readonly rows: number; readonly columns: number } {
  const [first] = parts;
  const fits = parts.every(
    ({ left, right }) => left.rows === first?.left.rows && right.columns === first.right.columns && left.columns === right.rows,
  );
  if (first === undefined || !fits) throw new TributaryError('INTERNAL', { what: 'products whose shapes do not fit cannot be added' });
  return { rows: first.left.rows, columns: first.right.columns };
}
