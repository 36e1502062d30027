/**
 * Small dense symmetric systems for fits: some hundreds of unknowns and a thousand equations. Matrices are row by row, one row behind
 * another.
 */
import { loadRows, storeRows, withLinalg } from './dense-memory.js';

/** rows' diag(weights) rows: (columns)^2 values, both triangles. `rows` has weights.length rows of so many columns; no weight is below 0. */
export function weightedGram(rows: Float64Array, weights: Float64Array, columns: number): Float64Array {
  const count = weights.length;
  const gram = new Float64Array(columns * columns);
  withLinalg((linalg) => {
    const step = linalg.run.stepBytes(columns);
    const at = linalg.layOut('weighted Gram matrix', { rows: count * step, gram: columns * step });
    loadRows(linalg, rows, count, columns, at.rows, step, weights.map(Math.sqrt));
    linalg.doubles(at.gram, (columns * step) / 8).fill(0);
    linalg.run.addProduct64(columns, columns, count, 1, at.rows, step, 1, at.rows, step, 0, at.gram, step, 1);
    storeRows(linalg, at.gram, step, columns, columns, gram);
  });
  mirror(gram, columns);
  return gram;
}

/** rows vector: one value a row. Four rows side by side: an addition then does not wait for the one before. */
export function timesVector(rows: Float64Array, size: number, vector: Float64Array): Float64Array {
  const count = rows.length / size;
  const products = new Float64Array(count);
  for (let row = 0; row < count; row += 4) {
    const a = row * size;
    const b = Math.min(row + 1, count - 1) * size;
    const c = Math.min(row + 2, count - 1) * size;
    const d = Math.min(row + 3, count - 1) * size;
    let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
    for (let k = 0; k < size; k++) {
      const value = vector[k] as number;
      sumA += (rows[a + k] as number) * value;
      sumB += (rows[b + k] as number) * value;
      sumC += (rows[c + k] as number) * value;
      sumD += (rows[d + k] as number) * value;
    }
    // Beyond the last row there is no place: what is written there is lost.
    products[row] = sumA;
    products[row + 1] = sumB;
    products[row + 2] = sumC;
    products[row + 3] = sumD;
  }
  return products;
}

/** rows' vector: one value a column, of a vector with one value a row. */
export function timesRows(rows: Float64Array, size: number, vector: Float64Array): Float64Array {
  const count = vector.length;
  const sums = new Float64Array(size);
  let row = 0;
  for (; row + 4 <= count; row += 4) {
    const [a, b, c, d] = [row * size, (row + 1) * size, (row + 2) * size, (row + 3) * size];
    const [va, vb, vc, vd] = [vector[row] as number, vector[row + 1] as number, vector[row + 2] as number, vector[row + 3] as number];
    for (let k = 0; k < size; k++)
      sums[k] =
        (sums[k] as number) +
        (va * (rows[a + k] as number) + vb * (rows[b + k] as number) + (vc * (rows[c + k] as number) + vd * (rows[d + k] as number)));
  }
  for (; row < count; row++)
    for (let k = 0, at = row * size; k < size; k++, at++) sums[k] = (sums[k] as number) + (vector[row] as number) * (rows[at] as number);
  return sums;
}

/** The lower triangle is copied to the upper one. */
function mirror(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[j * size + i] = matrix[i * size + j] as number;
}

/**
 * The lower triangle L with L L' = matrix, in place of the matrix's own lower triangle.
 * @returns false: the matrix is not positive definite, and what it holds now means nothing
 */
export function factorise(matrix: Float64Array, size: number): boolean {
  return withLinalg((linalg) => {
    const step = linalg.run.stepBytes(size);
    const { factor } = linalg.layOut('Cholesky factor', { factor: size * step });
    loadRows(linalg, matrix, size, size, factor, step);
    const failed = linalg.run.factorCholesky(factor, step, size);
    storeRows(linalg, factor, step, size, size, matrix);
    return failed === 0;
  });
}

/** L^-1 vector, in place. */
export function forwardSubstitute(factor: Float64Array, size: number, vector: Float64Array): void {
  for (let i = 0; i < size; i++) {
    let sum = vector[i] as number;
    for (let k = 0, at = i * size; k < i; k++, at++) sum -= (factor[at] as number) * (vector[k] as number);
    vector[i] = sum / (factor[i * size + i] as number);
  }
}

/** (L L')^-1 vector, in place. */
export function solveFactorised(factor: Float64Array, size: number, vector: Float64Array): void {
  forwardSubstitute(factor, size, vector);
  for (let i = size - 1; i >= 0; i--) {
    const value = (vector[i] as number) / (factor[i * size + i] as number);
    vector[i] = value;
    for (let k = 0, at = i * size; k < i; k++, at++) vector[k] = (vector[k] as number) - (factor[at] as number) * value;
  }
}

/** x' (L L')^-1 x of every row x: the squares of L^-1 x. */
export function inverseForms(factor: Float64Array, size: number, rows: Float64Array): Float64Array {
  const count = rows.length / size;
  const forms = new Float64Array(count);
  withLinalg((linalg) => {
    const { run } = linalg;
    const step = run.stepBytes(size);
    const across = run.stepBytes(count);
    const at = linalg.layOut('inverse forms', { factor: size * step, rows: rows.length * 8, sides: size * across });
    loadRows(linalg, factor, size, size, at.factor, step);
    linalg.doubles(at.rows, rows.length).set(rows);
    run.takeIn(at.rows, 1, count, size, at.sides, across, 1, 1);
    run.forwardCholesky(at.factor, step, size, at.sides, across, count);
    const sides = linalg.doubles(at.sides, (size * across) / 8);
    for (let i = 0; i < size; i++)
      for (let row = 0, from = (i * across) / 8; row < count; row++, from++)
        forms[row] = (forms[row] as number) + (sides[from] as number) * (sides[from] as number);
  });
  return forms;
}

/** (L L')^-1, both triangles. */
export function invertFactorised(factor: Float64Array, size: number): Float64Array {
  const inverse = new Float64Array(size * size);
  withLinalg((linalg) => {
    const { run } = linalg;
    const step = run.stepBytes(size);
    const at = linalg.layOut('inverse', { factor: size * step, half: size * step, whole: size * step });
    loadRows(linalg, factor, size, size, at.factor, step);
    const half = linalg.doubles(at.half, (size * step) / 8).fill(0);
    for (let i = 0; i < size; i++) half[(i * step) / 8 + i] = 1;
    run.forwardCholesky(at.factor, step, size, at.half, step, size);
    linalg.doubles(at.whole, (size * step) / 8).fill(0);
    run.addProduct64(size, size, size, 1, at.half, step, 1, at.half, step, 0, at.whole, step, 1);
    storeRows(linalg, at.whole, step, size, size, inverse);
  });
  mirror(inverse, size);
  return inverse;
}
