/** Products of row-major matrices with column-major BLAS. */
import { TributaryError } from '../errors/tributary-error.js';
import { double, type LapackLibrary } from './lapack-library.js';
import type { GemmOptions, Matrix, Reals } from './linear-algebra.js';

/** Elements of a panel that f32 matrices are widened in: 2 MiB of fp64, which stays in the second-level cache of most processors. */
const PANEL_ELEMENTS = 1 << 18;
/** Widest panel: past this, dsyrk gains nothing. */
const PANEL_DEPTH = 512;

export function gemm<T extends Reals>(library: LapackLibrary, a: Matrix<T>, b: Matrix<T>, options: GemmOptions<T> = {}): Matrix<T> {
  const { transposeA = false, transposeB = false, alpha = 1, beta = 0, into } = options;
  const [rows, inner] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [innerB, columns] = transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  if (inner !== innerB) throw shapesDoNotFit(`${rows} x ${inner} times ${innerB} x ${columns}`);
  const result = into ?? { rows, columns, data: newLike(a.data, rows * columns) };
  if (result.rows !== rows || result.columns !== columns) {
    throw shapesDoNotFit(`${rows} x ${columns} into ${result.rows} x ${result.columns}`);
  }
  if (rows === 0 || columns === 0) return result;
  const narrow = a.data instanceof Float32Array;
  const scalar = (value: number): Reals => (narrow ? Float32Array.of(value) : double(value));
  const scale = into === undefined ? 0 : beta;
  // In column-major terms: result^T = op(b)^T op(a)^T.
  library.call(
    narrow ? 'sgemm' : 'dgemm',
    transposeB ? 'T' : 'N',
    transposeA ? 'T' : 'N',
    columns,
    rows,
    inner,
    scalar(alpha),
    b.data,
    Math.max(1, b.columns),
    a.data,
    Math.max(1, a.columns),
    scalar(scale),
    result.data,
    columns,
  );
  return result;
}

export function gram(library: LapackLibrary, a: Matrix<Reals>, side: 'left' | 'right'): Matrix<Float64Array> {
  const size = side === 'right' ? a.columns : a.rows;
  const data = lowerGram(library, a, side);
  mirror(data, size);
  return { rows: size, columns: size, data };
}

/**
 * One triangle of the Gram matrix, size x size in fp64: the upper one of the row-major matrix, which is the lower one to LAPACK. The other is
 * zero. f32 input is widened panel by panel, so no second copy of `a` is made.
 */
export function lowerGram(library: LapackLibrary, a: Matrix<Reals>, side: 'left' | 'right'): Float64Array {
  const { rows, columns, data } = a;
  const size = side === 'right' ? columns : rows;
  const sum = new Float64Array(size * size);
  if (rows === 0 || columns === 0) return sum;
  const add = (panel: Reals, depth: number, width: number, first: boolean): void =>
    library.call('dsyrk', 'L', side === 'right' ? 'N' : 'T', size, depth, double(1), panel, width, double(first ? 0 : 1), sum, size);
  if (data instanceof Float64Array) {
    add(data, side === 'right' ? rows : columns, columns, true);
    return sum;
  }
  const depth = Math.max(16, Math.min(PANEL_DEPTH, Math.floor(PANEL_ELEMENTS / size), side === 'right' ? rows : columns));
  const panel = new Float64Array(depth * size);
  const length = side === 'right' ? rows : columns;
  for (let start = 0; start < length; start += depth) {
    const taken = Math.min(depth, length - start);
    if (side === 'right') panel.set(data.subarray(start * columns, (start + taken) * columns));
    else
      for (let row = 0; row < rows; row += 1) panel.set(data.subarray(row * columns + start, row * columns + start + taken), row * taken);
    add(panel, taken, side === 'right' ? columns : taken, start === 0);
  }
  return sum;
}

/** Copies the upper triangle of a row-major matrix onto the lower one, tile by tile: whole columns would miss the cache at every step. */
function mirror(data: Float64Array, size: number): void {
  const tile = 32;
  for (let top = 0; top < size; top += tile) {
    for (let left = top; left < size; left += tile) {
      for (let row = top; row < Math.min(size, top + tile); row += 1) {
        for (let column = Math.max(row + 1, left); column < Math.min(size, left + tile); column += 1) {
          data[column * size + row] = data[row * size + column] as number;
        }
      }
    }
  }
}

function newLike<T extends Reals>(like: T, length: number): T {
  return (like instanceof Float32Array ? new Float32Array(length) : new Float64Array(length)) as T;
}

function shapesDoNotFit(what: string): TributaryError {
  return new TributaryError('INTERNAL', { what: `Shapes do not fit: ${what}` });
}
