/** The hyperplane through the extreme points of a front: what its knee is measured from. */

/** Solves A x = 1 (rows of A) by elimination with pivots; undefined when A is singular. */
function solveOnes(A: readonly Float64Array[]): Float64Array | undefined {
  const n = A.length;
  const rows: Float64Array[] = A.map((row) => Float64Array.from([...row, 1]));
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i]?.[k] ?? 0) > Math.abs(rows[pivot]?.[k] ?? 0)) pivot = i;
    const top = rows[pivot] as Float64Array;
    rows[pivot] = rows[k] as Float64Array;
    rows[k] = top;
    if (Math.abs(top[k] as number) < 1e-9) return undefined;
    for (let i = 0; i < n; i++) {
      const row = rows[i] as Float64Array;
      const factor = i === k ? 0 : (row[k] as number) / (top[k] as number);
      if (factor !== 0) for (let j = k; j <= n; j++) row[j] = (row[j] as number) - factor * (top[j] as number);
    }
  }
  return Float64Array.from(rows, (row, k) => (row[n] as number) / (row[k] as number));
}

/**
 * The plane through the points that are best in one task each (of several, the best in sum), normal . x = offset, pointing away from the
 * ideal.
 * @param rows points, values to be minimised, scaled to [0, 1]
 * @returns a normal of length 1, no part below 0; equal parts when those points determine no such plane, the plane then touches the worst
 * of them
 */
export function simplexNormal(rows: readonly Float64Array[]): { readonly normal: Float64Array; readonly offset: number } {
  const tasks = rows[0]?.length ?? 0;
  const sum = (row: Float64Array): number => row.reduce((total, value) => total + value, 0);
  const extremes = Array.from({ length: tasks }, (_, t) =>
    rows.reduce((best, row) => {
      const difference = (row[t] as number) - (best[t] as number);
      return difference < 0 || (difference === 0 && sum(row) < sum(best)) ? row : best;
    }),
  );
  const solution = solveOnes(extremes);
  const usable = solution?.every((part) => part > 1e-3 && part < Infinity) === true;
  const direction = usable && solution !== undefined ? solution : new Float64Array(tasks).fill(1);
  const length = Math.hypot(...direction);
  const normal = direction.map((part) => part / length);
  const height = (row: Float64Array): number => row.reduce((total, value, t) => total + value * (normal[t] as number), 0);
  return { normal, offset: Math.max(...extremes.map(height)) };
}
