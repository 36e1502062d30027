import type { Matrix, Reals } from './linear-algebra.js';

/** Numbers of up to 2 to this power, and down to its reciprocal, can be squared and summed in fp64. */
const MOST_EXPONENT = 400;

/** The matrix times `factor`, a power of two that is 1 unless squares of its numbers would leave the range of fp64. */
export function squarable(a: Matrix<Reals>): { readonly a: Matrix<Reals>; readonly factor: number } {
  if (a.data instanceof Float32Array) return { a, factor: 1 };
  let most = 0;
  for (const value of a.data) most = Math.max(most, Math.abs(value));
  const exponent = Math.log2(most);
  if (!Number.isFinite(exponent) || Math.abs(exponent) < MOST_EXPONENT) return { a, factor: 1 };
  const factor = 2 ** -Math.max(-1000, Math.round(exponent));
  return { a: { ...a, data: a.data.map((value) => value * factor) }, factor };
}
