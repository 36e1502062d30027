/** One matrix as two factors of an adapter, in a worker thread: read, truncate, store, and measure how far off the stored factors are. */
import type { Kernels } from '../kernels/kernels.js';
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { aggregateProducts, distanceOfFactors, truncateMatrix, type WeightedProduct } from '../spectral/aggregate.js';
import type { Factors } from '../spectral/factors.js';
import { squaredNorm, transpose } from '../spectral/matrices.js';
import { starProduct } from '../spectral/product-svd.js';
import { createMatrixLoader, type MatrixLoader } from './load-matrix.js';
import type { FactoredMatrix, FactorTask, ProductTerm } from './matrix-job.js';
import { createSourceReader } from './source-reader.js';
import type { SourceTable } from './source-table.js';
import { createMatrixStorer, writeParts } from './store-matrix.js';

const norm = ({ data }: { readonly data: Float32Array | Float64Array }): number => Math.sqrt(squaredNorm(data));

/** Left is B and right is A; of a term that lies the other way round than the result, those of its transpose. */
function partOf(la: LinearAlgebra, loader: MatrixLoader, { input, product, weight, eta }: ProductTerm, turned: boolean): WeightedProduct {
  const { rows, columns, rank, scale, transposed } = product;
  const [left, right] = [loader.load(input, product.left, rows, rank), loader.load(input, product.right, rank, columns)];
  const part = transposed === turned ? { left, right, scale } : { left: transpose(right), right: transpose(left), scale };
  return eta === undefined ? { ...part, weight } : { ...starProduct(la, part, eta), scale: 1, weight };
}

/** Left is B and right is A. */
interface Made extends Factors {
  readonly rank: number;
  readonly norm: number;
  /** Norm of what is left of the matrix when the product of stored factors is taken off. */
  residualNorm(stored: Factors): number;
}

function madeOfProducts(la: LinearAlgebra, parts: readonly WeightedProduct[], { size }: FactorTask): Made {
  const { rank, left, right, spectrum, triples } = aggregateProducts(la, parts, size);
  return { rank, left, right, norm: norm({ data: spectrum }), residualNorm: (stored) => distanceOfFactors(la, triples, stored) };
}

function madeOfMatrix(la: LinearAlgebra, matrix: Matrix, { size, turned }: FactorTask): Made {
  const { rank, left, right } = truncateMatrix(la, matrix, size);
  const factors = turned ? { left: transpose(right), right: transpose(left) } : { left, right };
  const residualNorm = (stored: Factors): number => {
    const rest = { into: matrix, alpha: -1, beta: 1 };
    if (turned) la.gemm(stored.right, stored.left, { ...rest, transposeA: true, transposeB: true });
    else la.gemm(stored.left, stored.right, rest);
    return norm(matrix);
  };
  return { rank, ...factors, norm: norm(matrix), residualNorm };
}

/**
 * @throws NotFiniteError (input as the term says; 0: the matrix, -1: its base; an element of a factor where there are factors), LINALG_FAILED,
 * system errors as they are
 */
export function factorMatrix(la: LinearAlgebra, kernels: Kernels, sources: SourceTable, task: FactorTask): FactoredMatrix {
  const { rows, columns, of, dtype, turned, path } = task;
  kernels.reset();
  const reader = createSourceReader(sources, kernels);
  try {
    const loader = createMatrixLoader(kernels, reader);
    const made =
      of.kind === 'products'
        ? madeOfProducts(
            la,
            of.terms.map((term) => partOf(la, loader, term, turned)),
            task,
          )
        : madeOfMatrix(la, loader.load(0, of.matrix, rows, columns, of.base), task);
    if (made.rank === 0) return { rank: 0, norm: made.norm, residualNorm: made.norm };
    const storer = createMatrixStorer(kernels);
    const [a, b] = [storer.store(made.right.data, dtype), storer.store(made.left.data, dtype)];
    writeParts(path, [a.bytes, b.bytes]);
    const { rank } = made;
    if (![a, b].every(({ values }) => values.every(Number.isFinite))) return { rank, norm: made.norm, residualNorm: Infinity };
    const stored = { left: { ...made.left, data: b.values }, right: { ...made.right, data: a.values } };
    return { rank, norm: made.norm, residualNorm: made.residualNorm(stored) };
  } finally {
    reader.close();
  }
}
