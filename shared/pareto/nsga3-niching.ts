/**
 * What keeps an NSGA-III population spread out (Deb & Jain, IEEE TEC 18(4), 2014): objectives are normalised by the ideal point and the
 * hyperplane through the extreme points, every member belongs to the reference line it is nearest to, and the last places go to lines with
 * the fewest members. Where the hyperplane is no use, the worst values of the first level stand in (Blank, Deb & Roy, EMO 2019).
 */

export interface Niching {
  /**
   * The rows that survive: all of the levels but the last, and of that one as many as are wanted.
   * @param values row by row, to be minimised
   * @param levels non-dominated levels; all but the last together are fewer than `wanted`
   */
  select(values: Float64Array, levels: readonly (readonly number[])[], wanted: number): number[];
}

/** Weight of the other axes in the achievement function that finds extreme points. */
const AXIS = 1e-6;
const SMALL = 1e-6;

/**
 * Intercepts of the plane through the extreme points (rows, from the ideal point); undefined when there is none in front of the worst
 * values.
 */
function interceptsOf(extremes: Float64Array, m: number): Float64Array | undefined {
  const A = Float64Array.from(extremes);
  const b = new Float64Array(m).fill(1);
  for (let k = 0; k < m; k++) {
    let pivot = k;
    for (let i = k + 1; i < m; i++) if (Math.abs(A[i * m + k] as number) > Math.abs(A[pivot * m + k] as number)) pivot = i;
    if (!(Math.abs(A[pivot * m + k] as number) > 1e-12)) return undefined;
    if (pivot !== k) {
      for (let j = 0; j < m; j++) {
        const swapped = A[k * m + j] as number;
        A[k * m + j] = A[pivot * m + j] as number;
        A[pivot * m + j] = swapped;
      }
      const swapped = b[k] as number;
      b[k] = b[pivot] as number;
      b[pivot] = swapped;
    }
    for (let i = k + 1; i < m; i++) {
      const factor = (A[i * m + k] as number) / (A[k * m + k] as number);
      if (factor === 0) continue;
      for (let j = k; j < m; j++) A[i * m + j] = (A[i * m + j] as number) - factor * (A[k * m + j] as number);
      b[i] = (b[i] as number) - factor * (b[k] as number);
    }
  }
  for (let k = m - 1; k >= 0; k--) {
    let sum = b[k] as number;
    for (let j = k + 1; j < m; j++) sum -= (A[k * m + j] as number) * (b[j] as number);
    b[k] = sum / (A[k * m + k] as number);
  }
  return b.map((value) => 1 / value);
}

export function createNiching(directions: readonly (readonly number[])[], objectives: number, random: () => number): Niching {
  const m = objectives;
  const lines = new Float64Array(directions.length * m);
  for (const [j, direction] of directions.entries()) {
    const length = Math.hypot(...direction);
    for (let t = 0; t < m; t++) lines[j * m + t] = (direction[t] ?? 0) / length;
  }
  const ideal = new Float64Array(m).fill(Infinity);
  const worst = new Float64Array(m).fill(-Infinity);
  /** Extreme points themselves, kept from one generation to the next. */
  const extremes = new Float64Array(m * m).fill(Infinity);
  const achievements = new Float64Array(m);
  /** By axis: the achievement of its extreme point. */
  const least = new Float64Array(m);
  const scales = new Float64Array(m);
  const point = new Float64Array(m);
  let lineOf = new Int32Array(0);
  let away = new Float64Array(0);

  /** Of one point for every axis: the distance along it, or the largest along another in units of `AXIS`. */
  const achieve = (values: Float64Array, at: number): void => {
    let most = -Infinity;
    let second = -Infinity;
    let axisOfMost = -1;
    for (let t = 0; t < m; t++) {
      const distance = (values[at + t] as number) - (ideal[t] as number);
      achievements[t] = distance;
      if (distance > most) {
        second = most;
        most = distance;
        axisOfMost = t;
      } else if (distance > second) second = distance;
    }
    for (let t = 0; t < m; t++) {
      const other = (t === axisOfMost ? second : most) / AXIS;
      // Not the larger of both, which would not be a number where the distance is none.
      if (!((achievements[t] as number) > other)) achievements[t] = other;
    }
  };

  const normalise = (values: Float64Array, levels: readonly (readonly number[])[]): void => {
    const [first = []] = levels;
    worst.fill(-Infinity);
    const largest = new Float64Array(m).fill(-Infinity);
    for (const level of levels)
      for (const row of level)
        for (let t = 0; t < m; t++) {
          const value = values[row * m + t] as number;
          if (value < (ideal[t] as number)) ideal[t] = value;
          if (value > (largest[t] as number)) largest[t] = value;
          if (level === first && value > (worst[t] as number)) worst[t] = value;
        }
    for (let axis = 0; axis < m; axis++) {
      achieve(extremes, axis * m);
      least[axis] = achievements[axis] as number;
    }
    for (const row of first) {
      achieve(values, row * m);
      for (let axis = 0; axis < m; axis++) {
        const own = achievements[axis] as number;
        const best = least[axis] as number;
        if (own >= best && !Number.isNaN(best)) continue;
        least[axis] = own;
        for (let t = 0; t < m; t++) extremes[axis * m + t] = values[row * m + t] as number;
      }
    }
    const intercepts = interceptsOf(
      extremes.map((value, at) => value - (ideal[at % m] as number)),
      m,
    );
    const usable = intercepts?.every(
      (intercept, t) => intercept > SMALL && intercept <= (largest[t] as number) - (ideal[t] as number) + SMALL,
    );
    for (let t = 0; t < m; t++) {
      let scale = usable === true && intercepts !== undefined ? (intercepts[t] as number) : (worst[t] as number) - (ideal[t] as number);
      if (!(scale > SMALL)) scale = (largest[t] as number) - (ideal[t] as number);
      scales[t] = scale > 0 ? scale : 1;
    }
  };

  /** The nearest line of every row of the levels, and how far it is. */
  const associate = (values: Float64Array, levels: readonly (readonly number[])[]): void => {
    for (const level of levels)
      for (const row of level) {
        let square = 0;
        for (let t = 0; t < m; t++) {
          const part = ((values[row * m + t] as number) - (ideal[t] as number)) / (scales[t] as number);
          point[t] = part;
          square += part * part;
        }
        let along = -Infinity;
        let nearest = 0;
        for (let j = 0, at = 0; j < directions.length; j++) {
          let dot = 0;
          for (let t = 0; t < m; t++, at++) dot += (lines[at] as number) * (point[t] as number);
          if (dot > along) {
            along = dot;
            nearest = j;
          }
        }
        lineOf[row] = nearest;
        away[row] = square - along * along;
      }
  };

  return {
    select(values, levels, wanted) {
      if (lineOf.length * m < values.length) {
        lineOf = new Int32Array(values.length / m);
        away = new Float64Array(values.length / m);
      }
      normalise(values, levels);
      const survivors = levels.slice(0, -1).flat();
      const last = levels.at(-1) ?? [];
      if (survivors.length + last.length <= wanted) return [...survivors, ...last];
      associate(values, levels);
      const members = new Int32Array(directions.length);
      for (const row of survivors) members[lineOf[row] as number] = (members[lineOf[row] as number] as number) + 1;
      const waiting: number[][] = Array.from({ length: directions.length }, () => []);
      for (const row of last) waiting[lineOf[row] as number]?.push(row);
      const open = [...waiting.keys()].filter((j) => (waiting[j]?.length ?? 0) > 0);
      while (survivors.length < wanted) {
        let fewest = Infinity;
        let ties = 0;
        let chosen = 0;
        for (let at = 0; at < open.length; at++) {
          const count = members[open[at] as number] as number;
          if (count > fewest) continue;
          ties = count < fewest ? 1 : ties + 1;
          fewest = count;
          // One of the ties, each as likely.
          if (ties === 1 || random() * ties < 1) chosen = at;
        }
        const line = open[chosen] as number;
        const candidates = waiting[line] ?? [];
        let pick = 0;
        if (fewest > 0) pick = Math.floor(random() * candidates.length);
        else
          for (let at = 1; at < candidates.length; at++)
            if ((away[candidates[at] as number] as number) < (away[candidates[pick] as number] as number)) pick = at;
        survivors.push(candidates[pick] as number);
        candidates.splice(pick, 1);
        if (candidates.length === 0) open.splice(chosen, 1);
        members[line] = (members[line] as number) + 1;
      }
      return survivors;
    },
  };
}
