/**
 * `spectrum` on TensorFlow: eigenvalues of the f64 Gram matrix of the short side. They carry an error relative to the largest, and the roots of small
 * ones a far greater: where that shows in the sum, the small ones are taken again, from the matrix without its large directions.
 */
import { TributaryError } from '../errors/tributary-error.js';
import type { Matrix, Reals, Spectrum } from './linear-algebra.js';
import { squarable } from './squarable.js';
import { eigenvalues, eigenvectors, finite, transposed } from './tensorflow-factorisations.js';
import { gramTensor } from './tensorflow-products.js';
import { type Placement, type Tensor, type Tensors, withTensors } from './tensorflow-tensors.js';

/** What one singular value may be off, relative to the largest, and all together relative to their sum. */
const VALUE_ERROR = 1e-8;
const SUM_ERROR = 3e-8;
/** Singular values below this part of the largest are the ones taken again: there both ways are good to about 1e-11. */
const SMALL = 3e-4;

export function spectrum(place: Placement, matrix: Matrix<Reals>): Spectrum {
  const side = matrix.columns <= matrix.rows ? 'right' : 'left';
  const { a, factor } = squarable(matrix);
  const size = Math.min(a.rows, a.columns);
  let all: Float64Array | undefined;

  const measured = withTensors(place, (tensors) => {
    const gram = gramTensor(tensors, a, side);
    const first = roots(tensors.readF64(eigenvalues(tensors, gram)), a);
    if (isGood(first)) return { values: first, gram: tensors.readF64(gram) };
    const { vectors } = eigenvectors(tensors, gram);
    all = tensors.readF64(transposed(tensors, vectors));
    const large = first.filter((value) => value >= SMALL * (first[0] as number));
    const small = smallValues(tensors, a, side, vectors, size - large.length);
    return { values: Float64Array.of(...large, ...small).toSorted(descending), gram: undefined };
  });

  return {
    values: factor === 1 ? measured.values : measured.values.map((value) => value / factor),
    side,
    vectors(count) {
      if (!(count >= 0 && count <= size)) throw new TributaryError('INTERNAL', { what: `${count} singular vectors of ${size}` });
      all ??= withTensors(place, (tensors) => {
        const gram = tensors.upload({ rows: size, columns: size, data: measured.gram as Float64Array });
        return tensors.readF64(transposed(tensors, eigenvectors(tensors, gram).vectors));
      });
      const data = new Float64Array(count * size);
      for (let index = 0; index < count; index += 1) {
        const from = (size - 1 - index) * size;
        data.set(all.subarray(from, from + size), index * size);
      }
      return { rows: count, columns: size, data };
    },
  };
}

const descending = (one: number, other: number): number => other - one;

/** Singular values, descending, of the eigenvalues of a Gram matrix, ascending. */
function roots(values: Float64Array, a: Matrix<Reals>): Float64Array {
  return finite(values, 'An eigendecomposition', a)
    .map((value) => Math.sqrt(Math.max(0, value)))
    .reverse();
}

function isGood(values: Float64Array): boolean {
  const largest = values[0] ?? 0;
  if (largest === 0) return true;
  const noise = 4 * Math.sqrt(values.length) * Number.EPSILON * largest ** 2;
  let sum = 0;
  let off = 0;
  for (const value of values) {
    sum += value;
    off += noise / Math.max(2 * value, Math.sqrt(noise));
  }
  const worst = noise / Math.max(2 * (values.at(-1) as number), Math.sqrt(noise));
  return worst <= VALUE_ERROR * largest && off <= SUM_ERROR * sum;
}

/** Singular values of `a` along the first `count` columns of the eigenvectors, descending. */
function smallValues(tensors: Tensors, a: Matrix<Reals>, side: 'left' | 'right', vectors: Tensor, count: number): Float64Array {
  const bounds = [tensors.indices(0, 0), tensors.indices(Math.min(a.rows, a.columns), count)] as const;
  const basis = tensors.run('Slice', { T: 'f64', Index: 'i32' }, vectors, ...bounds);
  return roots(tensors.readF64(eigenvalues(tensors, gramTensor(tensors, a, side, basis))), a);
}
