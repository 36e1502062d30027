/**
 * Dense linear algebra as the merge needs it. Three engines implement this one interface (tensorflow, lapack, portable) and pass one
 * conformance suite (test/support/linalg-conformance.ts). All calls are synchronous and run in worker threads, never on the main thread.
 * An engine gives the same bits for the same call on the same machine; different engines agree to the stated tolerances.
 */

/** f32 or f64; results have the element type of the input unless said otherwise. */
export type Reals = Float32Array | Float64Array;

/** Row-major and contiguous: element (i, j) is data[i * columns + j]. */
export interface Matrix<T extends Reals = Float32Array> {
  readonly rows: number;
  readonly columns: number;
  readonly data: T;
}

export interface GemmOptions<T extends Reals> {
  /** Use the transpose of a, of b. */
  readonly transposeA?: boolean | undefined;
  readonly transposeB?: boolean | undefined;
  /** Factor of the product, default 1. */
  readonly alpha?: number | undefined;
  /** The product is added to `beta` times what is there, and this same matrix is returned; default: a new matrix. */
  readonly into?: Matrix<T> | undefined;
  /** Default 0. */
  readonly beta?: number | undefined;
}

/** Thin: with k = min(rows, columns) u is rows x k, vt is k x columns; s has k values in descending order, none negative. */
export interface Svd<T extends Reals> {
  readonly u: Matrix<T>;
  readonly s: Float64Array;
  readonly vt: Matrix<T>;
}

/** Eigenvalues in ascending order; row i of `vectors` is the unit eigenvector of value i. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Matrix<Float64Array>;
}

/**
 * Singular values of a matrix and, afterwards, as many singular vectors of its shorter side as the caller finds it needs: values come from the
 * fp64 Gram matrix of the shorter side and cost a fraction of a full SVD; vectors are computed for the wanted ones alone.
 */
export interface Spectrum {
  /** All k = min(rows, columns) singular values, descending; absolute error at most about 1e-8 of the largest, and the sum to 1e-7 relative. */
  readonly values: Float64Array;
  /** Which singular vectors `vectors` gives: `right` (columns <= rows) or `left`. */
  readonly side: 'left' | 'right';
  /**
   * The singular vectors of the `count` largest values: count x k, orthonormal rows to 1e-12, in the order of `values`. What counts is the
   * space they span: inside of a cluster of equal values they may be any basis.
   */
  vectors(count: number): Matrix<Float64Array>;
}

export const ENGINES = ['tensorflow', 'lapack', 'portable'] as const;
export type EngineName = (typeof ENGINES)[number];

/** What can be asked for. */
export const ENGINE_SETTINGS = ['auto', ...ENGINES] as const;
export type EngineSetting = (typeof ENGINE_SETTINGS)[number];

export interface LinearAlgebra {
  readonly engine: EngineName;
  /** `cpu`, `gpu:0`: what it computes on. */
  readonly device: string;
  /** Library and version, as `tributary doctor` shows it. */
  readonly library: string;
  /** alpha op(a) op(b) + beta into. @throws INTERNAL when shapes do not fit */
  gemm<T extends Reals>(a: Matrix<T>, b: Matrix<T>, options?: GemmOptions<T>): Matrix<T>;
  /** a^T a (`right`, columns x columns) or a a^T (`left`, rows x rows), accumulated in fp64; both triangles are filled. */
  gram(a: Matrix<Reals>, side: 'left' | 'right'): Matrix<Float64Array>;
  /** Thin singular value decomposition, backward stable in fp64 (also of f32 input). @throws LINALG_FAILED */
  svd<T extends Reals>(a: Matrix<T>): Svd<T>;
  /** As `svd(a).s`, without vectors. @throws LINALG_FAILED */
  singularValues(a: Matrix<Reals>): Float64Array;
  /** Of a symmetric matrix; the lower triangle counts. @throws LINALG_FAILED */
  eigh(a: Matrix<Float64Array>): Eigen;
  /** x of a x = b for a symmetric positive definite (n x n) and b n x m. @throws LINALG_FAILED when a is not positive definite */
  choleskySolve(a: Matrix<Float64Array>, b: Matrix<Float64Array>): Matrix<Float64Array>;
  /** Thin QR: q rows x k with orthonormal columns, r k x columns upper triangular, k = min(rows, columns). */
  qr<T extends Reals>(a: Matrix<T>): { readonly q: Matrix<T>; readonly r: Matrix<T> };
  spectrum(a: Matrix<Reals>): Spectrum;
}

/** What a worker thread needs to load an engine that the main thread has found and tested. Plain data. */
export type EngineChoice =
  | { readonly engine: 'portable' }
  /** Path of a shared library and the prefix of its symbols (`scipy_`). */
  | { readonly engine: 'lapack'; readonly library: string; readonly prefix: string; readonly coreType?: string | undefined }
  /** Package that loads, and the TensorFlow device string. */
  | { readonly engine: 'tensorflow'; readonly packageName: string; readonly device: string };

/** An engine that loads on this machine, as the main thread found it. */
export interface FoundEngine {
  readonly choice: EngineChoice;
  readonly device: string;
  /** Library and version. */
  readonly library: string;
  /** Why it is this one, in a few words. */
  readonly reason: string;
  /** What the user should know: fallbacks, and what would be faster. */
  readonly notes: readonly string[];
}
