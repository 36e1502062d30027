import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMeasure, type MeasureName, type MeasureOptions, RunningMean, softmaxEntropy } from '../../client/evaluate/measures.js';
import { expectError } from '../support/expect-error.js';

/** Rows in two batches, so that sums cross a border. */
function measure(
  name: MeasureName,
  scores: readonly (readonly number[])[],
  labels: readonly number[],
  options: Partial<MeasureOptions> = {},
) {
  const one = createMeasure(name, { where: 'test', ...options });
  const cut = Math.ceil(scores.length / 2);
  for (const [start, end] of [
    [0, cut],
    [cut, scores.length],
  ] as const) {
    const rows = scores.slice(start, end);
    if (rows.length > 0)
      one.add({ rows: rows.length, scores: rows.flat(), shape: [rows.length, rows[0]?.length ?? 0], labels: labels.slice(start, end) });
  }
  return one.result();
}

/** The slow way: formulas of the textbook over whole arrays. */
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const standardErrorOf = (values: readonly number[]): number => {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) / values.length);
};
const softmax = (row: readonly number[]): number[] => {
  const powers = row.map((score) => Math.exp(score));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};
const argmax = (row: readonly number[]): number => row.indexOf(Math.max(...row));
function f1Of(truth: readonly number[], predicted: readonly number[], average: 'macro' | 'micro' | 'binary'): number {
  const classes = average === 'binary' ? [1] : [...new Set([...truth, ...predicted])];
  const counts = classes.map((one) => ({
    hits: truth.filter((label, index) => label === one && predicted[index] === one).length,
    falsePositives: predicted.filter((label, index) => label === one && truth[index] !== one).length,
    falseNegatives: truth.filter((label, index) => label === one && predicted[index] !== one).length,
  }));
  const score = ({ hits, falsePositives, falseNegatives }: (typeof counts)[number]): number =>
    hits === 0 ? 0 : (2 * hits) / (2 * hits + falsePositives + falseNegatives);
  if (average !== 'micro') return meanOf(counts.map(score));
  const sum = (key: keyof (typeof counts)[number]): number => counts.reduce((total, count) => total + count[key], 0);
  return score({ hits: sum('hits'), falsePositives: sum('falsePositives'), falseNegatives: sum('falseNegatives') });
}

const cases = fc.tuple(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 2, max: 30 })).chain(([classes, rows]) =>
  fc.record({
    scores: fc.array(fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: classes, maxLength: classes }), {
      minLength: rows,
      maxLength: rows,
    }),
    labels: fc.array(fc.nat(classes - 1), { minLength: rows, maxLength: rows }),
  }),
);

describe('metrics', () => {
  it('are those of the slow formulas', () => {
    fc.assert(
      fc.property(cases, ({ scores, labels }) => {
        const hits = scores.map((row, index) => (argmax(row) === labels[index] ? 1 : 0));
        const losses = scores.map((row, index) => -Math.log(softmax(row)[labels[index] as number] as number));
        const entropies = scores.map((row) => -softmax(row).reduce((sum, p) => sum + (p === 0 ? 0 : p * Math.log(p)), 0));
        const squares = scores.map((row) => ((row[0] as number) - 1.5) ** 2);
        const single = scores.map(([first]) => [first as number]);
        for (const [name, values, got] of [
          ['accuracy', hits, measure('accuracy', scores, labels)],
          ['loss', losses, measure('loss', scores, labels)],
          ['entropy', entropies, measure('entropy', scores, [])],
          [
            'mse',
            squares,
            measure(
              'mse',
              single,
              single.map(() => 1.5),
            ),
          ],
        ] as const) {
          expect(got.count, name).toBe(scores.length);
          expect(got.value, name).toBeCloseTo(meanOf(values), 8);
          expect(got.standardError, name).toBeCloseTo(standardErrorOf(values), 8);
        }
        const perplexity = measure('perplexity', scores, labels);
        expect(perplexity.value / Math.exp(meanOf(losses))).toBeCloseTo(1, 8);
        expect((perplexity.standardError ?? 0) / perplexity.value).toBeCloseTo(standardErrorOf(losses), 8);
        for (const average of ['macro', 'micro', 'binary'] as const) {
          expect(measure('f1', scores, labels, { average }).value, average).toBeCloseTo(f1Of(labels, scores.map(argmax), average), 10);
        }
      }),
    );
  });

  it('take probabilities as they are when told so', () => {
    const scores = [
      [1, 2, 0],
      [0, -3, 1],
    ];
    const probabilities = scores.map(softmax);
    for (const name of ['loss', 'entropy', 'accuracy'] as const) {
      expect(measure(name, probabilities, [1, 0], { probabilities: true }).value).toBeCloseTo(measure(name, scores, [1, 0]).value, 12);
    }
    expect(measure('entropy', [[1, 0, 0]], [], { probabilities: true }).value).toBe(0);
  });

  it('give F1 the error that resampling gives it', () => {
    const truth = Array.from({ length: 300 }, (_, index) => (index % 5 === 0 ? 1 : 0));
    const predicted = truth.map((label, index) => (index % 7 === 0 ? 1 - label : label));
    const rows = predicted.map((label) => [label === 0 ? 1 : 0, label]);
    for (const average of ['macro', 'binary'] as const) {
      // Leave one out: the classical jackknife.
      const without = truth.map((_, left) => {
        const keep = (_value: number, index: number): boolean => index !== left;
        return f1Of(truth.filter(keep), predicted.filter(keep), average);
      });
      const mean = meanOf(without);
      const jackknife = Math.sqrt(((truth.length - 1) / truth.length) * without.reduce((sum, value) => sum + (value - mean) ** 2, 0));
      const { standardError = 0 } = measure('f1', rows, truth, { average });
      expect(standardError / jackknife).toBeCloseTo(1, 1);
    }
  });

  it('of a single output are by a threshold, of class numbers by themselves', () => {
    expect(measure('accuracy', [[0.2], [0.7], [0.5]], [0, 1, 0]).value).toBeCloseTo(2 / 3);
    expect(measure('accuracy', [[0.2], [0.7], [0.5]], [0, 1, 0], { threshold: 0.6 }).value).toBe(1);
    const classes = createMeasure('accuracy', { where: 'test' });
    classes.add({ rows: 3, scores: [4, 0, 2], shape: [3], labels: [4, 1, 2], classes: true });
    expect(classes.result().value).toBeCloseTo(2 / 3);
  });

  it('of tokens leave out -100, and may judge each by the one before', () => {
    const scores = [0, 5, 5, 0, 5, 0, 0, 5, 0, 5, 5, 0];
    const batch = { rows: 2, scores, shape: [2, 3, 2] };
    const plain = createMeasure('accuracy', { where: 'test' });
    plain.add({ ...batch, labels: [1, -100, 0, 1, 0, -100] });
    expect(plain.result()).toMatchObject({ count: 4, value: 0.75 });
    const shifted = createMeasure('accuracy', { where: 'test', shift: true });
    shifted.add({ ...batch, labels: [0, 1, 0, 0, 1, -100] });
    expect(shifted.result()).toMatchObject({ count: 3, value: 1 });
  });

  it('have no standard error of one example', () => {
    expect(measure('accuracy', [[0, 1]], [1])).toEqual({ value: 1, count: 1, standardError: undefined });
  });

  it('do not lose small differences of large numbers', () => {
    const mean = new RunningMean();
    for (const value of [1e9, 1e9 + 1, 1e9 + 2]) mean.add(value);
    expect(mean.result()).toEqual({ value: 1e9 + 1, count: 3, standardError: Math.sqrt(1 / 3) });
  });

  it('know masked classes', () => {
    expect(softmaxEntropy([0, 0, Number.NEGATIVE_INFINITY])).toBeCloseTo(Math.log(2), 12);
    expect(measure('loss', [[0, 0, Number.NEGATIVE_INFINITY]], [1]).value).toBeCloseTo(Math.log(2), 12);
  });

  it.each([
    ['EVALUATION_FAILED', 'NaN', () => measure('accuracy', [[Number.NaN, 1]], [0])],
    ['EVALUATION_FAILED', 'infinity', () => measure('loss', [[Number.POSITIVE_INFINITY, 1]], [0])],
    ['EVALUATION_FAILED', 'a class that was masked', () => measure('loss', [[Number.NEGATIVE_INFINITY, 1]], [0])],
    ['EVALUATION_FAILED', 'NaN of a regression', () => measure('mse', [[Number.NaN]], [0])],
    ['DATA_INVALID', 'labels that are no classes', () => measure('accuracy', [[1, 2]], [0.5])],
    ['DATA_INVALID', 'labels beyond the classes', () => measure('loss', [[1, 2]], [2])],
    ['DATA_INVALID', 'a loss of one output', () => measure('loss', [[1]], [0])],
    ['DATA_INVALID', 'an entropy of one output', () => measure('entropy', [[1]], [])],
    ['DATA_INVALID', 'other sizes', () => measure('mse', [[1, 2]], [0])],
    ['DATA_INVALID', 'nothing but ignored labels', () => measure('accuracy', [[1, 2]], [-100])],
  ] as const)('are refused with %s: %s', async (code, _name, action) => {
    await expectError(code, action);
  });
});
