/** Products of the portable engine: tiles of the operands are copied into the WASM memory, so that any size fits. */
import { TributaryError } from '../errors/tributary-error.js';
import type { GemmOptions, Matrix, Reals } from './linear-algebra.js';
import { describe, giveOut, type LinalgMemory, newMatrix, stageBytes, takeIn } from './portable-memory.js';

/** Rows and columns of a tile: a multiple of `productSteps`. */
const TILE = 1024;

export const shortSide = (a: Matrix<Reals>): 'left' | 'right' => (a.columns <= a.rows ? 'right' : 'left');

export function gemm<T extends Reals>(memory: LinalgMemory, a: Matrix<T>, b: Matrix<T>, options: GemmOptions<T> = {}): Matrix<T> {
  const { transposeA = false, transposeB = false, alpha = 1, beta = 0 } = options;
  const [m, k] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [kOfB, n] = transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  const c = options.into ?? newMatrix(a.data, m, n);
  if (k !== kOfB || c.rows !== m || c.columns !== n) {
    const shape = (rows: number, columns: number): string => `${rows} x ${columns}`;
    throw new TributaryError('INTERNAL', {
      what: 'shapes of a matrix product do not fit',
      expected: `${shape(m, k)} times ${shape(k, n)} into ${shape(m, n)}`,
      got: `${shape(m, k)} times ${shape(kOfB, n)} into ${shape(c.rows, c.columns)}`,
    });
  }
  const width = a.data.BYTES_PER_ELEMENT;
  const [mTile, nTile, kTile] = [Math.min(m, TILE), Math.min(n, TILE), Math.min(k, TILE)];
  const at = memory.layOut(describe('product', c), { a: mTile * kTile * width, b: kTile * nTile * width, c: mTile * nTile * width });
  const addProduct = width === 4 ? memory.run.addProduct32 : memory.run.addProduct64;
  for (let i = 0; i < m; i += mTile) {
    const rows = Math.min(mTile, m - i);
    for (let j = 0; j < n; j += nTile) {
      const columns = Math.min(nTile, n - j);
      const sums = memory.reals<Reals>(c.data, at.c, rows * columns);
      if (beta === 0) sums.fill(0);
      else {
        copyTile(memory, c, i, j, rows, columns, at.c);
        if (beta !== 1) for (let e = 0; e < sums.length; e++) sums[e] = (sums[e] as number) * beta;
      }
      for (let p = 0; p < k; p += kTile) {
        const steps = Math.min(kTile, k - p);
        const [aStep, bStep] = [(transposeA ? rows : steps) * width, (transposeB ? steps : columns) * width];
        if (transposeA) copyTile(memory, a, p, i, steps, rows, at.a);
        else copyTile(memory, a, i, p, rows, steps, at.a);
        if (transposeB) copyTile(memory, b, j, p, columns, steps, at.b);
        else copyTile(memory, b, p, j, steps, columns, at.b);
        const [aAcross, bAcross] = [Number(transposeA), Number(transposeB)];
        addProduct(rows, columns, steps, alpha, at.a, aStep, aAcross, at.b, bStep, bAcross, at.c, columns * width, 0);
      }
      for (let r = 0; r < rows; r++) c.data.set(sums.subarray(r * columns, (r + 1) * columns), (i + r) * n + j);
    }
  }
  return c;
}

/** Rows and columns of a matrix to contiguous memory. */
function copyTile(memory: LinalgMemory, from: Matrix<Reals>, row: number, column: number, rows: number, columns: number, to: number): void {
  const tile = memory.reals<Reals>(from.data, to, rows * columns);
  const start = row * from.columns + column;
  if (columns === from.columns) tile.set(from.data.subarray(start, start + rows * columns));
  else
    for (let r = 0; r < rows; r++) tile.set(from.data.subarray(start + r * from.columns, start + r * from.columns + columns), r * columns);
}

/** Where `addGram` finds what it needs; `chunk`: chunkBytes. */
export interface GramPlaces {
  /** k rows of f64 (k: the length of the side), zero at first; the lower triangle gets right. */
  readonly gram: number;
  readonly step: number;
  readonly chunk: number;
  readonly stage: number;
}

export const chunkBytes = (memory: LinalgMemory, step: number): number => memory.run.productSteps.value * step;

/**
 * gram += V V^T of the matrix times `factor`, taken as vectors along `side`: rows for `right`, columns for `left`, a chunk of them at a time. `change` may
 * alter a chunk of so many vectors before it is multiplied.
 */
export function addGram(
  memory: LinalgMemory,
  a: Matrix<Reals>,
  side: 'left' | 'right',
  at: GramPlaces,
  factor = 1,
  change?: (vectors: number) => void,
): void {
  const chunk = memory.run.productSteps.value;
  const [count, k] = side === 'right' ? [a.rows, a.columns] : [a.columns, a.rows];
  for (let first = 0; first < count; first += chunk) {
    const vectors = Math.min(chunk, count - first);
    const place = { pointer: at.chunk, step: at.step, factor };
    if (side === 'right') {
      const part = a.data.subarray(first * k, (first + vectors) * k);
      takeIn(memory, { rows: vectors, columns: k, data: part }, place, at.stage);
    } else {
      takeColumns(memory, a, first, vectors, place, at.stage);
    }
    change?.(vectors);
    memory.run.addProduct64(k, k, vectors, 1, at.chunk, at.step, 1, at.chunk, at.step, 0, at.gram, at.step, 1);
  }
}

/** Columns of a matrix as rows. */
function takeColumns(
  memory: LinalgMemory,
  a: Matrix<Reals>,
  first: number,
  columns: number,
  to: { pointer: number; step: number; factor: number },
  stage: number,
): void {
  const rowsAtOnce = 512;
  for (let row = 0; row < a.rows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, a.rows - row);
    copyTile(memory, a, row, first, rows, columns, stage);
    const wide = a.data instanceof Float64Array ? 1 : 0;
    memory.run.takeIn(stage, wide, rows, columns, to.pointer + row * 8, to.step, to.factor, 1);
  }
}

export function gram(memory: LinalgMemory, a: Matrix<Reals>, side: 'left' | 'right'): Matrix<Float64Array> {
  const k = side === 'right' ? a.columns : a.rows;
  const step = memory.run.stepBytes(k);
  const at = memory.layOut(describe('Gram matrix', a), { gram: k * step, chunk: chunkBytes(memory, step), stage: stageBytes(k) });
  memory.doubles(at.gram, (k * step) / 8).fill(0);
  addGram(memory, a, side, { ...at, step });
  const whole = giveOut(memory, { pointer: at.gram, step }, newMatrix(new Float64Array(0), k, k), at.stage);
  for (let i = 0; i < k; i++) for (let j = 0; j < i; j++) whole.data[j * k + i] = whole.data[i * k + j] as number;
  return whole;
}
