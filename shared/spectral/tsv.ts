import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import { commonShape, stackRows, toSingle, withScaledRows } from './matrices.js';
import { polar } from './polar.js';
import { type Triples, topTriples } from './triples.js';

/**
 * TSV-M, merging task singular vectors (arXiv 2412.00081): the k = floor(min(rows, columns) / T) leading triples of every
 * task, side by side; left and right vectors are each replaced by the nearest orthonormal ones (Procrustes), the values stay:
 * M = U_perp diag(s) V_perp.
 *
 * One task is its own merge, element for element. Zero tasks (which count in T) and directions that do not exist (triples.ts) take no part, and where tasks
 * share directions exactly, the orthonormal vectors span what is there and no more. With more tasks than min(rows, columns), where k would
 * be zero and nothing would come out, every task keeps one triple.
 * @param vectors T >= 1 matrices of one shape
 * @throws LINALG_FAILED
 */
export function tsvMerge(la: LinearAlgebra, vectors: readonly Matrix[]): Matrix {
  const { rows, columns } = commonShape(vectors);
  if (vectors.length === 1) return toSingle({ rows, columns, data: vectors[0]?.data ?? new Float32Array(0) });
  const count = Math.max(1, Math.floor(Math.min(rows, columns) / vectors.length));
  const triples = vectors.map((vector) => topTriples(la, vector, count));
  return mergeTriples(la, triples, { rows, columns });
}

/**
 * U_perp diag(s) V_perp of triples side by side.
 * @param flat instead of s: one value for all directions
 */
export function mergeTriples(
  la: LinearAlgebra,
  triples: readonly Triples[],
  { rows, columns }: { readonly rows: number; readonly columns: number },
  flat?: number,
): Matrix {
  const values = triples.flatMap(({ s }) => Array.from(s));
  if (values.length === 0) return { rows, columns, data: new Float32Array(rows * columns) };
  const across = (side: 'ut' | 'vt', width: number) => {
    const stacked = stackRows(
      triples.map((one) => one[side]),
      width,
    );
    return polar(la, stacked).factor;
  };
  const left = toSingle(across('ut', rows));
  const right = across('vt', columns);
  const scaled = flat === undefined ? toSingle(withScaledRows(right, values)) : toSingle(right, flat);
  return la.gemm(left, scaled, { transposeA: true });
}
