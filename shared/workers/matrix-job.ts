/** What the main thread and the threads that work on whole matrices say to each other: types only. */
import type { SerializedError } from '../errors/tributary-error.js';
import type { MergeDType } from '../formats/tensor.js';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import type { MatrixCombine } from '../merge/derive.js';
import type { FactorSize } from '../spectral/factors.js';
import type { SourceTable } from './source-table.js';

export interface StoredMatrix {
  readonly source: number;
  /** DTYPE_CODE. */
  readonly dtype: number;
}

/** scale x left x right; rows, columns and rank are those of the factors. */
export interface StoredProduct {
  readonly left: StoredMatrix;
  readonly right: StoredMatrix;
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
  readonly scale: number;
  readonly transposed: boolean;
}

export interface MatrixInput extends StoredMatrix {
  /** The values are a task vector; else the base is taken off. */
  readonly difference: boolean;
  readonly eta?: number | undefined;
  readonly weight: number;
  /** How the input is kept, when it is no matrix but two factors; `source` gives the values all the same. */
  readonly product?: StoredProduct | undefined;
}

export interface MatrixTask {
  readonly rows: number;
  readonly columns: number;
  readonly inputs: readonly MatrixInput[];
  readonly base?: StoredMatrix | undefined;
  readonly combine: MatrixCombine;
  /** The file to write: what is made, one after the other, as f32. */
  readonly path: string;
}

/** One matrix of fine-tuned weights, to be sent as what STAR makes of its task vector (arXiv 2502.10339), in as few bytes as that takes. */
export interface CompressTask {
  readonly rows: number;
  readonly columns: number;
  readonly tuned: StoredMatrix;
  readonly base: StoredMatrix;
  /** Percent of the nuclear norm that stays, (0, 100). */
  readonly eta: number;
  /** The file to write, where something is written: left and right, or base plus difference. */
  readonly path: string;
}

/**
 * `unchanged`: the task vector is zero. `factors`: two factors of `dtype` were written. `rounded`: factors would have been no smaller; base plus
 * truncated vector was written in the base's dtype. `whole`: nothing is cut off, or that sum is beyond the dtype; the fine-tuned weights are taken as they
 * are, and nothing was written.
 */
export interface CompressedMatrix {
  readonly kind: 'unchanged' | 'factors' | 'rounded' | 'whole';
  /** Singular values kept, of min(rows, columns). */
  readonly rank: number;
  /** Of the factors. */
  readonly dtype?: MergeDType | undefined;
  /** Frobenius norms: of the task vector, of the truncated one, of their difference, and of what storing the truncated one changed. */
  readonly norm: number;
  readonly keptNorm: number;
  readonly cutNorm: number;
  readonly roundingNorm: number;
}

/** One term of a sum of products. */
export interface ProductTerm {
  /** For findings. */
  readonly input: number;
  readonly product: StoredProduct;
  readonly weight: number;
  /** Percent that STAR keeps of the product first; undefined: the product as it is. */
  readonly eta?: number | undefined;
}

/** Two factors of a matrix, as an adapter holds them: it is B A, or (B A)^T where `turned`. */
export interface FactorTask {
  /** Of the matrix. */
  readonly rows: number;
  readonly columns: number;
  /** What is factored: a sum of products, or a matrix less its base. */
  readonly of:
    | { readonly kind: 'products'; readonly terms: readonly ProductTerm[] }
    | { readonly kind: 'matrix'; readonly matrix: StoredMatrix; readonly base?: StoredMatrix | undefined };
  readonly size: FactorSize;
  readonly dtype: MergeDType;
  readonly turned: boolean;
  /** The file to write: A, then B. */
  readonly path: string;
}

export interface FactoredMatrix {
  /** 0: the matrix is zero, and no file was written. */
  readonly rank: number;
  /** Frobenius norm of the matrix, and of what its factors as they are stored are off by; infinite where a factor is beyond the dtype. */
  readonly norm: number;
  readonly residualNorm: number;
}

export interface MatrixStart {
  readonly engine: EngineChoice;
  readonly kernels: WasmModule;
}

export type MatrixRequest =
  | ({ readonly kind: 'start' } & MatrixStart)
  | { readonly kind: 'task'; readonly task: MatrixTask; readonly sources: SourceTable }
  | { readonly kind: 'compress'; readonly task: CompressTask; readonly sources: SourceTable }
  | { readonly kind: 'factor'; readonly task: FactorTask; readonly sources: SourceTable };

/** Where a number is not finite: number of the input (-1: the base), of the element, and what is there. */
export interface NotFinite {
  readonly input: number;
  readonly element: number;
  readonly value: number;
}

export interface MatrixDone {
  readonly kind: 'done';
  readonly notFinite?: NotFinite | undefined;
  /** Of `compress`. */
  readonly compressed?: CompressedMatrix | undefined;
  /** Of `factor`. */
  readonly factored?: FactoredMatrix | undefined;
}

export type MatrixReply = MatrixDone | { readonly kind: 'failed'; readonly error: SerializedError };
