/** One tensor's task vectors through steps on whole matrices, in a worker thread: read, transform, combine, write to a scratch file. */
import { TributaryError } from '../errors/tributary-error.js';
import type { Kernels } from '../kernels/kernels.js';
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { isoC, isoCts } from '../spectral/iso.js';
import { knots } from '../spectral/knots.js';
import { sumOf, zeros } from '../spectral/matrices.js';
import { starProduct } from '../spectral/product-svd.js';
import { addStar } from '../spectral/star.js';
import { tsvMerge } from '../spectral/tsv.js';
import { wudiMerge } from '../spectral/wudi.js';
import { createMatrixLoader, type MatrixLoader } from './load-matrix.js';
import type { MatrixInput, MatrixTask, StoredProduct } from './matrix-job.js';
import { createSourceReader } from './source-reader.js';
import type { SourceTable } from './source-table.js';
import { writeParts } from './store-matrix.js';

interface Factors {
  readonly left: Matrix;
  readonly right: Matrix;
}

function starOfProduct(la: LinearAlgebra, loader: MatrixLoader, input: number, product: StoredProduct, eta: number): Factors {
  const { rows, columns, rank, scale } = product;
  const left = loader.load(input, product.left, rows, rank);
  const right = loader.load(input, product.right, rank, columns);
  return starProduct(la, { left, right, scale }, eta);
}

/** The same product with zeros up to `rank`, so that it fits where it was planned. */
function padded({ left, right }: Factors, rank: number): Matrix[] {
  const wide = zeros(left.rows, rank);
  for (let row = 0; row < left.rows; row++) wide.data.set(left.data.subarray(row * left.columns, (row + 1) * left.columns), row * rank);
  const tall = zeros(rank, right.columns);
  tall.data.set(right.data);
  return [wide, tall];
}

function combined(la: LinearAlgebra, task: MatrixTask, vectors: () => Matrix[]): Matrix {
  const { combine } = task;
  switch (combine.kind) {
    case 'tsv':
      return tsvMerge(la, vectors());
    case 'iso_c':
      return isoC(la, sumOf(vectors()));
    case 'iso_cts':
      return isoCts(la, vectors(), combine.commonFraction);
    case 'knots':
      return knots(la, vectors(), { density: combine.density, tol: combine.tol, combine: 'ties' });
    case 'wudi':
      return wudiMerge(la, vectors());
    case 'each':
    case 'sum':
      throw new TributaryError('INTERNAL', { what: `${combine.kind} combines no matrices` });
  }
}

function* asBytes(matrices: Iterable<Matrix>): Iterable<Uint8Array> {
  for (const { data } of matrices) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function runMatrixTask(la: LinearAlgebra, kernels: Kernels, sources: SourceTable, task: MatrixTask): void {
  const { rows, columns, inputs, base, combine } = task;
  kernels.reset();
  const reader = createSourceReader(sources, kernels);
  try {
    const loader = createMatrixLoader(kernels, reader);
    const vector = (input: MatrixInput, index: number): Matrix =>
      loader.load(index, input, rows, columns, input.difference ? undefined : base);
    /** The transformed vector times `weight`, added. */
    const addTransformed = (input: MatrixInput, index: number, weight: number, into: Matrix): void => {
      const { eta = 100, product } = input;
      if (product === undefined) {
        addStar(la, vector(input, index), eta, weight, into);
        return;
      }
      const { left, right } = starOfProduct(la, loader, index, product, eta);
      const [a, b, transpose] = product.transposed ? [right, left, true] : [left, right, false];
      la.gemm(a, b, { transposeA: transpose, transposeB: transpose, alpha: weight, beta: 1, into });
    };
    const transformed = (input: MatrixInput, index: number): Matrix => {
      if (input.eta === undefined) return vector(input, index);
      const into = zeros(rows, columns);
      addTransformed(input, index, 1, into);
      return into;
    };
    function* made(): Iterable<Matrix> {
      if (combine.kind === 'sum') {
        const into = zeros(rows, columns);
        inputs.forEach((input, index) => addTransformed(input, index, input.weight, into));
        yield into;
      } else if (combine.kind === 'each') {
        for (const [index, input] of inputs.entries()) {
          const { product, eta = 100 } = input;
          if (product === undefined) yield transformed(input, index);
          else yield* padded(starOfProduct(la, loader, index, product, eta), product.rank);
        }
      } else {
        yield combined(la, task, () => inputs.map(transformed));
      }
    }
    writeParts(task.path, asBytes(made()));
  } finally {
    reader.close();
  }
}
