/**
 * Applies the orthogonal matrix of dsytrd to a few vectors, as dormtr does, in blocks wide enough for the speed of matrix products: dormtr takes
 * 32 reflectors at a time and reaches half of it. A block of reflectors is I - V T V^T, and the inverse of T is the upper triangle of V^T V with the
 * reciprocal factors on its diagonal (Joffrain et al. 2006).
 */
import { double, type LapackLibrary } from './lapack-library.js';

/** Reflectors of a block. */
const WIDTH = 96;

/** Householder vectors below the diagonal of a column-major size x size matrix (`dsytrd`, lower), and their factors. */
export interface Reflectors {
  readonly size: number;
  readonly vectors: Float64Array;
  readonly factors: Float64Array;
}

/** Replaces `count` column vectors of length `size` by Q times them. */
export function applyReflectors(library: LapackLibrary, reflectors: Reflectors, vectors: Float64Array, count: number): void {
  const { size } = reflectors;
  const panel = new Float64Array(size * WIDTH);
  const inverse = new Float64Array(WIDTH * WIDTH);
  const products = new Float64Array(WIDTH * count);
  const last = Math.floor((size - 2) / WIDTH) * WIDTH;
  for (let start = last; start >= 0; start -= WIDTH) {
    const width = Math.min(WIDTH, size - 1 - start);
    const height = size - 1 - start;
    fillPanel(reflectors, start, width, panel);
    library.call('dsyrk', 'U', 'T', width, height, double(1), panel, height, double(0), inverse, width);
    for (let index = 0; index < width; index += 1) {
      const factor = reflectors.factors[start + index] as number;
      inverse[index * width + index] = factor === 0 ? 1 : 1 / factor;
    }
    const below = vectors.subarray(start + 1);
    library.call('dgemm', 'T', 'N', width, count, height, double(1), panel, height, below, size, double(0), products, width);
    library.call('dtrsm', 'L', 'U', 'N', 'N', width, count, double(1), inverse, width, products, width);
    library.call('dgemm', 'N', 'N', height, count, width, double(-1), panel, height, products, width, double(1), below, size);
  }
}

/** The reflectors from `start` on as columns of length size - 1 - start; one that does nothing is zero. */
function fillPanel({ size, vectors, factors }: Reflectors, start: number, width: number, panel: Float64Array): void {
  const height = size - 1 - start;
  for (let index = 0; index < width; index += 1) {
    const to = index * height;
    if (factors[start + index] === 0) {
      panel.fill(0, to, to + height);
      continue;
    }
    panel.fill(0, to, to + index);
    panel[to + index] = 1;
    const column = (start + index) * size;
    panel.set(vectors.subarray(column + start + index + 2, column + size), to + index + 1);
  }
}
