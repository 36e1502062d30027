/** Spectral rules as their papers define them: full decompositions of fp64 matrices by ml-matrix, nothing shared, nothing saved. */
import { Matrix, pseudoInverse, SVD } from 'ml-matrix';
import { sum } from './vectors.js';

interface FullSvd {
  readonly u: Matrix;
  readonly s: readonly number[];
  readonly v: Matrix;
}

function svd(a: Matrix): FullSvd {
  const wide = a.columns > a.rows;
  const { leftSingularVectors, diagonal, rightSingularVectors } = new SVD(wide ? a.transpose() : a);
  return { u: wide ? rightSingularVectors : leftSingularVectors, s: diagonal, v: wide ? leftSingularVectors : rightSingularVectors };
}

export const singularValues = (a: Matrix): readonly number[] => svd(a).s;

const columnsOf = (a: Matrix, count: number): Matrix => (count === 0 ? new Matrix(a.rows, 0) : a.subMatrix(0, a.rows - 1, 0, count - 1));
const total = (matrices: readonly Matrix[]): Matrix => matrices.reduce((acc, one) => Matrix.add(acc, one));
const sideBySide = (matrices: readonly Matrix[]): Matrix =>
  Matrix.from1DArray(
    matrices[0]?.rows ?? 0,
    sum(matrices.map((one) => one.columns)),
    Array.from({ length: matrices[0]?.rows ?? 0 }, (_, row) => matrices.flatMap((one) => one.getRow(row))).flat(),
  );

/** u diag(s) v^T. */
function composed(u: Matrix, s: readonly number[], v: Matrix): Matrix {
  return u.mmul(Matrix.diag([...s])).mmul(v.transpose());
}

/** The best approximation of a rank (Eckart-Young). */
export function truncated(a: Matrix, rank: number): Matrix {
  const { u, s, v } = svd(a);
  return composed(columnsOf(u, rank), s.slice(0, rank), columnsOf(v, rank));
}

/** arXiv 2502.10339: truncate to the share of the sum, stretch to the sum. */
export function star(a: Matrix, eta: number): Matrix {
  const { u, s, v } = svd(a);
  const all = sum(s);
  if (all === 0) return Matrix.zeros(a.rows, a.columns);
  let rank = 1;
  while (rank < s.length && sum(s.slice(0, rank)) < (eta / 100) * all) rank += 1;
  const kept = s.slice(0, rank);
  return composed(
    columnsOf(u, rank),
    kept.map((value) => (value * all) / sum(kept)),
    columnsOf(v, rank),
  );
}

/** U V^T over values above 1e-9 of the largest. */
export function procrustes(a: Matrix): Matrix {
  const { u, s, v } = svd(a);
  return composed(
    u,
    s.map((value) => (value > 1e-9 * (s[0] ?? 0) ? 1 : 0)),
    v,
  );
}

/** arXiv 2412.00081: every task's leading triples, concatenated and orthogonalised. */
export function tsvM(tasks: readonly Matrix[]): Matrix {
  const [first = new Matrix(1, 1)] = tasks;
  const count = Math.max(1, Math.trunc(Math.min(first.rows, first.columns) / tasks.length));
  const parts = tasks.map(svd);
  const u = procrustes(sideBySide(parts.map((part) => columnsOf(part.u, count))));
  const v = procrustes(sideBySide(parts.map((part) => columnsOf(part.v, count))));
  return composed(
    u,
    parts.flatMap((part) => part.s.slice(0, count)),
    v,
  );
}

/** arXiv 2502.04959, Iso-C. */
export function isoC(merged: Matrix): Matrix {
  const { s } = svd(merged);
  return procrustes(merged).mul(sum(s) / s.length);
}

/** arXiv 2502.04959, Iso-CTS, for `own` directions a task. */
export function isoCts(tasks: readonly Matrix[], own: number): Matrix {
  const merged = total(tasks);
  const short = Math.min(merged.rows, merged.columns);
  const common = short - own * tasks.length;
  const whole = svd(merged);
  const us: Matrix[] = [];
  const vs: Matrix[] = [];
  const values: number[] = [];
  for (const task of tasks) {
    const space = columnsOf(whole.u, common);
    const rest = common === 0 ? task : Matrix.sub(task, space.mmul(space.transpose()).mmul(task));
    const { u, s, v } = svd(rest);
    us.push(columnsOf(u, own));
    vs.push(columnsOf(v, own));
    values.push(...s.slice(0, own));
  }
  us.push(columnsOf(whole.u, common));
  vs.push(columnsOf(whole.v, common));
  values.push(...whole.s.slice(0, common));
  return procrustes(sideBySide(us))
    .mmul(procrustes(sideBySide(vs)).transpose())
    .mul(sum(values) / short);
}

/** arXiv 2410.19735 with TIES: trims each task's coordinates to the `kept` largest. */
export function knotsTies(tasks: readonly Matrix[], kept: number, tol: number): Matrix {
  const [first = new Matrix(1, 1)] = tasks;
  const { u, s, v } = svd(sideBySide(tasks));
  const rank = s.filter((value) => value > tol).length;
  const coordinates = tasks.map((_, task) =>
    Matrix.diag(s.slice(0, rank)).mmul(v.subMatrix(task * first.columns, (task + 1) * first.columns - 1, 0, rank - 1).transpose()),
  );
  for (const one of coordinates) {
    const border =
      one
        .to1DArray()
        .map(Math.abs)
        .toSorted((a, b) => b - a)[kept - 1] ?? 0;
    one.apply((row, column) => {
      if (Math.abs(one.get(row, column)) < border) one.set(row, column, 0);
    });
  }
  const merged = Matrix.zeros(rank, first.columns);
  merged.apply((row, column) => {
    const elements = coordinates.map((one) => one.get(row, column));
    const agreeing = elements.filter((element) => element * sum(elements) > 0);
    if (agreeing.length > 0) merged.set(row, column, sum(agreeing) / agreeing.length);
  });
  return columnsOf(u, rank).mmul(merged);
}

/** arXiv 2503.08099: sum_i |(V - tau_i) tau_i^T|^2 / |tau_i|^2. */
export function wudiLoss(merged: Matrix, tasks: readonly Matrix[]): number {
  return sum(tasks.map((task) => (Matrix.sub(merged, task).mmul(task.transpose()).norm() / task.norm()) ** 2));
}

/** Its least-norm minimiser as a least-squares problem: V [tau_i / |tau_i|]^T = [tau_i tau_i^T / |tau_i|]. */
export function wudi(tasks: readonly Matrix[]): Matrix {
  const rows = sideBySide(tasks.map((task) => Matrix.mul(task, 1 / task.norm()).transpose()));
  const aims = sideBySide(tasks.map((task) => task.mmul(task.transpose()).mul(1 / task.norm())));
  return aims.mmul(pseudoInverse(rows, 2 ** -18 * (svd(rows).s[0] ?? 0)));
}
