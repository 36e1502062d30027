/**
 * From a point near the answer to the answer: continuous refinement of a question's ranking inside of the box, on the surrogates. Every
 * function moves x and may end in a local minimum; who calls compares what comes out with what went in.
 */
import type { BoxNewton, NewtonOptions, Scalarisation } from './box-newton.js';
import type { SmoothProblem } from './objectives.js';
import { excess, type Limit, type Ranges } from './question.js';
import { smoothChebyshev, weightedSum } from './scalarisations.js';

/** What a task that does not count is worth, so that among equal answers one that nothing dominates is found. As a share of a range. */
const TIE = 1e-7;
const MOST_PROJECTIONS = 8;
const PRECISE: NewtonOptions = { iterations: 40, tolerance: 1e-13 };

export function refineLinear(newton: BoxNewton, x: Float64Array, weights: Float64Array, { widths }: Ranges): void {
  const size = Math.max(...weights.map((weight, t) => weight * (widths[t] as number)));
  newton.minimise(weightedSum(weights.map((weight, t) => weight + (TIE * size) / (widths[t] as number))), x, PRECISE);
}

/** Least largest weight x (value - goal): smoother first, then sharper than any metric is known. */
export function refineChebyshev(newton: BoxNewton, x: Float64Array, weights: Float64Array, goal: Float64Array, { widths }: Ranges): void {
  const scalarisation = smoothChebyshev(weights.length);
  const size = Math.max(...weights.map((weight, t) => weight * (widths[t] as number)));
  scalarisation.weights.set(weights);
  scalarisation.goal.set(goal);
  for (let t = 0; t < weights.length; t++) scalarisation.extra[t] = (TIE * size) / (widths[t] as number);
  for (const sharpness of [3e-2, 3e-3, 3e-4, 3e-5, 3e-6]) {
    scalarisation.mu = sharpness * size;
    newton.minimise(scalarisation, x, { iterations: 20, tolerance: 1e-10 });
  }
}

/** Least distance to the goal, better values being as far as worse ones; tasks with weight 0 are as good as that allows. */
export function refineNearest(newton: BoxNewton, x: Float64Array, weights: Float64Array, goal: Float64Array, { widths }: Ranges): void {
  const tie = widths.map((width) => (TIE * TIE) / width);
  const value = (values: Float64Array, at: number): number => {
    let sum = 0;
    for (let t = 0; t < weights.length; t++) {
      const distance = (weights[t] as number) * ((values[at + t] as number) - (goal[t] as number));
      sum += distance * distance + (tie[t] as number) * (values[at + t] as number);
    }
    return sum;
  };
  const distance: Scalarisation = {
    value,
    expand(values, slopes, curvatures, spread) {
      spread.fill(0);
      for (let t = 0; t < weights.length; t++) {
        const square = (weights[t] as number) ** 2;
        slopes[t] = 2 * square * ((values[t] as number) - (goal[t] as number)) + (tie[t] as number);
        curvatures[t] = 2 * square;
      }
      return value(values, 0);
    },
  };
  newton.minimise(distance, x, PRECISE);
}

/**
 * To a point that is better in every task, if there is one.
 * @returns the least gain of a task, in ranges; about 0 when x was on the front
 */
export function refineDominating(problem: SmoothProblem, newton: BoxNewton, x: Float64Array, { widths }: Ranges): number {
  const scalarisation = smoothChebyshev(widths.length);
  problem.evaluate(x, 0, scalarisation.goal, 0);
  for (let t = 0; t < widths.length; t++) {
    scalarisation.weights[t] = 1 / (widths[t] as number);
    scalarisation.extra[t] = TIE / (widths[t] as number);
  }
  for (const mu of [1e-2, 1e-3, 1e-5]) {
    scalarisation.mu = mu;
    newton.minimise(scalarisation, x, { iterations: 12, tolerance: 1e-9 });
  }
  const values = new Float64Array(widths.length);
  problem.evaluate(x, 0, values, 0);
  return -scalarisation.largest(values, 0);
}

/**
 * Towards the point of the front that is nearest to a goal which the front has better points than: the goal is projected on the plane that
 * touches the front at x, and x moves to where the front is nearest to that projection along the plane's normal. Tasks with weight 0 are
 * left where they are.
 */
export function refineOnFront(
  problem: SmoothProblem,
  newton: BoxNewton,
  x: Float64Array,
  weights: Float64Array,
  goal: Float64Array,
  ranges: Ranges,
): void {
  const tasks = weights.length;
  const { widths } = ranges;
  const scalarisation = smoothChebyshev(tasks);
  const values = new Float64Array(tasks);
  const before = new Float64Array(tasks);
  const normal = new Float64Array(tasks).fill(1);
  const unused = { curvatures: new Float64Array(tasks), spread: new Float64Array(tasks) };
  problem.evaluate(x, 0, values, 0);
  for (let t = 0; t < tasks; t++) scalarisation.extra[t] = TIE / (widths[t] as number);
  for (let round = 0; round < MOST_PROJECTIONS; round++) {
    let along = 0;
    let length = 0;
    for (let t = 0; t < tasks; t++) {
      const part = normal[t] as number;
      if (weights[t] !== 0) along += (part * ((values[t] as number) - (goal[t] as number))) / (widths[t] as number);
      length += part * part;
    }
    let largest = 0;
    for (let t = 0; t < tasks; t++) largest = Math.max(largest, normal[t] as number);
    for (let t = 0; t < tasks; t++) {
      const width = widths[t] as number;
      const from = weights[t] === 0 ? (values[t] as number) : (goal[t] as number);
      scalarisation.goal[t] = from + (along * (normal[t] as number) * width) / length;
      scalarisation.weights[t] = 1 / (width * Math.max((normal[t] as number) / largest, 1e-2));
    }
    scalarisation.mu = round < 2 ? 1e-2 : 1e-3;
    newton.minimise(scalarisation, x, { iterations: 12, tolerance: 1e-9 });
    before.set(values);
    problem.evaluate(x, 0, values, 0);
    scalarisation.expand(values, normal, unused.curvatures, unused.spread);
    let change = 0;
    for (let t = 0; t < tasks; t++) {
      const width = widths[t] as number;
      normal[t] = (normal[t] as number) * width;
      change = Math.max(change, Math.abs((values[t] as number) - (before[t] as number)) / width);
    }
    if (round > 2 && change < 1e-6) break;
  }
  refineDominating(problem, newton, x, ranges);
}

/**
 * The weighted sum under limits by the augmented Lagrangian method (Hestenes 1969, Powell 1969; for inequalities Rockafellar 1973): every
 * round adds what a limit is exceeded by to its multiplier. Limits are drawn in by `margin` of a range, so that rounding leaves them
 * satisfied.
 */
export function refineLimited(
  problem: SmoothProblem,
  newton: BoxNewton,
  x: Float64Array,
  weights: Float64Array,
  limits: readonly Limit[],
  { widths }: Ranges,
  margin: number,
): void {
  const tasks = weights.length;
  const size = Math.max(...weights.map((weight, t) => weight * (widths[t] as number)));
  const all = weights.map((weight, t) => weight + (TIE * size) / (widths[t] as number));
  const tightened = limits.map((limit) => ({ ...limit, bound: limit.bound - limit.side * margin * (widths[limit.task] as number) }));
  const multipliers = new Float64Array(limits.length);
  let stiffness = 10;
  /** In units of the objective for a whole range beyond a limit. */
  const pull = (k: number, { task }: Limit, beyond: number): number =>
    Math.max(0, (multipliers[k] as number) + (stiffness * size * beyond) / (widths[task] as number));
  const value = (values: Float64Array, at: number): number => {
    let sum = 0;
    for (let t = 0; t < tasks; t++) sum += (all[t] as number) * (values[at + t] as number);
    for (const [k, limit] of tightened.entries()) {
      const force = pull(k, limit, limit.side * ((values[at + limit.task] as number) - limit.bound));
      sum += (force * force) / (2 * stiffness * size);
    }
    return sum;
  };
  const lagrangian: Scalarisation = {
    value,
    expand(values, slopes, curvatures, spread) {
      slopes.set(all);
      curvatures.fill(0);
      spread.fill(0);
      for (const [k, limit] of tightened.entries()) {
        const width = widths[limit.task] as number;
        const force = pull(k, limit, excess(limit, values));
        if (force === 0) continue;
        slopes[limit.task] = (slopes[limit.task] as number) + (limit.side * force) / width;
        curvatures[limit.task] = (curvatures[limit.task] as number) + (stiffness * size) / (width * width);
      }
      return value(values, 0);
    },
  };
  const values = new Float64Array(tasks);
  let before = Infinity;
  for (let round = 0; round < 16; round++) {
    newton.minimise(lagrangian, x, { iterations: 25, tolerance: 1e-12 });
    problem.evaluate(x, 0, values, 0);
    let worst = 0;
    let change = 0;
    for (const [k, limit] of tightened.entries()) {
      const beyond = excess(limit, values);
      const force = pull(k, limit, beyond);
      change = Math.max(change, Math.abs(force - (multipliers[k] as number)));
      multipliers[k] = force;
      worst = Math.max(worst, beyond / (widths[limit.task] as number));
    }
    if (worst <= margin / 2 && change <= 1e-9 * size) return;
    if (worst > before / 4) stiffness *= 8;
    before = worst;
  }
}

/** The least sum of squares of what limits are exceeded by, in ranges. */
export function refineFeasible(newton: BoxNewton, x: Float64Array, limits: readonly Limit[], { widths }: Ranges, margin: number): void {
  const value = (values: Float64Array, at: number): number => {
    let sum = 0;
    for (const { task, side, bound } of limits)
      sum += Math.max(0, (side * ((values[at + task] as number) - bound)) / (widths[task] as number) + margin) ** 2;
    return sum;
  };
  newton.minimise(
    {
      value,
      expand(values, slopes, curvatures, spread) {
        slopes.fill(0);
        curvatures.fill(0);
        spread.fill(0);
        for (const { task, side, bound } of limits) {
          const width = widths[task] as number;
          const beyond = (side * ((values[task] as number) - bound)) / width + margin;
          if (beyond <= 0) continue;
          slopes[task] = (slopes[task] as number) + (2 * beyond * side) / width;
          curvatures[task] = (curvatures[task] as number) + 2 / (width * width);
        }
        return value(values, 0);
      },
    },
    x,
    { iterations: 60, tolerance: 1e-14 },
  );
}
