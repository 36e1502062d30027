/**
 * Small dense symmetric systems for fits: at most a few hundred unknowns and a thousand equations, in plain arrays. Matrices are row by row.
 * The same input gives the same bits on every machine: sums go in index order and no library takes part.
 */

/** Sum of count products from a[i] and b[j] on. Four sums side by side: one addition does not wait for the one before. */
function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let s = 0;
  let t = 0;
  let u = 0;
  let v = 0;
  let k = 0;
  for (; k + 3 < count; k += 4) {
    s += (a[i + k] as number) * (b[j + k] as number);
    t += (a[i + k + 1] as number) * (b[j + k + 1] as number);
    u += (a[i + k + 2] as number) * (b[j + k + 2] as number);
    v += (a[i + k + 3] as number) * (b[j + k + 3] as number);
  }
  for (; k < count; k++) s += (a[i + k] as number) * (b[j + k] as number);
  return s + t + (u + v);
}

/** rows' diag(weights) rows: (columns)^2 values, both triangles. `rows` has weights.length rows of so many columns. */
export function weightedGram(rows: Float64Array, weights: Float64Array, columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  // Four rows at a time: the sums are then read and written a quarter as often. Rows that are missing at the end weigh nothing.
  for (let row = 0; row < weights.length; row += 4) {
    const a = row * columns;
    const b = row + 1 < weights.length ? a + columns : a;
    const c = row + 2 < weights.length ? b + columns : a;
    const d = row + 3 < weights.length ? c + columns : a;
    const wa = weights[row] as number;
    const wb = weights[row + 1] ?? 0;
    const wc = weights[row + 2] ?? 0;
    const wd = weights[row + 3] ?? 0;
    for (let i = 0; i < columns; i++) {
      const va = wa * (rows[a + i] as number);
      const vb = wb * (rows[b + i] as number);
      const vc = wc * (rows[c + i] as number);
      const vd = wd * (rows[d + i] as number);
      const out = i * columns;
      for (let j = 0; j <= i; j++)
        gram[out + j] =
          (gram[out + j] as number) +
          (va * (rows[a + j] as number) + vb * (rows[b + j] as number) + (vc * (rows[c + j] as number) + vd * (rows[d + j] as number)));
    }
  }
  for (let i = 0; i < columns; i++) for (let j = 0; j < i; j++) gram[j * columns + i] = gram[i * columns + j] as number;
  return gram;
}

/**
 * The lower triangle L with L L' = matrix, in place of the matrix's own lower triangle.
 * @returns false: the matrix is not positive definite, and what it holds now means nothing
 */
export function factorise(matrix: Float64Array, size: number): boolean {
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let j = 0; j <= i; j++) {
      const other = j * size;
      const sum = (matrix[row + j] as number) - dot(matrix, row, matrix, other, j);
      if (j < i) matrix[row + j] = sum / (matrix[other + j] as number);
      else if (sum > 0) matrix[row + i] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

/** L^-1 vector, in place. */
export function forwardSubstitute(factor: Float64Array, size: number, vector: Float64Array): void {
  for (let i = 0; i < size; i++) {
    const row = i * size;
    vector[i] = ((vector[i] as number) - dot(factor, row, vector, 0, i)) / (factor[row + i] as number);
  }
}

/** (L')^-1 vector, in place. */
function backSubstitute(factor: Float64Array, size: number, vector: Float64Array): void {
  for (let i = size - 1; i >= 0; i--) {
    const value = (vector[i] as number) / (factor[i * size + i] as number);
    vector[i] = value;
    for (let k = 0; k < i; k++) vector[k] = (vector[k] as number) - (factor[i * size + k] as number) * value;
  }
}

/** (L L')^-1 vector, in place. */
export function solveFactorised(factor: Float64Array, size: number, vector: Float64Array): void {
  forwardSubstitute(factor, size, vector);
  backSubstitute(factor, size, vector);
}

/** (L L')^-1, both triangles. */
export function invertFactorised(factor: Float64Array, size: number): Float64Array {
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column++) {
    const unit = inverse.subarray(column * size, (column + 1) * size);
    unit[column] = 1;
    solveFactorised(factor, size, unit);
  }
  return inverse;
}

/** matrix = Q T Q' with T tridiagonal, Q a product of Householder reflections (Golub and Van Loan, Matrix Computations, 8.3.1). */
export interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** size - 1 values beside the diagonal. */
  readonly beside: Float64Array;
  /** vector := Q' vector, in place. */
  readonly rotate: (vector: Float64Array) => void;
  /** vector := Q vector, in place. */
  readonly rotateBack: (vector: Float64Array) => void;
}

/** vector := vector - 2 (v . vector) v, both from where they begin. */
function reflect(vs: Float64Array, from: number, vector: Float64Array, at: number, count: number): void {
  const along = 2 * dot(vs, from, vector, at, count);
  if (along === 0) return;
  for (let i = 0; i < count; i++) vector[at + i] = (vector[at + i] as number) - along * (vs[from + i] as number);
}

/** The matrix (both triangles) is used up. */
export function tridiagonalise(matrix: Float64Array, size: number): Tridiagonal {
  const diagonal = new Float64Array(size);
  const beside = new Float64Array(Math.max(size - 1, 0));
  // Reflection k is I - 2 v v' with v, of length 1, in row k from column k + 1 on; a zero v reflects nothing.
  const reflections = new Float64Array(size * size);
  const image = new Float64Array(size);
  for (let k = 0; k < size; k++) {
    diagonal[k] = matrix[k * size + k] as number;
    if (k + 1 === size) break;
    const v = reflections.subarray(k * size, (k + 1) * size);
    let tail = 0;
    for (let i = k + 2; i < size; i++) tail += (matrix[k * size + i] as number) * (matrix[k * size + i] as number);
    const first = matrix[k * size + k + 1] as number;
    if (tail === 0) {
      beside[k] = first;
      continue;
    }
    const length = Math.sqrt(first * first + tail);
    const pivot = first >= 0 ? -length : length;
    beside[k] = pivot;
    const lead = first - pivot;
    const scale = 1 / Math.sqrt(lead * lead + tail);
    v[k + 1] = lead * scale;
    for (let i = k + 2; i < size; i++) v[i] = (matrix[k * size + i] as number) * scale;
    // The trailing block B becomes B - 2 v w' - 2 w v', w = B v - (v' B v) v.
    let along = 0;
    for (let i = k + 1; i < size; i++) {
      const sum = dot(matrix, i * size + k + 1, v, k + 1, size - k - 1);
      image[i] = sum;
      along += sum * (v[i] as number);
    }
    for (let i = k + 1; i < size; i++) image[i] = 2 * ((image[i] as number) - along * (v[i] as number));
    for (let i = k + 1; i < size; i++) {
      const vi = v[i] as number;
      const wi = image[i] as number;
      for (let j = k + 1; j < size; j++)
        matrix[i * size + j] = (matrix[i * size + j] as number) - vi * (image[j] as number) - wi * (v[j] as number);
    }
  }
  const rotate = (vector: Float64Array): void => {
    for (let k = 0; k + 2 < size; k++) reflect(reflections, k * size + k + 1, vector, k + 1, size - k - 1);
  };
  const rotateBack = (vector: Float64Array): void => {
    for (let k = size - 3; k >= 0; k--) reflect(reflections, k * size + k + 1, vector, k + 1, size - k - 1);
  };
  return { diagonal, beside, rotate, rotateBack };
}

/** T + shift I = L D L', L unit lower bidiagonal. */
export interface ShiftedFactor {
  /** 1 / D. */
  readonly inverse: Float64Array;
  readonly below: Float64Array;
}

/** @returns undefined: T + shift I is not positive definite, to within `tolerance` */
export function factoriseShifted({ diagonal, beside }: Tridiagonal, shift: number, tolerance: number): ShiftedFactor | undefined {
  const size = diagonal.length;
  const inverse = new Float64Array(size);
  const below = new Float64Array(beside.length);
  for (let k = 0; k < size; k++) {
    const left = k === 0 ? 0 : (below[k - 1] as number) * (beside[k - 1] as number);
    const pivot = (diagonal[k] as number) + shift - left;
    if (!(pivot > tolerance)) return undefined;
    inverse[k] = 1 / pivot;
    if (k < beside.length) below[k] = (beside[k] as number) / pivot;
  }
  return { inverse, below };
}

/** (T + shift I)^-1 vector, in place. */
export function solveShifted({ inverse, below }: ShiftedFactor, vector: Float64Array): void {
  for (let k = 1; k < inverse.length; k++) vector[k] = (vector[k] as number) - (below[k - 1] as number) * (vector[k - 1] as number);
  for (let k = inverse.length - 1; k >= 0; k--) {
    const above = k < below.length ? (below[k] as number) * (vector[k + 1] as number) : 0;
    vector[k] = (vector[k] as number) * (inverse[k] as number) - above;
  }
}

/** vector' (T + shift I)^-1 vector, where the vector is `size` values of `rows` from `offset`. */
export function shiftedForm({ inverse, below }: ShiftedFactor, rows: Float64Array, offset: number): number {
  let sum = 0;
  let previous = 0;
  for (let k = 0; k < inverse.length; k++) {
    const value = (rows[offset + k] as number) - (k === 0 ? 0 : (below[k - 1] as number) * previous);
    sum += value * value * (inverse[k] as number);
    previous = value;
  }
  return sum;
}
