/** gemm and gram on TensorFlow. */
import { TributaryError } from '../errors/tributary-error.js';
import type { GemmOptions, Matrix, Reals } from './linear-algebra.js';
import { type Placement, type Tensor, type Tensors, withTensors } from './tensorflow-tensors.js';

/** Elements of the long side's blocks that are widened to f64 at a time (256 MiB). */
const BLOCK_ELEMENTS = 2 ** 25;

export function gemm<T extends Reals>(place: Placement, a: Matrix<T>, b: Matrix<T>, options: GemmOptions<T> = {}): Matrix<T> {
  const { transposeA = false, transposeB = false, alpha = 1, beta = 0, into } = options;
  const [rows, inner] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [innerOfB, columns] = transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  if (inner !== innerOfB || (into !== undefined && (into.rows !== rows || into.columns !== columns))) {
    const shapes = [a, b, into].map((matrix) => matrix && `${matrix.rows} x ${matrix.columns}`).join(', ');
    throw new TributaryError('INTERNAL', { what: `Matrices that do not fit: ${shapes}, transposed: ${transposeA}, ${transposeB}` });
  }
  const product = withTensors(place, (tensors) => {
    // An addon that cannot be told a device cannot be told either that f32 is not TF32.
    const exact = place.device !== undefined && a.data instanceof Float32Array;
    const type = exact ? 'f32' : 'f64';
    const upload = (matrix: Matrix<T>): Tensor => (exact ? tensors.upload(matrix) : tensors.uploadWide(matrix));
    const result = tensors.run('MatMul', { T: type, transpose_a: transposeA, transpose_b: transposeB }, upload(a), upload(b));
    return exact ? (tensors.readF32(result) as Reals as T) : tensors.readLike(a.data, result);
  });
  const target = into ?? { rows, columns, data: product };
  if (into === undefined && alpha === 1) return target;
  for (let index = 0; index < product.length; index += 1) {
    const there = beta === 0 ? 0 : beta * (target.data[index] as number);
    target.data[index] = alpha * (product[index] as number) + there;
  }
  return target;
}

export function gram(place: Placement, a: Matrix<Reals>, side: 'left' | 'right'): Matrix<Float64Array> {
  const size = side === 'right' ? a.columns : a.rows;
  const data = withTensors(place, (tensors) => tensors.readF64(gramTensor(tensors, a, side)));
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < row; column += 1) data[column * size + row] = data[row * size + column] as number;
  }
  return { rows: size, columns: size, data };
}

/** The Gram matrix in f64; with a `basis` (columns, in f64) that of a times the basis (`right`) or of the transposed basis times a (`left`). */
export function gramTensor(tensors: Tensors, a: Matrix<Reals>, side: 'left' | 'right', basis?: Tensor): Tensor {
  const [size, length] = side === 'right' ? [a.columns, a.rows] : [a.rows, a.columns];
  const step = Math.max(1, Math.floor(BLOCK_ELEMENTS / Math.max(1, size)));
  const whole = tensors.upload(a);
  let sum: Tensor | undefined;
  for (let start = 0; start === 0 || start < length; start += step) {
    const block = wideBlock(tensors, whole, a, side, start, Math.min(step, length - start));
    const seen = basis === undefined ? block : along(tensors, block, side, basis);
    const product = tensors.run('MatMul', { T: 'f64', transpose_a: side === 'right', transpose_b: side === 'left' }, seen, seen);
    tensors.drop(block, seen);
    const next = sum === undefined ? product : tensors.run('AddV2', { T: 'f64' }, sum, product);
    if (sum !== undefined) tensors.drop(sum, product);
    sum = next;
  }
  tensors.drop(whole);
  return sum as Tensor;
}

function along(tensors: Tensors, block: Tensor, side: 'left' | 'right', basis: Tensor): Tensor {
  const [left, right] = side === 'right' ? [block, basis] : [basis, block];
  return tensors.run('MatMul', { T: 'f64', transpose_a: side === 'left', transpose_b: false }, left, right);
}

/** `count` rows (`right`) or columns (`left`) of `whole`, in f64. */
function wideBlock(
  tensors: Tensors,
  whole: Tensor,
  { data, rows, columns }: Matrix<Reals>,
  side: 'left' | 'right',
  start: number,
  count: number,
): Tensor {
  const [begin, size] =
    side === 'right'
      ? ([
          [start, 0],
          [count, columns],
        ] as const)
      : ([
          [0, start],
          [rows, count],
        ] as const);
  const bounds = [tensors.indices(...begin), tensors.indices(...size)] as const;
  const type = data instanceof Float32Array ? 'f32' : 'f64';
  const slice = tensors.run('Slice', { T: type, Index: 'i32' }, whole, ...bounds);
  tensors.drop(...bounds);
  if (type === 'f64') return slice;
  const wide = tensors.cast(slice, 'f32', 'f64');
  tensors.drop(slice);
  return wide;
}
