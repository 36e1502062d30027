/**
 * Whether an engine computes what it should, on matrices whose answers are known. Libraries on a processor newer than themselves have been seen to
 * take kernels that are wrong, not only slow. Takes a few milliseconds.
 */
import type { LinearAlgebra, Matrix, Reals } from './linear-algebra.js';

/** Large enough for blocked code and its odd ends. */
const ROWS = 83;
const COLUMNS = 67;

/** What is wrong, in words; undefined when nothing is. */
export function selfTest(engine: LinearAlgebra): string | undefined {
  const wide = knownMatrix();
  const narrow = { ...wide, data: new Float32Array(wide.data) };
  return (
    off('a product in fp64', engine.gemm(wide, wide, { transposeA: true }).data, (row, column) => entryOfGram(row, column), 1e-13) ??
    off('a product in fp32', engine.gemm(narrow, narrow, { transposeA: true }).data, (row, column) => entryOfGram(row, column), 1e-5) ??
    valuesOff('a singular value decomposition', engine.svd(wide).s) ??
    valuesOff('a spectrum', engine.spectrum(wide).values) ??
    projectionOff(engine, wide)
  );
}

/**
 * The cosines of the discrete cosine transform, cut to COLUMNS of them and scaled: columns are orthogonal, column j has length `valueOf(j)`, so
 * these are the singular values, and the Gram matrix is diagonal.
 */
function knownMatrix(): Matrix<Float64Array> {
  const data = new Float64Array(ROWS * COLUMNS);
  for (let row = 0; row < ROWS; row += 1) {
    for (let column = 0; column < COLUMNS; column += 1) {
      const cosine = Math.cos((Math.PI * (row + 0.5) * column) / ROWS);
      data[row * COLUMNS + column] = valueOf(column) * cosine * Math.sqrt((column === 0 ? 1 : 2) / ROWS);
    }
  }
  return { rows: ROWS, columns: COLUMNS, data };
}

const valueOf = (column: number): number => 2 - column / COLUMNS;
const entryOfGram = (row: number, column: number): number => (row === column ? valueOf(row) ** 2 : 0);

function off(what: string, data: Reals, of: (row: number, column: number) => number, tolerance: number): string | undefined {
  let worst = data.length === COLUMNS * COLUMNS ? 0 : Number.NaN;
  for (let index = 0; index < data.length; index += 1) {
    worst = Math.max(worst, Math.abs((data[index] as number) - of(Math.floor(index / COLUMNS), index % COLUMNS)));
  }
  return worst <= tolerance ? undefined : `${what} is off by ${worst.toExponential(1)}`;
}

function valuesOff(what: string, values: Float64Array): string | undefined {
  let worst = values.length === COLUMNS ? 0 : Number.NaN;
  for (let index = 0; index < values.length; index += 1) {
    worst = Math.max(worst, Math.abs((values[index] as number) - valueOf(index)));
  }
  return worst <= 1e-12 ? undefined : `${what} is off by ${worst.toExponential(1)}`;
}

/** The leading vectors of the known matrix are unit vectors: V^T V is a cut identity. */
function projectionOff(engine: LinearAlgebra, wide: Matrix<Float64Array>): string | undefined {
  const count = 40;
  const vectors = engine.spectrum(wide).vectors(count);
  const projection = engine.gemm(vectors, vectors, { transposeA: true });
  return off('the space of singular vectors', projection.data, (row, column) => (row === column && row < count ? 1 : 0), 1e-11);
}
