/**
 * Dense linear algebra of the portable engine, AssemblyScript to WASM SIMD. No garbage collector, no bounds checks: raw pointers into a memory that the caller
 * lays out from `freeMemory()` on. What always holds:
 * - counts are of elements, steps are bytes from row to row, matrices lie row by row; `scratch` is as long as the function's own `...Bytes` says;
 * - sums are taken in an order that depends on the counts alone: the same call gives the same bits;
 * - factorisations want numbers scaled to about 1 (no square of theirs that matters may leave the range of f64).
 * Loops that carry the work are functions of their own: the host optimises a function for its next call.
 */
export { tile32, tile64 } from './tiles';
export { addProduct32, addProduct64, freeMemory, STEPS as productSteps } from './product';
export { addFourRows, addScaled, dot, fourDots, rotate, scale } from './rows';
export { applyBytes, applyReflectors } from './reflectors';
export { applyTridiagonal, fourRows, tridiagonalBytes, tridiagonalise } from './tridiagonal';
export { tridiagonalValues } from './tridiagonal-values';
export { bidiagonalBytes, bidiagonalise } from './bidiagonal';
export { factorQr } from './orthogonal';
export { divideBytes, stepBytes } from './divide-memory';
export { solveBidiagonal } from './divide';
export { divideCouplings, multiplyRatios } from './inner';
export { addTerms, setGaps } from './secular';
export { factorCholesky, forwardCholesky, solveCholesky } from './cholesky';
export { giveOut, takeIn } from './transfer';
