/**
 * The exact hypervolume of points below zero (the reference point is the origin, values are minimised). Two and three tasks by a sweep;
 * more by the recursion of While, Bradstreet & Barone (WFG, IEEE TEC 16(1), 2012): what a point adds is its own box less what those after
 * it cover of it, and because points come in descending order of the last value, that part has one dimension less.
 */

/** A row of a set: values of all rows lie in `values`, `width` apart. */
interface RowSet {
  readonly values: Float64Array;
  readonly width: number;
  readonly order: Int32Array;
}

/** Rows in ascending order of the value in one column. */
function sortBy({ values, width, order }: RowSet, count: number, column: number): Int32Array {
  return order.subarray(0, count).sort((a, b) => (values[a * width + column] as number) - (values[b * width + column] as number));
}

function area(set: RowSet, count: number): number {
  const { values, width } = set;
  let sum = 0;
  let reached = 0;
  for (const row of sortBy(set, count, 0)) {
    const y = values[row * width + 1] as number;
    if (y >= reached) continue;
    sum += (values[row * width] as number) * (y - reached);
    reached = y;
  }
  return sum;
}

/** Adds points in the order of the third value to a staircase in the first two, whose area times the way to the next point is a slice. */
function volume(set: RowSet, count: number, stairs: Float64Array): number {
  const { values, width } = set;
  let steps = 0;
  let covered = 0;
  let sum = 0;
  let depth = 0;
  for (const row of sortBy(set, count, 2)) {
    const x = values[row * width] as number;
    const y = values[row * width + 1] as number;
    const z = values[row * width + 2] as number;
    sum += covered * (z - depth);
    depth = z;
    // Stairs are (x, y) with x ascending and y descending. The first that is not left of x:
    let low = 0;
    let high = steps;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((stairs[2 * middle] as number) < x) low = middle + 1;
      else high = middle;
    }
    const above = low === 0 ? 0 : (stairs[2 * low - 1] as number);
    if (above <= y) continue;
    let last = low;
    let left = x;
    let height = above;
    while (last < steps && (stairs[2 * last + 1] as number) >= y) {
      const next = stairs[2 * last] as number;
      covered += (next - left) * (height - y);
      left = next;
      height = stairs[2 * last + 1] as number;
      last++;
    }
    const end = last < steps ? (stairs[2 * last] as number) : 0;
    covered += (end - left) * (height - y);
    stairs.copyWithin(2 * low + 2, 2 * last, 2 * steps);
    stairs[2 * low] = x;
    stairs[2 * low + 1] = y;
    steps += 1 - (last - low);
  }
  return sum + covered * (0 - depth);
}

/** Rows of `values` that no other one dominates, moved to the front. Of equal rows one stays. @returns how many */
function keepNonDominated(values: Float64Array, width: number, columns: number, count: number): number {
  let kept = 0;
  for (let row = 0; row < count; row++) {
    const at = row * width;
    let needed = true;
    for (let other = 0; other < kept && needed; ) {
      const from = other * width;
      let below = true;
      let above = true;
      for (let t = 0; t < columns && (below || above); t++) {
        const difference = (values[at + t] as number) - (values[from + t] as number);
        if (difference < 0) above = false;
        else if (difference > 0) below = false;
      }
      if (above) needed = false;
      else if (below) values.copyWithin(from, --kept * width, (kept + 1) * width);
      else other++;
    }
    if (needed) values.copyWithin(kept++ * width, at, at + columns);
  }
  return kept;
}

/**
 * @param values rows of negative numbers, none dominating another
 * @param width number of tasks
 * @param count number of rows
 */
export function exactHypervolume(values: Float64Array, width: number, count: number): number {
  if (count === 0) return 0;
  const levels: RowSet[] = [];
  for (let columns = 0; columns <= width; columns++)
    levels.push({
      values: columns === width ? values : new Float64Array(columns < 2 ? 0 : count * width),
      width,
      order: new Int32Array(columns < 2 && width > 1 ? 0 : count),
    });
  const stairs = new Float64Array(2 * count + 2);

  const of = (columns: number, rows: number): number => {
    const set = levels[columns] as RowSet;
    for (let row = 0; row < rows; row++) set.order[row] = row;
    if (columns === 1) return -(set.values[sortBy(set, rows, 0)[0] as number] as number);
    if (columns === 2) return area(set, rows);
    if (columns === 3) return volume(set, rows, stairs);
    const order = sortBy(set, rows, columns - 1).reverse();
    const limited = (levels[columns - 1] as RowSet).values;
    let sum = 0;
    for (let k = 0; k < rows; k++) {
      const at = (order[k] as number) * width;
      let box = 1;
      for (let t = 0; t < columns - 1; t++) box *= -(set.values[at + t] as number);
      let others = 0;
      for (let after = k + 1; after < rows; after++, others++) {
        const from = (order[after] as number) * width;
        const to = others * width;
        for (let t = 0; t < columns - 1; t++) limited[to + t] = Math.max(set.values[at + t] as number, set.values[from + t] as number);
      }
      if (columns > 4) others = keepNonDominated(limited, width, columns - 1, others);
      sum += -(set.values[at + columns - 1] as number) * (others === 0 ? box : box - of(columns - 1, others));
    }
    return sum;
  };
  return of(width, count);
}
