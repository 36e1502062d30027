/** KnOTS, merging in the space that all tasks' columns span (arXiv 2410.19735). */
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { borderInList } from '../merge/selection.js';
import { commonShape, stackColumns, toSingle, zeros } from './matrices.js';
import { gramSuffices, numericalRank, topTriples } from './triples.js';

export interface KnotsOptions {
  /** Share of each task's coordinates that stays, (0, 1]; 1 trims nothing. */
  readonly density: number;
  /** Singular values at or below it are left out, in the units of the matrices; the authors' choice is 1e-5. */
  readonly tol: number;
  readonly combine: 'ties';
}

/**
 * [tau_1 ... tau_T] = U S [V_1 ... V_T]; task t has the coordinates S V_t = U^T tau_t in a basis that all share; these are merged, and
 * U leads back (arXiv 2410.19735). Singular values at or below `tol`, or below what fp32 resolves (triples.ts), are left out.
 * Combination `ties`: per task and matrix, the density x n coordinates of largest magnitude stay (rounded down, at least one, the first of
 * equals); the sign of their sum over tasks is elected; the mean of those that have it is the result, 0 where the sum is 0.
 * With equal singular values the basis, and so what is trimmed, is the engine's choice.
 * @param vectors T >= 1 matrices of one shape
 * @throws LINALG_FAILED
 */
export function knots(la: LinearAlgebra, vectors: readonly Matrix[], { density, tol }: KnotsOptions): Matrix {
  const { rows, columns } = commonShape(vectors);
  const basis = commonBasis(la, vectors, tol);
  if (basis.rows === 0) return zeros(rows, columns);
  const coordinates = vectors.map((vector) => la.gemm(basis, vector));
  if (density < 1) for (const { data } of coordinates) keepLargest(data, Math.max(1, Math.trunc(density * data.length)));
  const merged = electedMeans(coordinates.map(({ data }) => data));
  return la.gemm(basis, { rows: basis.rows, columns, data: merged }, { transposeA: true });
}

/** U^T of the matrices side by side, r x rows. */
function commonBasis(la: LinearAlgebra, vectors: readonly Matrix[], tol: number): Matrix {
  const { rows } = commonShape(vectors);
  const concatenated = stackColumns(vectors, rows);
  if (rows < concatenated.columns) {
    const spectrum = la.spectrum(concatenated);
    const rank = numericalRank(spectrum.values, tol);
    if (gramSuffices(spectrum.values, rank)) return toSingle(spectrum.vectors(rank));
  }
  return toSingle(topTriples(la, concatenated, rows, tol).ut);
}

const magnitudeBits = new Uint32Array(1);
const magnitude = new Float32Array(magnitudeBits.buffer);

/** Sets all but the `kept` elements of largest magnitude to zero, in place; of equals the first stay. */
function keepLargest(data: Float32Array, kept: number): void {
  const keys = new Uint32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    magnitude[0] = Math.abs(data[i] ?? 0);
    keys[i] = magnitudeBits[0] ?? 0;
  }
  const border = borderInList(keys, 0, 0x7fffffff, data.length - kept);
  let equalsLeft = border.below + border.equal - (data.length - kept);
  for (let i = 0; i < data.length; i++) {
    const key = keys[i] ?? 0;
    if (key > border.key) continue;
    if (key === border.key && equalsLeft > 0) equalsLeft -= 1;
    else data[i] = 0;
  }
}

/** Element by element: the mean of those with the sign of the sum. */
function electedMeans(tasks: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(tasks[0]?.length ?? 0);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (const task of tasks) sum += task[i] ?? 0;
    let agreeing = 0;
    let count = 0;
    for (const task of tasks) {
      const value = task[i] ?? 0;
      if (value * sum > 0) {
        agreeing += value;
        count += 1;
      }
    }
    if (count > 0) out[i] = agreeing / count;
  }
  return out;
}
