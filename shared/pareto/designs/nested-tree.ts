/** Nested MAP's bookkeeping: which contribution stands for which tasks, who is merged with whom, and the plane that a pair spans. */
import type { Dimension, StudySpec } from '../study.js';
import type { MeasuredBook } from './measured-book.js';
import type { Objective } from './objective.js';
import { averageOf, type Coefficients, clamp, weightedContributors } from './points.js';

/** A contribution, or several merged already: one direction in the space of coefficients. */
export interface Side {
  /** Weights of its contributions, 0 for all other coordinates. */
  readonly direction: Coefficients;
  /** Numbers of the tasks it stands for, ascending. */
  readonly tasks: readonly number[];
  /** How good it is at them, as the objective sees it; undefined: not known, or it has no tasks. */
  readonly score: number | undefined;
}

export interface Pair {
  readonly left: Side;
  readonly right: Side;
}

/**
 * A task belongs to the contributor who is its evaluator or has its name, otherwise to the one whose own model is best at it (the first of
 * equals), and to one after the other in turn where no single model was measured. Contributors may have several tasks or none.
 */
export function leaves(spec: StudySpec, book: MeasuredBook, objective: Objective): Side[] {
  const { dimensions } = spec;
  const contributors = weightedContributors(spec);
  const singles = contributors.map((name) => book.at(averageOf(dimensions, [name])));
  const owners = spec.tasks.map(({ name, owner }, task) => {
    for (const wanted of [owner, name]) {
      const known = contributors.findIndex((contributor) => contributor === wanted);
      if (known >= 0) return known;
    }
    let best = task % contributors.length;
    let most = -Infinity;
    for (const [index, measured] of singles.entries()) {
      const value = measured[task]?.value;
      const score = value === undefined ? -Infinity : objective.normalised(task, value);
      if (score > most) [best, most] = [index, score];
    }
    return best;
  });
  return contributors.map((name, index): Side => {
    const tasks = [...spec.tasks.keys()].filter((task) => owners[task] === index);
    const direction = dimensions.map(({ contributor }) => (contributor === name ? 1 : 0));
    return { direction, tasks, score: tasks.length === 0 ? undefined : objective.mean(singles[index] ?? [], tasks) };
  });
}

/** Sides without tasks go to one with tasks; then the two that are most alike in score, and so on. Who is left waits for the next level. */
export function pairUp(sides: readonly Side[]): { readonly pairs: readonly Pair[]; readonly waiting: readonly Side[] } {
  const idle = sides.filter(({ tasks }) => tasks.length === 0);
  let busy = sides.filter(({ tasks }) => tasks.length > 0);
  const pairs: Pair[] = [];
  while (idle.length > 0 && busy.length > 0) {
    const [left, ...others] = busy as [Side, ...Side[]];
    pairs.push({ left, right: idle.shift() as Side });
    busy = others;
  }
  while (busy.length > 1) {
    let closest: readonly [Side, Side] = [busy[0] as Side, busy[1] as Side];
    let least = Infinity;
    for (const [i, left] of busy.entries())
      for (const right of busy.slice(i + 1)) {
        const difference = Math.abs((left.score ?? 0) - (right.score ?? 0));
        if (difference < least) [closest, least] = [[left, right], difference];
      }
    const [left, right] = closest;
    pairs.push({ left, right });
    busy = busy.filter((side) => side !== left && side !== right);
  }
  return { pairs, waiting: [...busy, ...idle] };
}

/** How many levels so many sides need, `idle` of them without tasks. */
export function levelsOf(sides: number, idle: number): number {
  let levels = 0;
  for (let [busy, without] = [sides - idle, idle]; busy > 0 && busy + without > 1; levels++) {
    const adopted = Math.min(busy, without);
    const others = busy - adopted;
    [busy, without] = [adopted + Math.ceil(others / 2), without - adopted];
  }
  return levels;
}

/** The coefficients of a left + b right, inside of the box. Parameters of the rule stay where plain merging has them. */
export function combine(dimensions: readonly Dimension[], { left, right }: Pair, a: number, b: number): number[] {
  return dimensions.map(({ contributor, lower, upper, neutral }, index) => {
    const value = a * (left.direction[index] as number) + b * (right.direction[index] as number);
    return clamp(contributor === undefined ? neutral : value, lower, upper);
  });
}

/** How far a direction can be stretched inside of the box; [0, 0] when it points nowhere. */
export function stretchOf(dimensions: readonly Dimension[], { direction }: Side): readonly [number, number] {
  let lower = -Infinity;
  let upper = Infinity;
  for (const [index, dimension] of dimensions.entries()) {
    const part = direction[index] as number;
    if (part === 0) continue;
    const ends = [dimension.lower / part, dimension.upper / part];
    lower = Math.max(lower, Math.min(...ends));
    upper = Math.min(upper, Math.max(...ends));
  }
  return Number.isFinite(lower) && lower < upper ? [lower, upper] : [0, 0];
}

/** Where a point lies in a pair's plane; undefined: beside it. */
export function inPlane(dimensions: readonly Dimension[], pair: Pair, point: Coefficients): readonly [number, number] | undefined {
  const along = ({ direction }: Side): number => {
    let at = 0;
    for (const [index, part] of direction.entries()) if (Math.abs(part) > Math.abs(direction[at] as number)) at = index;
    const part = direction[at] as number;
    return part === 0 ? 0 : (point[at] as number) / part;
  };
  const [a, b] = [along(pair.left), along(pair.right)];
  const same = combine(dimensions, pair, a, b).every((value, index) => Math.abs(value - (point[index] as number)) <= 1e-9);
  return same ? [a, b] : undefined;
}
