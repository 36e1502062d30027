/**
 * AdaMerging (arXiv 2310.02575): Adam on the coefficients, task-wise or layer-wise, downhill in the preference-weighted sum of the entropies of
 * predictions on unlabelled inputs. The gradient comes with the measurements where the evaluator has one; otherwise from central differences,
 * whose points are candidates in the same batch. Only entropies are measured on the way.
 * The paper takes 500 steps of 1e-3. Evaluations are dearer here: steps begin at 0.02 of the box's width, or at what crosses it with as many steps
 * as the budget allows (at most 0.2), and shrink to a tenth of that. Start and end are as in the paper: 0.3 everywhere, and one merged model.
 */
import type { Measured, Proposal, StudySpec } from '../study.js';
import { budgetOf, totalOf } from './budget.js';
import { type MeasuredBook, resultOf, unasked } from './measured-book.js';
import type { Objective } from './objective.js';
import { type Coefficients, clamp, clampToBox, fromWeights, keyOf } from './points.js';
import { referencePoints } from './reference-points.js';

export const ADAMERGING = 'adamerging';

const START = 0.3;
const MOST_STEPS = 500;
const LEAST_RATE = 0.02;
const MOST_RATE = 0.2;
const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-8;
/** Half of the distance of a central difference, as a share of the box's width. */
const DIFFERENCE = 0.02;

/** What is lowered: entropies; any other metric only if there is none. */
export function entropyTasks({ tasks }: Pick<StudySpec, 'tasks'>): number[] {
  const entropies = [...tasks.keys()].filter((task) => tasks[task]?.metric === 'entropy');
  return entropies.length > 0 ? entropies : [...tasks.keys()];
}

interface Descent {
  readonly spec: StudySpec;
  readonly book: MeasuredBook;
  readonly tasks: readonly number[];
  /** By number of task: preference, with the sign that makes less better. */
  readonly weights: ReadonlyMap<number, number>;
}

const complete = (measured: Measured | undefined, size: number): boolean =>
  measured?.gradient?.length === size && measured.gradient.every(Number.isFinite);

/** Undefined unless every task is measured there. */
function lossAt({ book, tasks, weights }: Descent, point: Coefficients): number | undefined {
  const measured = book.at(point);
  let sum = 0;
  for (const task of tasks) {
    const value = measured[task]?.value;
    if (value === undefined) return undefined;
    sum += (weights.get(task) ?? 1) * value;
  }
  return sum;
}

function reportedGradient({ book, tasks, weights, spec }: Descent, point: Coefficients): number[] | undefined {
  const size = spec.dimensions.length;
  const measured = book.at(point);
  if (!tasks.every((task) => complete(measured[task], size))) return undefined;
  const gradient = Array.from({ length: size }, () => 0);
  for (const task of tasks)
    for (let k = 0; k < size; k++)
      gradient[k] = (gradient[k] as number) + (weights.get(task) ?? 1) * (measured[task]?.gradient?.[k] as number);
  return gradient;
}

/** The two ends of each coordinate's difference; at the border of the box it is one-sided. */
function differencePoints({ spec: { dimensions } }: Descent, point: Coefficients): readonly (readonly [number[], number[]])[] {
  return dimensions.map(({ lower, upper }, k) => {
    const step = DIFFERENCE * (upper - lower);
    const moved = (by: number): number[] => point.map((value, index) => (index === k ? clamp(value + by, lower, upper) : value));
    return [moved(-step), moved(step)] as const;
  });
}

/** Tasks that are missing at an end tell nothing of that coordinate. */
function differences(descent: Descent, point: Coefficients): number[] {
  const { book, tasks, weights } = descent;
  return differencePoints(descent, point).map(([below, above], k) => {
    const width = (above[k] as number) - (below[k] as number);
    let sum = 0;
    for (const task of tasks) {
      const low = book.at(below)[task]?.value;
      const high = book.at(above)[task]?.value;
      if (low !== undefined && high !== undefined) sum += ((weights.get(task) ?? 1) * (high - low)) / width;
    }
    return sum;
  });
}

/** To be asked once the reference points are measured. */
export function adamergingBatch(spec: StudySpec, book: MeasuredBook, objective: Objective): Proposal[] {
  const { dimensions } = spec;
  const size = dimensions.length;
  const tasks = entropyTasks(spec);
  const sign = (task: number): number => (spec.tasks[task]?.direction === 'maximize' ? -1 : 1);
  const descent: Descent = { spec, book, tasks, weights: new Map(tasks.map((task) => [task, sign(task) * objective.preference(task)])) };

  const references = referencePoints(spec);
  const gradients = references.some(({ coefficients }) => tasks.every((task) => complete(book.at(coefficients)[task], size)));
  const unit = budgetOf(spec).kind === 'evaluations' ? tasks.length : 1;
  const whole = budgetOf(spec).kind === 'evaluations' ? spec.tasks.length : 1;
  const available = Math.max(0, totalOf(spec) - (references.length + 1) * whole);
  const perStep = gradients ? 1 : 2 * size + 1;
  const steps = Math.min(MOST_STEPS, Math.floor(available / (unit * perStep)));
  const rate = clamp(1 / Math.max(steps, 1), LEAST_RATE, MOST_RATE);

  let point = clampToBox(
    dimensions,
    fromWeights(dimensions, () => START),
  );
  let best: Coefficients = point;
  let least = Infinity;
  const first = new Float64Array(size);
  const second = new Float64Array(size);
  const visited = new Map<string, Coefficients>();
  /** Proposals for points, as long as the budget pays for those that are new on this way; undefined when it does not. */
  const want = (points: readonly Coefficients[]): Proposal[] | undefined => {
    const fresh = new Map(points.map((coefficients) => [keyOf(coefficients), coefficients] as const));
    for (const key of visited.keys()) fresh.delete(key);
    if ((visited.size + fresh.size) * unit > available) return undefined;
    for (const [key, coefficients] of fresh) visited.set(key, coefficients);
    return unasked(
      book,
      points.map((coefficients) => ({ kind: 'adaptive', coefficients, tasks })),
    );
  };
  for (let step = 1; step <= steps; step++) {
    const here = want([point, ...(gradients ? [] : differencePoints(descent, point).flat())]);
    if (here === undefined) break;
    if (here.length > 0) return here;
    const loss = lossAt(descent, point);
    if (loss !== undefined && loss < least) [best, least] = [point, loss];
    let gradient = reportedGradient(descent, point);
    if (gradient === undefined) {
      // Where gradients came with the reference points but not here, differences are asked for now.
      const around = want(differencePoints(descent, point).flat());
      if (around === undefined) break;
      if (around.length > 0) return around;
      gradient = differences(descent, point);
    }
    const decay = 1 - (0.9 * (step - 1)) / Math.max(steps - 1, 1);
    point = dimensions.map(({ lower, upper }, k) => {
      const width = upper - lower;
      // In box coordinates, so that coordinates of different widths move alike.
      const slope = (gradient[k] as number) * width;
      first[k] = BETA_1 * (first[k] as number) + (1 - BETA_1) * slope;
      second[k] = BETA_2 * (second[k] as number) + (1 - BETA_2) * slope * slope;
      const mean = (first[k] as number) / (1 - powerOf(BETA_1, step));
      const spread = (second[k] as number) / (1 - powerOf(BETA_2, step));
      return clamp((point[k] as number) - (rate * decay * width * mean) / (Math.sqrt(spread) + EPSILON), lower, upper);
    });
  }
  // Points of differences are measured too, and one of them may be the lowest.
  for (const coefficients of visited.values()) {
    const loss = lossAt(descent, coefficients);
    if (loss !== undefined && loss < least) [best, least] = [coefficients, loss];
  }
  return resultOf(book, ADAMERGING, best);
}

/** base^exponent by repeated multiplication: Math.pow may differ between machines. */
function powerOf(base: number, exponent: number): number {
  let product = 1;
  for (let k = 0; k < exponent; k++) product *= base;
  return product;
}
