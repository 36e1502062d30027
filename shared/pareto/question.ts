/**
 * What is asked of a front (the questions of ParetoService.Query), and what a question means once it is known between which values its
 * tasks move: a function of the metrics that ranks points. The same function ranks predicted points and measured ones.
 *
 * - preference, linear: sum of weight x metric, weights scaled to Euclidean length 1, minimised metrics counted negatively (MAP, arXiv
 *   2406.07529).
 * - preference, Chebyshev: the largest weight x (distance to the ideal) / range.
 * - constraints: the weighted mean of the metrics among the points that satisfy them.
 * - nearest: Euclidean distance to the wishes, each task divided by its range.
 * - knee: the point of the front that bulges farthest out of the hyperplane through its extreme points (Das, Structural Optimization 18,
 *   1999), metrics scaled to [0, 1] by their ranges. Where these points lie in no plane that falls in every task, the plane has equal
 *   intercepts (as NSGA-III does). A front that bulges nowhere has its knee where the largest scaled distance to the ideal is smallest.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { suggest } from '../util/suggest.js';
import { signOf } from './dominance.js';
import { simplexNormal } from './simplex-normal.js';
import type { Task } from './study.js';

export interface TaskWeight {
  readonly task: string;
  /** From 0. */
  readonly weight: number;
}

/** Bounds in units of the metric. */
export interface TaskConstraint {
  readonly task: string;
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
}

export interface TaskWish {
  readonly task: string;
  readonly value: number;
}

export type Question =
  /** Tasks without a weight have weight 0. */
  | { readonly by: 'preference'; readonly weights: readonly TaskWeight[]; readonly scalarisation: 'linear' | 'chebyshev' }
  /** An empty objective is the mean of all tasks. */
  | { readonly by: 'constraints'; readonly constraints: readonly TaskConstraint[]; readonly objective: readonly TaskWeight[] }
  | { readonly by: 'nearest'; readonly wishes: readonly TaskWish[] }
  | { readonly by: 'knee' };

/** side x (value - bound) has to be 0 or below; of a value to be minimised. */
export interface Limit {
  readonly task: number;
  readonly side: 1 | -1;
  readonly bound: number;
}

/** Least and largest values on the front, to be minimised; and their differences, 1 where that is 0. */
export interface Ranges {
  readonly least: Float64Array;
  readonly most: Float64Array;
  readonly widths: Float64Array;
}

/** A question in values to be minimised; smaller scores are better. Arrays are by task. */
export type Ranking =
  | { readonly kind: 'linear'; readonly weights: Float64Array; readonly limits: readonly Limit[] }
  | { readonly kind: 'chebyshev'; readonly weights: Float64Array; readonly goal: Float64Array }
  | { readonly kind: 'nearest'; readonly weights: Float64Array; readonly goal: Float64Array };

const refuse = (what: string, expected?: string, got?: string, fix?: string): never => {
  throw new TributaryError('USAGE', { what, expected, got, fix });
};

function taskNumber(tasks: readonly Task[], name: string): number {
  const index = tasks.findIndex((task) => task.name === name);
  if (index >= 0) return index;
  const names = tasks.map((task) => task.name);
  const near = suggest(name, names);
  return refuse(`there is no task ${name}`, names.join(', '), name, near === undefined ? undefined : `Did you mean ${near}?`);
}

function refuseRepeated(names: readonly string[], what: string): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuse(`${twice} has two ${what}`, 'one for each task');
}

function weightsOf(tasks: readonly Task[], given: readonly TaskWeight[]): Float64Array {
  refuseRepeated(
    given.map(({ task }) => task),
    'weights',
  );
  const weights = new Float64Array(tasks.length);
  for (const { task, weight } of given) {
    if (!(weight >= 0 && weight < Infinity)) refuse(`the weight of ${task} is no weight`, 'a number from 0', `${weight}`);
    weights[taskNumber(tasks, task)] = weight;
  }
  if (weights.every((weight) => weight === 0)) refuse('no task has a weight', 'a weight above 0 for one task at least');
  return weights;
}

function limitsOf(tasks: readonly Task[], constraints: readonly TaskConstraint[]): Limit[] {
  if (constraints.length === 0) refuse('there is no constraint', 'a bound for one task at least');
  return constraints.flatMap(({ task: name, atLeast, atMost }) => {
    const task = taskNumber(tasks, name);
    const sign = signOf(tasks[task]?.direction ?? 'minimize');
    const bounds = [atLeast, atMost].filter((bound) => bound !== undefined);
    if (bounds.length === 0 || bounds.some((bound) => !Number.isFinite(bound)))
      refuse(`the constraint of ${name} has no bound`, 'at least or at most a number');
    if (atLeast !== undefined && atMost !== undefined && atLeast > atMost)
      refuse(`the constraint of ${name} can never hold`, 'at least <= at most', `${atLeast} > ${atMost}`);
    const limits: Limit[] = [];
    if (atLeast !== undefined) limits.push({ task, side: sign === 1 ? -1 : 1, bound: sign * atLeast });
    if (atMost !== undefined) limits.push({ task, side: sign, bound: sign * atMost });
    return limits;
  });
}

function kneeRanking(rows: readonly Float64Array[], ranges: Ranges): Ranking {
  const { least, widths } = ranges;
  const scaled = rows.map((row) => row.map((value, t) => (value - (least[t] as number)) / (widths[t] as number)));
  const { normal, offset } = simplexNormal(scaled);
  const bulge = Math.max(...scaled.map((row) => offset - row.reduce((sum, value, t) => sum + value * (normal[t] as number), 0)));
  const weights = widths.map((width) => 1 / width);
  if (bulge <= 1e-9) return { kind: 'chebyshev', weights, goal: least };
  return { kind: 'linear', weights: weights.map((weight, t) => weight * (normal[t] as number)), limits: [] };
}

/** @param rows values to be minimised of the points of a front, at least one */
export function rangesOf(rows: readonly Float64Array[]): Ranges {
  const [first = new Float64Array()] = rows;
  const least = first.map((_, t) => Math.min(...rows.map((row) => row[t] as number)));
  const most = first.map((_, t) => Math.max(...rows.map((row) => row[t] as number)));
  return { least, most, widths: most.map((value, t) => value - (least[t] as number) || 1) };
}

/**
 * @param rows values to be minimised of the points of a front, at least one; only some questions look at them
 * @throws USAGE when the question contradicts the tasks or itself
 */
export function rankingOf(question: Question, tasks: readonly Task[], rows: () => readonly Float64Array[], ranges: Ranges): Ranking {
  switch (question.by) {
    case 'preference': {
      const weights = weightsOf(tasks, question.weights);
      if (question.scalarisation === 'chebyshev')
        return { kind: 'chebyshev', weights: weights.map((weight, t) => weight / (ranges.widths[t] as number)), goal: ranges.least };
      const length = Math.hypot(...weights);
      return { kind: 'linear', weights: weights.map((weight) => weight / length), limits: [] };
    }
    case 'constraints': {
      const equal = tasks.map((task) => ({ task: task.name, weight: 1 }));
      const weights = weightsOf(tasks, question.objective.length === 0 ? equal : question.objective);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return { kind: 'linear', weights: weights.map((weight) => weight / total), limits: limitsOf(tasks, question.constraints) };
    }
    case 'nearest': {
      if (question.wishes.length === 0) refuse('there is no wish', 'a value for one task at least');
      refuseRepeated(
        question.wishes.map(({ task }) => task),
        'wishes',
      );
      const weights = new Float64Array(tasks.length);
      const goal = new Float64Array(tasks.length);
      for (const { task: name, value } of question.wishes) {
        if (!Number.isFinite(value)) refuse(`the wish for ${name} is no number`, 'a number', `${value}`);
        const task = taskNumber(tasks, name);
        weights[task] = 1 / (ranges.widths[task] as number);
        goal[task] = signOf(tasks[task]?.direction ?? 'minimize') * value;
      }
      return { kind: 'nearest', weights, goal };
    }
    case 'knee':
      return kneeRanking(rows(), ranges);
  }
}

/** Of the values from `at` on; smaller is better. Tasks with weight 0 may be missing (NaN). */
export function scoreOf(ranking: Ranking, values: Float64Array, at = 0): number {
  const { kind, weights } = ranking;
  let score = kind === 'chebyshev' ? -Infinity : 0;
  for (let t = 0; t < weights.length; t++) {
    const weight = weights[t] as number;
    if (weight === 0) continue;
    const value = values[at + t] as number;
    if (kind === 'linear') score += weight * value;
    else {
      const distance = weight * (value - (ranking.goal[t] as number));
      score = kind === 'nearest' ? score + distance * distance : Math.max(score, distance);
    }
  }
  return kind === 'nearest' ? Math.sqrt(score) : score;
}

/** How far the values are from satisfying a limit; 0 or below: they do. */
export const excess = ({ task, side, bound }: Limit, values: Float64Array): number => side * ((values[task] as number) - bound);
