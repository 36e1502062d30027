/**
 * Nested MAP (arXiv 2406.07529): merge in pairs, then pairs of pairs, each by a front of two coefficients, so that the number of evaluations grows
 * with the number of contributions and not with its square. A nested merge is linear, so every candidate is one vector of coefficients
 * over all contributions. A stage measures only the tasks of its two sides; pairs of one level share a batch.
 */
import { fitSurrogate } from '../fit-surrogate.js';
import type { MeasuredPoint } from '../observations.js';
import type { Proposal, StudySpec } from '../study.js';
import { predict } from '../surrogate.js';
import { budgetOf, NESTED_POINTS, totalOf } from './budget.js';
import { type MeasuredBook, resultOf, unasked } from './measured-book.js';
import { combine, inPlane, leaves, levelsOf, type Pair, pairUp, type Side, stretchOf } from './nested-tree.js';
import type { Objective } from './objective.js';
import { averageOf, type Coefficients, clamp, keyOf } from './points.js';
import { hashOf } from './random.js';
import { referencePoints } from './reference-points.js';
import { sampleBox } from './sample-box.js';

export const NESTED = 'nested';
const PURPOSE = 3;

/** Points for each pair, so that all pairs and the result fit the budget. */
export function pointsPerPair(spec: StudySpec, sides: number, levels: number): number {
  const budget = budgetOf(spec);
  if (budget.kind === 'minutes') return NESTED_POINTS;
  const fixed = referencePoints(spec).length + 1;
  const tasks = spec.tasks.length;
  // A level measures no task twice for one point of each of its pairs.
  const points =
    budget.kind === 'candidates'
      ? (totalOf(spec) - fixed) / Math.max(sides - 1, 1)
      : (totalOf(spec) - fixed * tasks) / (tasks * Math.max(levels, 1));
  return Math.max(0, Math.floor(points));
}

interface Stage {
  readonly pair: Pair;
  /** Of both sides, ascending. */
  readonly tasks: readonly number[];
  readonly ranges: readonly [readonly [number, number], readonly [number, number]];
  /** New points of the plane, as (a, b). */
  readonly points: readonly Coefficients[];
}

/** Both sides alone, both together, and samples of the plane; what reference points tell already is left out. */
function planStage(spec: StudySpec, pair: Pair, count: number, number: number): Stage {
  const { dimensions } = spec;
  const tasks = [...pair.left.tasks, ...pair.right.tasks].sort((a, b) => a - b);
  const ranges = [stretchOf(dimensions, pair.left), stretchOf(dimensions, pair.right)] as const;
  const [first, second] = ranges;
  const taken = new Set(referencePoints(spec).map(({ coefficients }) => keyOf(coefficients)));
  const points: Coefficients[] = [];
  const add = (a: number, b: number): void => {
    const key = keyOf(combine(dimensions, pair, a, b));
    if (points.length >= count || taken.has(key)) return;
    taken.add(key);
    points.push([a, b]);
  };
  const whole = [clamp(1, ...first), clamp(1, ...second)] as const;
  const none = [clamp(0, ...first), clamp(0, ...second)] as const;
  add(whole[0], none[1]);
  add(none[0], whole[1]);
  add(...whole);
  const plane = ranges.map(([lower, upper], index) => ({ name: `${index}`, lower, upper, neutral: 0 }));
  const flat = ranges.every(([lower, upper]) => lower === upper);
  const seed = hashOf(spec.seed, PURPOSE, number);
  const samples = flat ? [] : sampleBox({ dimensions: plane, sampler: spec.sampler, seed }, count, new Set(), 0);
  for (const [a = 0, b = 0] of samples) add(a, b);
  return { pair, tasks, ranges, points };
}

/** Tasks belong to one side only, so `tasks` of the proposals of a level never overlap; points of different pairs may coincide. */
function proposalsOf(spec: StudySpec, { pair, tasks, points }: Stage): Proposal[] {
  return points.map(([a = 0, b = 0]) => ({ kind: 'adaptive', coefficients: combine(spec.dimensions, pair, a, b), tasks }));
}

const GRID = 40;
const ZOOMS = 4;

/** Where a function of the plane is largest: a grid, then finer ones around the best. */
function searchPlane(worth: (point: Coefficients) => number, [first, second]: Stage['ranges']): readonly [number, number] {
  let best: readonly [number, number] = [first[0], second[0]];
  let most = -Infinity;
  let [window, other]: [readonly [number, number], readonly [number, number]] = [first, second];
  for (let zoom = 0; zoom < ZOOMS; zoom++) {
    for (let i = 0; i <= GRID; i++)
      for (let j = 0; j <= GRID; j++) {
        const point = [window[0] + ((window[1] - window[0]) * i) / GRID, other[0] + ((other[1] - other[0]) * j) / GRID] as const;
        const value = worth(point);
        if (value > most) [best, most] = [point, value];
      }
    const around = ([lower, upper]: readonly [number, number], [from, to]: readonly [number, number], at: number): [number, number] => [
      Math.max(lower, at - (to - from) / 20),
      Math.min(upper, at + (to - from) / 20),
    ];
    [window, other] = [around(first, window, best[0]), around(second, other, best[1])];
  }
  return best;
}

/** The point of the pair's front that the preferences choose: by the surrogates, or the best measured where they explain too little. */
function choose(spec: StudySpec, book: MeasuredBook, objective: Objective, { pair, tasks, ranges, points }: Stage): Side {
  const { dimensions } = spec;
  const known = [
    ...referencePoints(spec).flatMap(({ coefficients }) => {
      const at = inPlane(dimensions, pair, coefficients);
      return at === undefined ? [] : [{ at: at as Coefficients, measured: book.at(coefficients) }];
    }),
    ...points.map(([a = 0, b = 0]) => ({ at: [a, b], measured: book.at(combine(dimensions, pair, a, b)) })),
  ];
  const surrogates = tasks.map((task) => {
    const measured = known.flatMap(({ at, measured: all }): MeasuredPoint[] => {
      const own = all[task];
      return own === undefined ? [] : [{ coefficients: at, measured: { ...own, gradient: undefined } }];
    });
    return fitSurrogate(spec.tasks[task] as StudySpec['tasks'][number], spec.surrogate, 2, measured);
  });
  const worth = (at: Coefficients): number => {
    const predicted: { value: number }[] = [];
    for (const [index, task] of tasks.entries()) predicted[task] = { value: predict(surrogates[index] as (typeof surrogates)[number], at) };
    return objective.mean(predicted, tasks) ?? 0;
  };
  let at: Coefficients = [clamp(0.5, ...ranges[0]), clamp(0.5, ...ranges[1])];
  let score: number | undefined;
  if (surrogates.every(({ quality }) => quality.usable)) {
    at = searchPlane(worth, ranges);
    score = worth(at);
  } else {
    for (const point of known) {
      const measured = objective.complete(point.measured, tasks);
      if (measured !== undefined && (score === undefined || measured > score)) [at, score] = [point.at, measured];
    }
  }
  const [a = 0, b = 0] = at;
  const coefficients = combine(dimensions, pair, a, b);
  const own = dimensions.map((_, index) => pair.left.direction[index] !== 0 || pair.right.direction[index] !== 0);
  return { direction: coefficients.map((value, index) => (own[index] ? value : 0)), tasks, score };
}

/** To be asked once the reference points are measured. */
export function nestedBatch(spec: StudySpec, book: MeasuredBook, objective: Objective): Proposal[] {
  let sides: readonly Side[] = leaves(spec, book, objective);
  const [only] = sides;
  if (only === undefined) return resultOf(book, NESTED, averageOf(spec.dimensions, []));
  const idle = sides.filter(({ tasks }) => tasks.length === 0).length;
  const count = pointsPerPair(spec, sides.length, levelsOf(sides.length, idle));
  for (let level = 0; sides.length > 1; level++) {
    const { pairs, waiting } = pairUp(sides);
    const stages = pairs.map((pair, number) => planStage(spec, pair, count, 1000 * level + number));
    const missing = unasked(
      book,
      stages.flatMap((stage) => proposalsOf(spec, stage)),
    );
    if (missing.length > 0) return missing;
    sides = [...stages.map((stage) => choose(spec, book, objective, stage)), ...waiting];
  }
  const [root] = sides as readonly [Side];
  const nothing: Side = { direction: root.direction.map(() => 0), tasks: [], score: undefined };
  return resultOf(book, NESTED, combine(spec.dimensions, { left: root, right: nothing }, 1, 0));
}
