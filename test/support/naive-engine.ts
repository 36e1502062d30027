/** A linear algebra engine to test against: ml-matrix and triple loops, everything in fp64. Right, small and slow. */
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix as MlMatrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { GemmOptions, LinearAlgebra, Matrix, Reals, Spectrum, Svd } from '../../shared/linalg/linear-algebra.js';

type Doubles = Matrix<Float64Array>;

const toMl = ({ rows, columns, data }: Matrix<Reals>): MlMatrix => MlMatrix.from1DArray(rows, columns, data);
const fromMl = (a: MlMatrix): Doubles => ({ rows: a.rows, columns: a.columns, data: Float64Array.from(a.to1DArray()) });

function like<T extends Reals>(model: T, { rows, columns, data }: Doubles): Matrix<T> {
  return { rows, columns, data: (model instanceof Float32Array ? Float32Array.from(data) : data) as T };
}

function gemm<T extends Reals>(a: Matrix<T>, b: Matrix<T>, options: GemmOptions<T> = {}): Matrix<T> {
  const { transposeA = false, transposeB = false, alpha = 1, beta = 0 } = options;
  const [rows, inner] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [innerB, columns] = transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  const into = options.into ?? like(a.data, { rows, columns, data: new Float64Array(rows * columns) });
  if (inner !== innerB || into.rows !== rows || into.columns !== columns) {
    throw new TributaryError('INTERNAL', {
      what: `gemm of ${rows} x ${inner} and ${innerB} x ${columns} into ${into.rows} x ${into.columns}`,
    });
  }
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let l = 0; l < inner; l++) {
        sum +=
          (a.data[transposeA ? l * a.columns + i : i * a.columns + l] ?? 0) *
          (b.data[transposeB ? j * b.columns + l : l * b.columns + j] ?? 0);
      }
      const at = i * columns + j;
      into.data[at] = alpha * sum + (beta === 0 ? 0 : beta * (into.data[at] ?? 0));
    }
  }
  return into;
}

function gram(a: Matrix<Reals>, side: 'left' | 'right'): Doubles {
  const doubles = { ...a, data: Float64Array.from(a.data) };
  return side === 'right' ? gemm(doubles, doubles, { transposeA: true }) : gemm(doubles, doubles, { transposeB: true });
}

function refuseNotFinite({ data }: Matrix<Reals>): void {
  if (data.some((value) => !Number.isFinite(value))) throw new TributaryError('LINALG_FAILED', { what: 'not finite' });
}

/** What lies above the diagonal is not looked at. */
function fromLower({ rows, columns, data }: Doubles): Doubles {
  const full = data.slice();
  for (let i = 0; i < rows; i++) for (let j = i + 1; j < columns; j++) full[i * columns + j] = full[j * columns + i] ?? 0;
  return { rows, columns, data: full };
}

function svdOf(a: Matrix<Reals>): Svd<Float64Array> {
  refuseNotFinite(a);
  const wide = a.columns > a.rows;
  const tall = wide ? toMl(a).transpose() : toMl(a);
  const { leftSingularVectors, diagonal, rightSingularVectors } = new SingularValueDecomposition(tall);
  const [u, v] = wide ? [rightSingularVectors, leftSingularVectors] : [leftSingularVectors, rightSingularVectors];
  return { u: fromMl(u), s: Float64Array.from(diagonal), vt: fromMl(v.transpose()) };
}

function spectrum(a: Matrix<Reals>): Spectrum {
  const { u, s, vt } = svdOf(a);
  const side = a.columns <= a.rows ? 'right' : 'left';
  const rows = side === 'right' ? vt : fromMl(toMl(u).transpose());
  return { values: s, side, vectors: (count) => ({ rows: count, columns: rows.columns, data: rows.data.slice(0, count * rows.columns) }) };
}

/** Thin; of a wide matrix from the QR of its leading square. */
function qr<T extends Reals>(a: Matrix<T>): { q: Matrix<T>; r: Matrix<T> } {
  refuseNotFinite(a);
  const short = Math.min(a.rows, a.columns);
  const whole = toMl(a);
  const decomposition = new QrDecomposition(whole.subMatrix(0, a.rows - 1, 0, short - 1));
  const q = fromMl(decomposition.orthogonalMatrix);
  const r = gemm(q, fromMl(whole), { transposeA: true });
  for (let i = 0; i < short; i++) r.data.fill(0, i * a.columns, i * a.columns + i);
  return { q: like(a.data, q), r: like(a.data, r) };
}

export const naiveEngine: LinearAlgebra = {
  engine: 'portable',
  device: 'cpu',
  library: 'ml-matrix',
  gemm,
  gram,
  svd: (a) => {
    const { u, s, vt } = svdOf(a);
    return { u: like(a.data, u), s, vt: like(a.data, vt) };
  },
  singularValues: (a) => svdOf(a).s,
  eigh: (a) => {
    const symmetric = fromLower(a);
    refuseNotFinite(symmetric);
    const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(toMl(symmetric), { assumeSymmetric: true });
    return { values: Float64Array.from(realEigenvalues), vectors: fromMl(eigenvectorMatrix.transpose()) };
  },
  choleskySolve: (a, b) => {
    refuseNotFinite(a);
    const cholesky = new CholeskyDecomposition(toMl(a));
    if (!cholesky.isPositiveDefinite()) throw new TributaryError('LINALG_FAILED', { what: 'not positive definite' });
    return fromMl(cholesky.solve(toMl(b)));
  },
  qr,
  spectrum,
};
