/** Products by the textbook: fp64, one element at a time, the rank in ascending order, one rounding to fp32. */

export interface ProductOfNumbers {
  /** Rows x rank and rank x columns, row by row. */
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly rows: number;
  readonly rank: number;
  readonly columns: number;
  readonly scale: number;
  readonly transposed?: boolean | undefined;
}

/** All elements in the order of the tensor: columns x rows when `transposed`. */
export function productElements({ left, right, rows, rank, columns, scale, transposed = false }: ProductOfNumbers): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += (left[row * rank + k] ?? 0) * (right[k * columns + column] ?? 0);
      out[transposed ? column * rows + row : row * columns + column] = sum * scale;
    }
  return out;
}
