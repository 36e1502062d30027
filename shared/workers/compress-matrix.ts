/**
 * One matrix of a contribution as STAR leaves it (arXiv 2502.10339), for sending: in a worker thread, read, truncate, choose how to store, write.
 *
 * Factors are F16 where that does no harm, and F32 elsewhere. No harm is: the product moves by at most MAX_ROUNDING of its norm, and, where the base has
 * all digits of F32, by at most MAX_SHARE_OF_CUT of what the truncation itself takes away.
 */
import { DTYPE_BYTES, type MergeDType } from '../formats/tensor.js';
import { DTYPE_CODE, type Kernels } from '../kernels/kernels.js';
import type { LinearAlgebra, Matrix } from '../linalg/linear-algebra.js';
import type { Factors } from '../spectral/factors.js';
import { squaredNorm } from '../spectral/matrices.js';
import { factorsNorm, roundingDistance } from '../spectral/rounded-factors.js';
import { starFactors } from '../spectral/star.js';
import { createMatrixLoader } from './load-matrix.js';
import type { CompressedMatrix, CompressTask } from './matrix-job.js';
import { createSourceReader } from './source-reader.js';
import type { SourceTable } from './source-table.js';
import { createMatrixStorer, type MatrixStorer, writeParts } from './store-matrix.js';

const MAX_ROUNDING = 1e-3;
const MAX_SHARE_OF_CUT = 0.01;

const DTYPES = ['F32', 'F16', 'BF16'] as const satisfies readonly MergeDType[];

interface Encoded {
  readonly dtype: MergeDType;
  readonly bytes: readonly Uint8Array[];
  readonly roundingNorm: number;
}

/** Of the factors the smallest form that is near enough and smaller than the whole matrix. */
function encodeFactors(
  storer: MatrixStorer,
  factors: Factors,
  norms: { readonly kept: number; readonly cut: number },
  base: MergeDType,
): Encoded | undefined {
  const { left, right } = factors;
  const elements = left.data.length + right.data.length;
  const wholeBytes = left.rows * right.columns * DTYPE_BYTES[base];
  const limit = Math.min(MAX_ROUNDING * norms.kept, base === 'F32' ? MAX_SHARE_OF_CUT * norms.cut : Number.POSITIVE_INFINITY);
  for (const dtype of ['F16', 'F32'] as const) {
    if (elements * DTYPE_BYTES[dtype] >= wholeBytes) continue;
    const [storedLeft, storedRight] = [storer.store(left.data, dtype), storer.store(right.data, dtype)];
    const rounded = { left: { ...left, data: storedLeft.values }, right: { ...right, data: storedRight.values } };
    const roundingNorm = dtype === 'F32' ? 0 : roundingDistance(factors, rounded);
    if (roundingNorm <= limit) return { dtype, bytes: [storedLeft.bytes, storedRight.bytes], roundingNorm };
  }
  return undefined;
}

/** base + difference in the base's dtype; what this is away from the difference itself is infinite where a sum is beyond the dtype. */
function encodeWhole(storer: MatrixStorer, base: Matrix, difference: Matrix, dtype: MergeDType): Encoded {
  const sum = new Float32Array(difference.data.length);
  for (let i = 0; i < sum.length; i++) sum[i] = (base.data[i] ?? 0) + (difference.data[i] ?? 0);
  const { bytes, values } = storer.store(sum, dtype);
  let squared = 0;
  for (let i = 0; i < sum.length; i++) squared += ((values[i] ?? 0) - (base.data[i] ?? 0) - (difference.data[i] ?? 0)) ** 2;
  return { dtype, bytes: [bytes], roundingNorm: Math.sqrt(squared) };
}

/** @throws NotFiniteError (input 0: the fine-tuned weights), LINALG_FAILED, system errors as they are */
export function compressMatrix(la: LinearAlgebra, kernels: Kernels, sources: SourceTable, task: CompressTask): CompressedMatrix {
  const { rows, columns, tuned, base, eta, path } = task;
  kernels.reset();
  const reader = createSourceReader(sources, kernels);
  try {
    const loader = createMatrixLoader(kernels, reader);
    const storer = createMatrixStorer(kernels);
    const vector = loader.load(0, tuned, rows, columns, base);
    const norm = Math.sqrt(squaredNorm(vector.data));
    if (norm === 0) return { kind: 'unchanged', rank: 0, norm, keptNorm: 0, cutNorm: 0, roundingNorm: 0 };
    const factors = starFactors(la, vector, eta);
    const { rank } = factors;
    if (rank === Math.min(rows, columns)) return { kind: 'whole', rank, norm, keptNorm: norm, cutNorm: 0, roundingNorm: 0 };
    const baseDType = DTYPES.find((dtype) => DTYPE_CODE[dtype] === base.dtype) ?? 'F32';
    const keptNorm = factorsNorm(factors);
    const cutNorm = factors.error * norm;
    const small = encodeFactors(storer, factors, { kept: keptNorm, cut: cutNorm }, baseDType);
    if (small !== undefined) {
      writeParts(path, small.bytes);
      return { kind: 'factors', rank, dtype: small.dtype, norm, keptNorm, cutNorm, roundingNorm: small.roundingNorm };
    }
    const difference = la.gemm(factors.left, factors.right);
    const whole = encodeWhole(storer, loader.load(-1, base, rows, columns), difference, baseDType);
    // A sum beyond the dtype.
    if (!Number.isFinite(whole.roundingNorm)) return { kind: 'whole', rank, norm, keptNorm, cutNorm, roundingNorm: cutNorm };
    writeParts(path, whole.bytes);
    return { kind: 'rounded', rank, norm, keptNorm, cutNorm, roundingNorm: whole.roundingNorm };
  } finally {
    reader.close();
  }
}
