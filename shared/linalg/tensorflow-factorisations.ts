/** Factorisations on TensorFlow, all in f64; results are rounded to the element type of the input. */
import { TributaryError } from '../errors/tributary-error.js';
import type { Eigen, Matrix, Reals, Svd } from './linear-algebra.js';
import { type Placement, type Tensor, type Tensors, withTensors } from './tensorflow-tensors.js';

export function svd<T extends Reals>(place: Placement, a: Matrix<T>): Svd<T> {
  const k = Math.min(a.rows, a.columns);
  return withTensors(place, (tensors) => {
    const [s, u, v] = decompose(tensors, a, true) as [Tensor, Tensor, Tensor];
    return {
      u: { rows: a.rows, columns: k, data: tensors.readLike(a.data, u) },
      s: finite(tensors.readF64(s), 'A singular value decomposition', a),
      vt: { rows: k, columns: a.columns, data: tensors.readLike(a.data, transposed(tensors, v)) },
    };
  });
}

export function singularValues(place: Placement, a: Matrix<Reals>): Float64Array {
  return withTensors(place, (tensors) => {
    const [s] = decompose(tensors, a, false) as [Tensor];
    return finite(tensors.readF64(s), 'A singular value decomposition', a);
  });
}

function decompose(tensors: Tensors, a: Matrix<Reals>, vectors: boolean): readonly Tensor[] {
  return tensors.runAll('Svd', 3, { T: 'f64', compute_uv: vectors, full_matrices: false }, tensors.uploadWide(a));
}

export function eigh(place: Placement, a: Matrix<Float64Array>): Eigen {
  return withTensors(place, (tensors) => {
    const { values, vectors } = eigenvectors(tensors, tensors.upload(a));
    return {
      values: finite(tensors.readF64(values), 'An eigendecomposition', a),
      vectors: { rows: a.rows, columns: a.rows, data: tensors.readF64(transposed(tensors, vectors)) },
    };
  });
}

/** Of an f64 matrix whose lower triangle counts: values ascending, vectors in columns. */
export function eigenvectors(tensors: Tensors, matrix: Tensor): { readonly values: Tensor; readonly vectors: Tensor } {
  const [values, vectors] = tensors.runAll('SelfAdjointEigV2', 2, { T: 'f64', compute_v: true }, matrix) as [Tensor, Tensor];
  return { values, vectors };
}

/** As `eigenvectors`, without vectors. */
export function eigenvalues(tensors: Tensors, matrix: Tensor): Tensor {
  const [values, vectors] = tensors.runAll('SelfAdjointEigV2', 2, { T: 'f64', compute_v: false }, matrix) as [Tensor, Tensor];
  tensors.drop(vectors);
  return values;
}

export function choleskySolve(place: Placement, a: Matrix<Float64Array>, b: Matrix<Float64Array>): Matrix<Float64Array> {
  return withTensors(place, (tensors) => {
    const factor = tensors.run('Cholesky', { T: 'f64' }, tensors.upload(a));
    const half = tensors.run('MatrixTriangularSolve', { T: 'f64', lower: true, adjoint: false }, factor, tensors.upload(b));
    const x = tensors.run('MatrixTriangularSolve', { T: 'f64', lower: true, adjoint: true }, factor, half);
    // A matrix that is not positive definite has NaN in its factor.
    finite(tensors.readF64(factor), 'A Cholesky factorisation (the matrix has to be positive definite)', a);
    return { rows: b.rows, columns: b.columns, data: tensors.readF64(x) };
  });
}

export function qr<T extends Reals>(place: Placement, a: Matrix<T>): { readonly q: Matrix<T>; readonly r: Matrix<T> } {
  const k = Math.min(a.rows, a.columns);
  return withTensors(place, (tensors) => {
    const [q, r] = tensors.runAll('Qr', 2, { T: 'f64', full_matrices: false }, tensors.uploadWide(a)) as [Tensor, Tensor];
    return {
      q: { rows: a.rows, columns: k, data: tensors.readLike(a.data, q) },
      r: { rows: k, columns: a.columns, data: tensors.readLike(a.data, r) },
    };
  });
}

export function transposed(tensors: Tensors, tensor: Tensor): Tensor {
  const order = tensors.indices(1, 0);
  const result = tensors.run('Transpose', { T: 'f64', Tperm: 'i32' }, tensor, order);
  tensors.drop(order);
  return result;
}

/** @throws LINALG_FAILED */
export function finite(values: Float64Array, what: string, { rows, columns }: Matrix<Reals>): Float64Array {
  if (values.every(Number.isFinite)) return values;
  throw new TributaryError('LINALG_FAILED', { what: `${what} did not succeed`, where: `${rows} x ${columns}` });
}
