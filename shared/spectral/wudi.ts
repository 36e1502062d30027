/** WUDI in closed form: the merged vector that interferes least with every task in the space of its own rows (arXiv 2503.08099). */
import { TributaryError } from '../errors/tributary-error.js';
import type { LinearAlgebra, Matrix, Reals } from '../linalg/linear-algebra.js';
import { commonShape, squaredNorm, stackRows, toDouble, toSingle, transpose, withScaledRows, zeros } from './matrices.js';
import { throughSide } from './triples.js';

/** Eigenvalues of sum G_i/n_i at or below this share of the largest count as zero; dividing by larger ones keeps 1e-5 in fp64. */
const EIGENVALUE_TOLERANCE = 2 ** -36;

/**
 * The least-norm minimiser of sum_i |(V - tau_i) tau_i^T|^2 / |tau_i|^2 (arXiv 2503.08099, the objective that its code walks along for 300
 * steps): V = (sum tau_i G_i / n_i) (sum G_i / n_i)^+ with G_i = tau_i^T tau_i and n_i = |tau_i|^2 (Frobenius).
 * Zero task vectors say nothing and are skipped; one that is left is the result, element for element. Directions in which the rows of all
 * tasks together have less than 2^-18 of their largest extent are left zero: the objective does not notice them.
 * When the tasks have fewer rows together than columns, all happens in the space of those rows, and no columns x columns matrix is made.
 * @param vectors T >= 1 matrices of one shape, each acting on the right: rows are outputs
 * @throws LINALG_FAILED
 */
export function wudiMerge(la: LinearAlgebra, vectors: readonly Matrix[]): Matrix {
  const { rows, columns } = commonShape(vectors);
  const tasks = vectors.filter(({ data }) => squaredNorm(data) > 0);
  const [first] = tasks;
  if (first === undefined) return zeros(rows, columns);
  if (tasks.length === 1) return toSingle(first);
  if (tasks.length * rows >= columns) return toSingle(solve(la, tasks, toDouble));
  const { q: basis, r: coordinates } = la.qr(transpose(stackRows(tasks, columns)));
  const inRowSpace = tasks.map((_, index) => {
    const data = new Float64Array(rows * basis.columns);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < basis.columns; j++)
        data[i * basis.columns + j] = coordinates.data[j * coordinates.columns + index * rows + i] ?? 0;
    }
    return { rows, columns: basis.columns, data };
  });
  return toSingle(
    la.gemm(
      solve(la, inRowSpace, (task) => task),
      basis,
      { transposeB: true },
    ),
  );
}

/** @param widen gives a task in fp64, of one at a time */
function solve<T extends Matrix<Reals>>(
  la: LinearAlgebra,
  tasks: readonly T[],
  widen: (task: T) => Matrix<Float64Array>,
): Matrix<Float64Array> {
  const columns = tasks[0]?.columns ?? 0;
  const grams = { rows: columns, columns, data: new Float64Array(columns * columns) };
  let numerator: Matrix<Float64Array> | undefined;
  for (const task of tasks) {
    const gram = la.gram(task, 'right');
    const share = 1 / squaredNorm(task.data);
    for (let i = 0; i < gram.data.length; i++) grams.data[i] = (grams.data[i] ?? 0) + share * (gram.data[i] ?? 0);
    const options = { alpha: share, into: numerator, beta: numerator === undefined ? 0 : 1 };
    if (task.rows < columns) numerator = la.gemm(la.gram(task, 'left'), widen(task), options);
    else numerator = la.gemm(widen(task), gram, options);
  }
  return numerator === undefined ? grams : timesPseudoInverse(la, numerator, grams);
}

/** By Cholesky where a shifted factorisation proves that no eigenvalue is below the tolerance, else by eigenvectors. */
function timesPseudoInverse(la: LinearAlgebra, numerator: Matrix<Float64Array>, grams: Matrix<Float64Array>): Matrix<Float64Array> {
  if (surelyAbove(la, grams, EIGENVALUE_TOLERANCE * trace(grams))) return transpose(la.choleskySolve(grams, transpose(numerator)));
  const { values, vectors } = la.eigh(grams);
  const threshold = EIGENVALUE_TOLERANCE * (values.at(-1) ?? 0);
  const from = values.findIndex((value) => value > threshold);
  const kept = { rows: values.length - from, columns: vectors.columns, data: vectors.data.subarray(from * vectors.columns) };
  const inverse = withScaledRows(
    kept,
    values.subarray(from).map((value) => 1 / value),
  );
  return throughSide(la, numerator, 'right', kept, inverse);
}

function surelyAbove(la: LinearAlgebra, { rows, columns, data }: Matrix<Float64Array>, threshold: number): boolean {
  const shifted = data.slice();
  for (let i = 0; i < rows; i++) shifted[i * columns + i] = (shifted[i * columns + i] ?? 0) - threshold;
  try {
    la.choleskySolve({ rows, columns, data: shifted }, { rows, columns: 1, data: new Float64Array(rows) });
    return true;
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'LINALG_FAILED') return false;
    throw error;
  }
}

function trace({ rows, columns, data }: Matrix<Float64Array>): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += data[i * columns + i] ?? 0;
  return sum;
}
