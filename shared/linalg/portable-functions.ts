/**
 * Exports of linalg.wasm (assembly/): pointers are byte offsets, counts are elements, steps are bytes from row to row, flags are 0 or 1. Everything is f64 unless
 * its name says otherwise; `scratch` is as long as the function's own `...Bytes` says.
 */
type Product = (
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  aStep: number,
  aAcross: number,
  b: number,
  bStep: number,
  bAcross: number,
  c: number,
  cStep: number,
  lower: number,
) => void;

export interface LinalgFunctions {
  /** Where memory is free. */
  freeMemory(): number;
  /** A good step for so many f64 columns. */
  stepBytes(columns: number): number;
  /** Steps over k whose sum is added to the result at once; cut products at multiples of it and no bit changes. */
  readonly productSteps: { readonly value: number };
  /** c += alpha op(a) op(b), c m x n. `aAcross`: a is k x m; `bAcross`: b is n x k; `lower`: only where column <= row has to be right. */
  readonly addProduct32: Product;
  readonly addProduct64: Product;

  /** Takes contiguous rows x columns (`wide`: f64, else f32), times a factor, into rows of f64; `across`: row r becomes column r. */
  takeIn(from: number, wide: number, rows: number, columns: number, to: number, step: number, factor: number, across: number): void;
  /** The opposite: contiguous rows x columns; `across`: row r is column r of `from`. */
  giveOut(from: number, step: number, rows: number, columns: number, to: number, wide: number, factor: number, across: number): void;

  applyBytes(rows: number): number;
  /** Every row of z becomes H_0 H_1 ... H_(count - 1) z; reflector i is row i of v, zero before i + offset; `transposed`: in the opposite order. */
  applyReflectors(
    z: number,
    zStep: number,
    rows: number,
    v: number,
    vStep: number,
    count: number,
    offset: number,
    n: number,
    taus: number,
    transposed: number,
    scratch: number,
  ): void;

  tridiagonalBytes(step: number): number;
  /** Symmetric a (lower triangle) = Q T Q^T; `diagonal`: n, `off`: n - 1, `taus`: n numbers; a becomes the reflectors. */
  tridiagonalise(a: number, step: number, n: number, diagonal: number, off: number, taus: number, scratch: number): void;
  /** Every row z becomes Q z, or Q^T z (`transposed`); scratch: applyBytes(rows). */
  applyTridiagonal(
    z: number,
    zStep: number,
    rows: number,
    a: number,
    step: number,
    n: number,
    taus: number,
    transposed: number,
    scratch: number,
  ): void;
  /** `d` becomes the eigenvalues, in no order; `squares` of the off-diagonal are destroyed. 1 when it does not converge. */
  tridiagonalValues(d: number, squares: number, n: number): number;

  bidiagonalBytes(step: number): number;
  /** a = L B R^T of order n; reflectors of L in `left` (n x n), of R in a. */
  bidiagonalise(
    a: number,
    step: number,
    n: number,
    left: number,
    diagonal: number,
    off: number,
    leftTaus: number,
    rightTaus: number,
    scratch: number,
  ): void;
  divideBytes(n: number, withLeft: number): number;
  /** Upper bidiagonal B = U S W^T: values descending, rows of vectors of the `wanted` largest; `leftTo` 0: none. */
  solveBidiagonal(
    n: number,
    diagonal: number,
    off: number,
    wanted: number,
    singular: number,
    rightTo: number,
    rightStep: number,
    leftTo: number,
    leftStep: number,
    scratch: number,
  ): void;

  /** The matrix whose columns are the `count` rows of a (n elements) = Q R: reflectors in a, r (count x min(count, n)) = R^T; scratch: applyBytes(count). */
  factorQr(a: number, step: number, count: number, n: number, r: number, rStep: number, taus: number, scratch: number): void;
  /** a = L L^T in place; 0, or the number of the first leading minor that is not positive. */
  factorCholesky(a: number, step: number, n: number): number;
  /** b (n x m) becomes x of L x = b. */
  forwardCholesky(a: number, step: number, n: number, b: number, bStep: number, m: number): void;
  /** b (n x m) becomes x of L L^T x = b. */
  solveCholesky(a: number, step: number, n: number, b: number, bStep: number, m: number): void;
}
