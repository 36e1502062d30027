/**
 * Answers to questions of a front. The best points of the front are where the search for an answer begins; it ends at the best point of the
 * box, which lies between them. Everything here is arithmetic on a few thousand numbers: milliseconds, no waiting.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { type BoxNewton, createBoxNewton } from './box-newton.js';
import { nonDominatedRows, signOf } from './dominance.js';
import { type SurrogateProblem, surrogateProblem } from './objectives.js';
import { addPoint, createPointSet, type PointSet, pointAt } from './point-set.js';
import { excess, type Limit, type Question, type Ranges, type Ranking, rangesOf, rankingOf, scoreOf } from './question.js';
import { refineChebyshev, refineDominating, refineFeasible, refineLimited, refineLinear, refineNearest, refineOnFront } from './refine.js';
import { bestRows, startPoints } from './start-points.js';
import type { Dimension, MeasuredCandidate, PredictedFront, PredictedPoint, Surrogate, Task } from './study.js';
import { predictPoint } from './surrogate.js';

export interface QuestionContext {
  readonly tasks: readonly Task[];
  readonly dimensions: readonly Dimension[];
  /** One a task. */
  readonly surrogates: readonly Surrogate[];
  readonly front: PredictedFront;
}

export interface Answer {
  readonly point: PredictedPoint;
  /**
   * Linear preference and constraints: the weighted sum of metrics that was made largest, minimised ones counted negatively. Otherwise the
   * distance that was made smallest, in ranges of the front (of a knee: how far along the normal it lies from the ideal).
   */
  readonly score: number;
}

interface Search {
  readonly problem: SurrogateProblem;
  readonly newton: BoxNewton;
  readonly ranges: Ranges;
  /** The front, then what was refined. */
  readonly found: PointSet;
}

/** How many points of the front a search begins at: the best one may lie in another valley than the best point of all. */
const STARTS = 3;
/** Of a range: limits may be exceeded by so much, and are drawn in by so much more in the search. */
const TOLERANCE = 1e-9;
const MARGIN = 1e-8;
/** A point that can be improved by less in every task, in ranges, is on the front. */
const OPTIMAL = 1e-5;
/** Answers whose scores differ by less, in ranges, are equal: the refined one is taken. */
const EQUAL = 1e-10;

const rowOf = ({ values, objectives }: PointSet, row: number): Float64Array => values.subarray(row * objectives, (row + 1) * objectives);

function refined({ problem, found }: Search, start: number, move: (x: Float64Array) => void): void {
  const x = Float64Array.from(pointAt(found, start));
  move(x);
  addPoint(found, problem, x);
}

/** The latest of the rows with the best score. */
function bestOf({ found, ranges }: Search, ranking: Ranking, rows: readonly number[]): number | undefined {
  let best: number | undefined;
  let bestScore = Infinity;
  const size = ranking.kind === 'linear' ? ranking.weights.reduce((sum, weight, t) => sum + weight * (ranges.widths[t] as number), 0) : 1;
  for (const row of rows) {
    const score = scoreOf(ranking, found.values, row * found.objectives);
    if (score > bestScore + EQUAL * size || Number.isNaN(score)) continue;
    best = row;
    bestScore = Math.min(score, bestScore);
  }
  return best;
}

function allRows({ count }: PointSet, from = 0): number[] {
  const rows: number[] = [];
  for (let row = from; row < count; row++) rows.push(row);
  return rows;
}

function searchLinear(search: Search, weights: Float64Array, starts: readonly number[]): void {
  for (const start of starts) refined(search, start, (x) => refineLinear(search.newton, x, weights, search.ranges));
}

/** @returns the rows that may be answers: those of the front, and refined ones that are on it */
function searchNearest(search: Search, ranking: Ranking & { kind: 'nearest' }, start: number): number[] {
  const { problem, newton, found, ranges } = search;
  const { weights, goal } = ranking;
  refined(search, start, (x) => refineNearest(newton, x, weights, goal, ranges));
  const reached = Float64Array.from(pointAt(found, found.count - 1));
  if (refineDominating(problem, newton, reached, ranges) < OPTIMAL) return allRows(found);
  // The front has better than what is wished: nearest to the wish is a point that the front leaves behind.
  found.count--;
  refined(search, start, (x) => refineOnFront(problem, newton, x, weights, goal, ranges));
  const others = ranges.widths.map((width, t) => (weights[t] === 0 ? 1 / width : 0));
  if (others.some((weight) => weight > 0)) {
    // Exactly what is wished, the other tasks as good as that allows.
    const wished = [...goal.keys()].filter((t) => weights[t] !== 0).map((task): Limit => ({ task, side: 1, bound: goal[task] as number }));
    refined(search, start, (x) => refineLimited(problem, newton, x, others, wished, ranges, MARGIN));
  }
  return allRows(found);
}

function violation({ found, ranges }: Search, limits: readonly Limit[], row: number): number {
  let worst = 0;
  for (const limit of limits) worst = Math.max(worst, excess(limit, rowOf(found, row)) / (ranges.widths[limit.task] as number));
  return worst;
}

function refuseConstraints(search: Search, limits: readonly Limit[], tasks: readonly Task[]): never {
  const rows = allRows(search.found);
  const nearest = rows.reduce((best, row) => (violation(search, limits, row) < violation(search, limits, best) ? row : best), 0);
  const values = rowOf(search.found, nearest);
  const missed = limits.filter((limit) => excess(limit, values) / (search.ranges.widths[limit.task] as number) > TOLERANCE);
  const text = (use: (limit: Limit, task: Task, sign: 1 | -1) => string): string =>
    missed
      .map((limit) => {
        const task = tasks[limit.task];
        return task === undefined ? '' : use(limit, task, signOf(task.direction));
      })
      .join(', ');
  throw new TributaryError('NO_SUCH_POINT', {
    what: 'no point of the searched box satisfies the constraints, by the surrogates',
    expected: text(({ side, bound }, { name }, sign) => `${name} ${side === sign ? 'at most' : 'at least'} ${sign * bound}`),
    got: `${text(({ task }, { name }, sign) => `${name} ${Number((sign * (values[task] as number)).toPrecision(4))}`)} at the nearest point`,
    fix: 'Ask for less in these tasks.',
  });
}

/** @returns the rows that satisfy the limits */
function searchLimited(search: Search, ranking: Ranking & { kind: 'linear' }, tasks: readonly Task[]): number[] {
  const { problem, newton, found, ranges } = search;
  const { limits, weights } = ranking;
  const allowed = (): number[] => allRows(found).filter((row) => violation(search, limits, row) <= TOLERANCE);
  const nearest = (rows: readonly number[]): number[] =>
    rows.toSorted((a, b) => violation(search, limits, a) - violation(search, limits, b)).slice(0, STARTS);
  const tryFrom = (rows: readonly number[]): void => {
    for (const row of rows) refined(search, row, (x) => refineFeasible(newton, x, limits, ranges, MARGIN));
  };
  if (allowed().length === 0) tryFrom(nearest(allRows(found)));
  if (allowed().length === 0) {
    // Perhaps only dominated points satisfy them.
    const pool = startPoints(problem, 1);
    const from = found.count;
    for (let row = 0; row < pool.count; row++) addPoint(found, problem, pointAt(pool, row));
    tryFrom(nearest(allRows(found, from)));
  }
  const starts = allowed();
  if (starts.length === 0) return refuseConstraints(search, limits, tasks);
  const score = (row: number): number => scoreOf(ranking, rowOf(found, row));
  for (const start of starts.toSorted((a, b) => score(a) - score(b)).slice(0, STARTS))
    refined(search, start, (x) => refineLimited(problem, newton, x, weights, limits, ranges, MARGIN));
  return allowed();
}

function rowsToChooseFrom(search: Search, ranking: Ranking, tasks: readonly Task[]): number[] {
  const { newton, found, ranges } = search;
  if (ranking.kind === 'linear' && ranking.limits.length > 0) return searchLimited(search, ranking, tasks);
  const starts = bestRows(found, STARTS, (values, at) => scoreOf(ranking, values, at));
  switch (ranking.kind) {
    case 'linear':
      searchLinear(search, ranking.weights, starts);
      return allRows(found);
    case 'chebyshev':
      for (const start of starts) refined(search, start, (x) => refineChebyshev(newton, x, ranking.weights, ranking.goal, ranges));
      return allRows(found);
    case 'nearest':
      return searchNearest(search, ranking, starts[0] ?? 0);
  }
}

/** What every question of one front needs; `found` holds `size` rows of it. */
interface Prepared extends Search {
  readonly surrogates: readonly Surrogate[];
  readonly size: number;
}

/** Fronts are never changed, and are asked often. */
const PREPARED = new WeakMap<PredictedFront, Prepared>();

function prepare({ tasks, dimensions, surrogates, front }: QuestionContext): Search {
  const known = PREPARED.get(front);
  if (known !== undefined && known.surrogates === surrogates) {
    known.found.count = known.size;
    return known;
  }
  const problem = surrogateProblem(tasks, dimensions, surrogates);
  const found = createPointSet(problem, front.points.length + 16);
  for (const { coefficients } of front.points) addPoint(found, problem, problem.fromCoefficients(coefficients));
  const ranges = rangesOf(allRows(found).map((row) => rowOf(found, row)));
  const prepared = { problem, newton: createBoxNewton(problem), ranges, found, surrogates, size: found.count };
  PREPARED.set(front, prepared);
  return prepared;
}

/**
 * @throws FRONT_NOT_READY for a front without points
 * @throws USAGE when the question contradicts the tasks or itself
 * @throws NO_SUCH_POINT when nothing satisfies the constraints
 */
export function choose(question: Question, context: QuestionContext): Answer {
  const { tasks, surrogates, front } = context;
  if (front.points.length === 0) throw new TributaryError('FRONT_NOT_READY', { what: 'the front has no points yet' });
  const search = prepare(context);
  const { problem, found, ranges } = search;
  const ranking = rankingOf(question, tasks, () => allRows(found).map((row) => rowOf(found, row)), ranges);
  const best = bestOf(search, ranking, rowsToChooseFrom(search, ranking, tasks)) ?? 0;
  const score = scoreOf(ranking, rowOf(found, best));
  return {
    point: predictPoint(surrogates, problem.toCoefficients(pointAt(found, best))),
    score: ranking.kind === 'linear' && question.by !== 'knee' ? -score : score,
  };
}

/** Names of the tasks whose metrics a question reads. */
function tasksOf(question: Question, tasks: readonly Task[]): ReadonlySet<string> {
  const all = tasks.map(({ name }) => name);
  const weighted = (weights: readonly { readonly task: string; readonly weight: number }[]): string[] =>
    weights.filter(({ weight }) => weight !== 0).map(({ task }) => task);
  switch (question.by) {
    case 'preference':
      return new Set(weighted(question.weights));
    case 'constraints':
      return new Set([
        ...question.constraints.map(({ task }) => task),
        ...(question.objective.length === 0 ? all : weighted(question.objective)),
      ]);
    case 'nearest':
      return new Set(question.wishes.map(({ task }) => task));
    case 'knee':
      return new Set(all);
  }
}

/**
 * What is nearest to a wish lies on the front of all tasks, where the wish may be for less than the best of one. Where no candidate was measured in all
 * of them, the tasks of the wish have to do.
 */
function tasksToCompare(question: Question, tasks: readonly Task[], measured: readonly MeasuredCandidate[]): ReadonlySet<string> {
  const isWhole = (candidate: MeasuredCandidate): boolean => tasks.every((_, t) => candidate.measured[t] !== undefined);
  if (question.by !== 'nearest' || !measured.some(isWhole)) return tasksOf(question, tasks);
  return new Set(tasks.map(({ name }) => name));
}

/** Without the tasks that have weight 0. */
function withoutIdle(question: Question): Question {
  if (question.by === 'preference') return { ...question, weights: question.weights.filter(({ weight }) => weight !== 0) };
  if (question.by === 'constraints') return { ...question, objective: question.objective.filter(({ weight }) => weight !== 0) };
  return question;
}

interface Comparable {
  /** Candidates measured on the tasks in question, their values to be minimised, and which rows no other dominates. */
  readonly complete: readonly MeasuredCandidate[];
  readonly rows: readonly Float64Array[];
  readonly front: readonly number[];
  /** Values of those rows; where there are none, one of zeros. */
  readonly ranked: readonly Float64Array[];
  readonly ranges: Ranges;
}

/** What was measured is never changed, and is asked often. */
const COMPARABLE = new WeakMap<readonly MeasuredCandidate[], Map<string, Comparable>>();

function comparable(measured: readonly MeasuredCandidate[], tasks: readonly Task[], numbers: readonly number[]): Comparable {
  const known = COMPARABLE.get(measured) ?? new Map<string, Comparable>();
  COMPARABLE.set(measured, known);
  const key = numbers.map((t) => `${t} ${tasks[t]?.direction}`).join();
  const before = known.get(key);
  if (before !== undefined) return before;
  const complete = measured.filter((candidate) => numbers.every((t) => candidate.measured[t] !== undefined));
  const rows = complete.map((candidate) =>
    Float64Array.from(numbers, (t) => signOf(tasks[t]?.direction ?? 'minimize') * (candidate.measured[t]?.value ?? Number.NaN)),
  );
  const front = nonDominatedRows(Float64Array.from(rows.flatMap((row) => [...row])), numbers.length, rows.length);
  const ranked = front.length === 0 ? [new Float64Array(numbers.length)] : front.map((row) => rows[row] as Float64Array);
  const made = { complete, rows, front, ranked, ranges: rangesOf(ranked) };
  known.set(key, made);
  return made;
}

/**
 * The best of the candidates that were measured on every task the question reads, by the same question; ranges are those of their own
 * front. Of equals the first.
 * @returns undefined when none was measured so far or none satisfies the constraints
 * @throws USAGE when the question contradicts the tasks or itself
 */
export function bestMeasured(
  question: Question,
  tasks: readonly Task[],
  measured: readonly MeasuredCandidate[],
): MeasuredCandidate | undefined {
  const nothing = [new Float64Array(tasks.length)];
  // For its errors: the ranking itself only reads tasks that count.
  rankingOf(question, tasks, () => nothing, rangesOf(nothing));
  const read = tasksToCompare(question, tasks, measured);
  const numbers = [...tasks.keys()].filter((t) => read.has(tasks[t]?.name ?? ''));
  const own = numbers.map((t) => tasks[t] as Task);
  const { complete, rows, front, ranked, ranges } = comparable(measured, tasks, numbers);
  const ranking = rankingOf(withoutIdle(question), own, () => ranked, ranges);
  const limits = ranking.kind === 'linear' ? ranking.limits : [];
  let best: number | undefined;
  for (const row of question.by === 'nearest' || question.by === 'knee' ? front : rows.keys()) {
    const values = rows[row] as Float64Array;
    if (limits.some((limit) => excess(limit, values) > 0)) continue;
    if (best === undefined || scoreOf(ranking, values) < scoreOf(ranking, rows[best] as Float64Array)) best = row;
  }
  return best === undefined ? undefined : complete[best];
}
