/**
 * Quadratics of N coefficients, their parameters in the order of the MAP paper's code (arXiv 2406.07529): squares (N), cross terms (i < j, row by
 * row), linear (N), constant; (N + 1)(N + 2) / 2 in all.
 */

export function quadraticSize(dimensions: number): number {
  return ((dimensions + 1) * (dimensions + 2)) / 2;
}

/** What the parameters multiply: c_i^2, c_i c_j, c_i, 1. Fills `into` from `offset`. */
export function quadraticTerms(c: ArrayLike<number>, into: Float64Array | number[], offset = 0): void {
  const n = c.length;
  let at = offset;
  for (let i = 0; i < n; i++) into[at++] = (c[i] as number) * (c[i] as number);
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) into[at++] = (c[i] as number) * (c[j] as number);
  for (let i = 0; i < n; i++) into[at++] = c[i] as number;
  into[at] = 1;
}

export function quadraticValue(parameters: ArrayLike<number>, c: ArrayLike<number>): number {
  const n = c.length;
  const linear = n + (n * (n - 1)) / 2;
  let sum = parameters[linear + n] as number;
  let cross = n;
  for (let i = 0; i < n; i++) {
    const ci = c[i] as number;
    let slope = (parameters[linear + i] as number) + (parameters[i] as number) * ci;
    for (let j = i + 1; j < n; j++) slope += (parameters[cross++] as number) * (c[j] as number);
    sum += ci * slope;
  }
  return sum;
}
