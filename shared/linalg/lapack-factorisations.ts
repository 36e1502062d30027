/** Factorisations by LAPACK, always in fp64. */
import { TributaryError } from '../errors/tributary-error.js';
import { type Argument, double, type LapackLibrary } from './lapack-library.js';
import type { Eigen, Matrix, Reals, Svd } from './linear-algebra.js';

export function svd<T extends Reals>(library: LapackLibrary, a: Matrix<T>): Svd<T> {
  const { rows, columns } = a;
  const k = Math.min(rows, columns);
  const s = new Float64Array(k);
  const u = new Float64Array(rows * k);
  const vt = new Float64Array(k * columns);
  decompose(library, a, 'S', s, vt, u);
  return {
    u: { rows, columns: k, data: roundLike(a.data, u) },
    s,
    vt: { rows: k, columns, data: roundLike(a.data, vt) },
  };
}

export function singularValues(library: LapackLibrary, a: Matrix<Reals>): Float64Array {
  const s = new Float64Array(Math.min(a.rows, a.columns));
  decompose(library, a, 'N', s, null, null);
  return s;
}

/** The SVD of the column-major transpose: its left vectors are the right ones of `a`. */
function decompose(
  library: LapackLibrary,
  a: Matrix<Reals>,
  vectors: 'S' | 'N',
  s: Float64Array,
  left: Float64Array | null,
  right: Float64Array | null,
): void {
  expectFinite(a, 'A singular value decomposition');
  const { rows, columns } = a;
  if (s.length === 0) return;
  const leading = vectors === 'S' ? [columns, s.length] : [1, 1];
  const run = (routine: string, jobs: readonly string[], more: readonly Argument[]): number =>
    withWorkspace(library, routine, (work, length, info) => [
      ...jobs,
      columns,
      rows,
      // Destroyed by the call, which is why it is copied anew for the second routine; a query looks at its address only.
      length < 0 ? null : new Float64Array(a.data),
      columns,
      s,
      left,
      leading[0] as number,
      right,
      leading[1] as number,
      work,
      length,
      ...more,
      info,
    ]);
  // Divide and conquer is the quick one; where it does not converge, the QR iteration mostly does.
  if (run('dgesdd', [vectors], [new Int32Array(8 * s.length)]) === 0) return;
  const info = run('dgesvd', [vectors, vectors], []);
  if (info !== 0) throw failed('A singular value decomposition', a, info);
}

export function eigh(library: LapackLibrary, a: Matrix<Float64Array>): Eigen {
  expectSquare(a);
  const size = a.rows;
  const values = new Float64Array(size);
  const vectors = a.data.slice();
  if (size > 0) {
    for (let row = 0; row < size; row += 1) {
      for (let column = row + 1; column < size; column += 1) vectors[row * size + column] = 0;
    }
    expectFinite({ ...a, data: vectors }, 'An eigenvalue decomposition');
    const integers = new Int32Array(3 + 5 * size);
    // The lower triangle of the row-major matrix is the upper one to LAPACK.
    const info = withWorkspace(library, 'dsyevd', (work, length, report) => [
      'V',
      'U',
      size,
      vectors,
      size,
      values,
      work,
      length,
      integers,
      length < 0 ? -1 : integers.length,
      report,
    ]);
    if (info !== 0) throw failed('An eigenvalue decomposition', a, info);
  }
  return { values, vectors: { rows: size, columns: size, data: vectors } };
}

export function choleskySolve(library: LapackLibrary, a: Matrix<Float64Array>, b: Matrix<Float64Array>): Matrix<Float64Array> {
  expectSquare(a);
  if (a.rows !== b.rows) throw new TributaryError('INTERNAL', { what: `Shapes do not fit: ${a.rows} unknowns, ${b.rows} right-hand rows` });
  expectFinite(a, 'A Cholesky factorisation');
  const [size, sides] = [a.rows, b.columns];
  const factor = a.data.slice();
  const x = b.data.slice();
  if (size === 0 || sides === 0) return { ...b, data: x };
  const info = Int32Array.of(0);
  library.call('dpotrf', 'U', size, factor, size, info);
  if (info[0] !== 0) {
    throw new TributaryError('LINALG_FAILED', {
      what: 'A matrix that has to be positive definite is not',
      where: `${size} x ${size}`,
      got: `a pivot that is not positive in row ${info[0]}`,
    });
  }
  // x^T = b^T U^-1 U^-T, in place.
  library.call('dtrsm', 'R', 'U', 'N', 'N', sides, size, double(1), factor, size, x, sides);
  library.call('dtrsm', 'R', 'U', 'T', 'N', sides, size, double(1), factor, size, x, sides);
  return { rows: size, columns: sides, data: x };
}

export function qr<T extends Reals>(library: LapackLibrary, a: Matrix<T>): { readonly q: Matrix<T>; readonly r: Matrix<T> } {
  const { rows, columns } = a;
  const k = Math.min(rows, columns);
  expectFinite(a, 'A QR factorisation');
  // a = q r is a^T = r^T q^T: the LQ factorisation of the column-major matrix (columns x rows).
  const factored = new Float64Array(a.data);
  const r = new Float64Array(k * columns);
  const q = new Float64Array(rows * k);
  if (k > 0) {
    const tau = new Float64Array(k);
    withWorkspace(library, 'dgelqf', (work, length, info) => [columns, rows, factored, columns, tau, work, length, info]);
    for (let row = 0; row < k; row += 1) {
      const start = row * columns;
      r.set(factored.subarray(start + row, start + columns), start + row);
    }
    for (let row = 0; row < rows; row += 1) q.set(factored.subarray(row * columns, row * columns + k), row * k);
    withWorkspace(library, 'dorglq', (work, length, info) => [k, rows, k, q, k, tau, work, length, info]);
  }
  return { q: { rows, columns: k, data: roundLike(a.data, q) }, r: { rows: k, columns, data: roundLike(a.data, r) } };
}

/**
 * Calls a routine twice: to ask how much workspace serves it best, and for real. `args` gets the workspace, its length and where to report.
 * Returns `info`; negative values are a defect of ours.
 */
export function withWorkspace(
  library: LapackLibrary,
  routine: string,
  args: (work: Float64Array, length: number, info: Int32Array) => readonly Argument[],
): number {
  const info = Int32Array.of(0);
  const best = new Float64Array(1);
  library.call(routine, ...args(best, -1, info));
  const length = Math.max(1, Math.ceil(best[0] as number));
  if (info[0] === 0) library.call(routine, ...args(new Float64Array(length), length, info));
  const report = info[0] as number;
  if (report < 0) throw new TributaryError('INTERNAL', { what: `${routine} does not take its argument ${-report}` });
  return report;
}

/** @throws LINALG_FAILED when a NaN or an infinity is among the elements */
export function expectFinite(a: Matrix<Reals>, what: string): void {
  for (const value of a.data) {
    if (value - value !== 0) {
      throw new TributaryError('LINALG_FAILED', {
        what: `${what} needs finite numbers`,
        where: `${a.rows} x ${a.columns}`,
        got: String(value),
      });
    }
  }
}

export function failed(what: string, a: Matrix<Reals>, info: number): TributaryError {
  return new TributaryError('LINALG_FAILED', { what: `${what} does not converge (${info})`, where: `${a.rows} x ${a.columns}` });
}

function expectSquare(a: Matrix<Reals>): void {
  if (a.rows !== a.columns) throw new TributaryError('INTERNAL', { what: `Shapes do not fit: ${a.rows} x ${a.columns} is not square` });
}

function roundLike<T extends Reals>(like: T, values: Float64Array): T {
  return (like instanceof Float32Array ? new Float32Array(values) : values) as T;
}
