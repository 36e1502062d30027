/**
 * Metrics over batches of a model's output, each with the number of examples behind it and its standard error. Everything is summed in fp64 in the
 * order of the examples. An output that is not finite ends the evaluation: no metric of it means anything.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { Confusion, type F1Average, type Measured } from './confusion.js';

export const MEASURE_NAMES = ['accuracy', 'f1', 'mse', 'loss', 'perplexity', 'entropy'] as const;
export type MeasureName = (typeof MEASURE_NAMES)[number];

export const isMeasureName = (name: string): name is MeasureName => (MEASURE_NAMES as readonly string[]).includes(name);

export interface MeasureOptions {
  /** How F1 is put together from the classes; default macro. */
  readonly average?: F1Average | undefined;
  /** A single output counts as class 1 from here on; default 0.5. */
  readonly threshold?: number | undefined;
  /** Position t predicts label t + 1: language models whose labels are their inputs. */
  readonly shift?: boolean | undefined;
  /** The output is probabilities of classes already, and not scores before softmax. */
  readonly probabilities?: boolean | undefined;
  /** What to call the model's output in errors. */
  readonly where: string;
}

/** What a model said of some rows. */
export interface ScoredRows {
  readonly rows: number;
  readonly scores: ArrayLike<number>;
  /** Of the scores; rows first. */
  readonly shape: readonly number[];
  /** Of the same rows; none where the measure needs none. */
  readonly labels?: ArrayLike<number> | undefined;
  /** The output is not scores but the class itself. */
  readonly classes?: boolean | undefined;
}

export interface Measure {
  readonly add: (batch: ScoredRows) => void;
  readonly result: () => Measured;
}

/** Labels that no position is judged by, as torch has it. */
const IGNORED_LABEL = -100;

export const needsLabels = (name: MeasureName): boolean => name !== 'entropy';

export function createMeasure(name: MeasureName, options: MeasureOptions): Measure {
  switch (name) {
    case 'accuracy':
      return meanMeasure(options, (batch, into) => {
        forEachPosition(batch, options, (scores, label) => into.add(predictedClass(scores, batch, options) === label ? 1 : 0));
      });
    case 'f1':
      return f1Measure(options);
    case 'mse':
      return meanMeasure(options, (batch, into) => addSquares(batch, options, into));
    case 'entropy':
      return meanMeasure(options, (batch, into) => addEntropies(batch, options, into));
    case 'loss':
      return meanMeasure(options, (batch, into) => addLosses(batch, options, into));
    case 'perplexity':
      return perplexityMeasure(options);
  }
}

/** Mean and variance in one pass (Welford). */
export class RunningMean {
  #count = 0;
  #mean = 0;
  #squares = 0;

  add(value: number): void {
    this.#count += 1;
    const distance = value - this.#mean;
    this.#mean += distance / this.#count;
    this.#squares += distance * (value - this.#mean);
  }

  /** The standard error is that of a mean of independent examples; unknown for fewer than two. */
  result(): Measured {
    const count = this.#count;
    const standardError = count < 2 ? undefined : Math.sqrt(this.#squares / (count - 1) / count);
    return { value: this.#mean, count, standardError };
  }
}

function meanMeasure(options: MeasureOptions, add: (batch: ScoredRows, into: RunningMean) => void): Measure {
  const mean = new RunningMean();
  return { add: (batch) => add(batch, mean), result: () => someOf(mean.result(), options) };
}

/** exp of the mean loss; its standard error by the delta method. */
function perplexityMeasure(options: MeasureOptions): Measure {
  const losses = new RunningMean();
  return {
    add: (batch) => addLosses(batch, options, losses),
    result: () => {
      const { value: loss, count, standardError } = someOf(losses.result(), options);
      const value = Math.exp(loss);
      return { value, count, standardError: standardError === undefined ? undefined : value * standardError };
    },
  };
}

function f1Measure(options: MeasureOptions): Measure {
  const confusion = new Confusion();
  return {
    add: (batch) => forEachPosition(batch, options, (scores, label) => confusion.add(label, predictedClass(scores, batch, options))),
    result: () => someOf(confusion.f1(options.average ?? 'macro'), options),
  };
}

function someOf(measured: Measured, { where }: MeasureOptions): Measured {
  if (!Number.isFinite(measured.value)) notFinite(where, measured.value);
  if (measured.count > 0) return measured;
  throw new TributaryError('DATA_INVALID', {
    what: 'the data holds nothing to measure',
    where,
    expected: 'at least one example with a label',
  });
}

function addLosses(batch: ScoredRows, options: MeasureOptions, into: RunningMean): void {
  forEachPosition(batch, options, (scores, label) => {
    if (scores.length < 2) refuse(options, 'a loss needs one score for each class', 'two classes or more', 'a single output');
    if (label >= scores.length) refuse(options, 'a label is no class of the model', `0 to ${scores.length - 1}`, `${label}`);
    into.add(logSumExp(scores) - (scores[label] as number));
  });
}

function addSquares({ rows, scores, labels }: ScoredRows, options: MeasureOptions, into: RunningMean): void {
  const expected = labels?.length ?? 0;
  if (scores.length !== expected) refuse(options, 'the output has another size than the labels', `${expected} values`, `${scores.length}`);
  const size = scores.length / rows;
  for (let row = 0; row < rows; row += 1) {
    let sum = 0;
    for (let at = row * size; at < (row + 1) * size; at += 1) sum += ((scores[at] as number) - (labels?.[at] as number)) ** 2;
    if (!Number.isFinite(sum)) notFinite(options.where, sum);
    into.add(sum / size);
  }
}

function addEntropies({ scores, shape }: ScoredRows, options: MeasureOptions, into: RunningMean): void {
  const classes = shape.at(-1) ?? 1;
  if (classes < 2) refuse(options, 'an entropy needs one score for each class', 'two classes or more', `an output [${shape.join(', ')}]`);
  for (let at = 0; at < scores.length; at += classes) into.add(softmaxEntropy(slice(scores, at, classes, options)));
}

/** -sum p log p of p = softmax(scores), in nats. */
export function softmaxEntropy(scores: ArrayLike<number>): number {
  const total = logSumExp(scores);
  let entropy = 0;
  for (let index = 0; index < scores.length; index += 1) {
    const logProbability = (scores[index] as number) - total;
    // A masked class has probability 0 and adds nothing.
    if (logProbability > Number.NEGATIVE_INFINITY) entropy -= Math.exp(logProbability) * logProbability;
  }
  return entropy;
}

export function logSumExp(scores: ArrayLike<number>): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < scores.length; index += 1) largest = Math.max(largest, scores[index] as number);
  let sum = 0;
  for (let index = 0; index < scores.length; index += 1) sum += Math.exp((scores[index] as number) - largest);
  return largest + Math.log(sum);
}

/** The class with the largest score, the first of equals; of a single output 0 or 1, or the class that it names. */
function predictedClass(scores: ArrayLike<number>, batch: ScoredRows, { threshold = 0.5 }: MeasureOptions): number {
  if (scores.length === 1) return batch.classes === true ? (scores[0] as number) : Number((scores[0] as number) >= threshold);
  let best = 0;
  for (let index = 1; index < scores.length; index += 1) if ((scores[index] as number) > (scores[best] as number)) best = index;
  return best;
}

/** Calls `visit` for every position with a label, with its scores and its class. */
function forEachPosition(batch: ScoredRows, options: MeasureOptions, visit: (scores: ArrayLike<number>, label: number) => void): void {
  const { rows, scores, shape, labels = [] } = batch;
  const classes = scores.length / labels.length;
  if (!Number.isInteger(classes) || (classes > 1 && shape.at(-1) !== classes)) {
    const expected = `an output [..., classes] for ${labels.length} labels`;
    refuse(options, 'the output does not fit the labels', expected, `[${shape.join(', ')}]`);
  }
  const length = labels.length / rows;
  const ahead = options.shift === true ? 1 : 0;
  for (let row = 0; row < rows; row += 1) {
    for (let position = 0; position + ahead < length; position += 1) {
      const label = labels[row * length + position + ahead] as number;
      if (label === IGNORED_LABEL) continue;
      if (!Number.isSafeInteger(label) || label < 0) refuse(options, 'a label is no class', 'whole numbers from 0, or -100', `${label}`);
      visit(slice(scores, (row * length + position) * classes, classes, options), label);
    }
  }
}

function slice(scores: ArrayLike<number>, start: number, length: number, options: MeasureOptions): ArrayLike<number> {
  const part = new Float64Array(length);
  for (let index = 0; index < length; index += 1) {
    const score = scores[start + index] as number;
    // Language models mask tokens with minus infinity.
    if (Number.isNaN(score) || score === Number.POSITIVE_INFINITY) notFinite(options.where, score);
    part[index] = options.probabilities === true && length > 1 ? Math.log(score) : score;
  }
  return part;
}

function notFinite(where: string, got: number): never {
  throw new TributaryError('EVALUATION_FAILED', {
    what: 'what the model says is not finite',
    where,
    expected: 'finite scores',
    got: `${got}`,
  });
}

function refuse({ where }: MeasureOptions, what: string, expected: string, got: string): never {
  throw new TributaryError('DATA_INVALID', { what, where, expected, got });
}
