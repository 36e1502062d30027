import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { halfToNumber } from '../../client/evaluate/data/column.js';
import { numberToHalf } from '../../client/evaluate/data/prepare-input.js';
import { parseOnnx, writeOnnx } from '../../client/evaluate/onnx/graph.js';
import { loadOnnxRuntime } from '../../client/evaluate/onnx/session.js';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { gaussian, randomStream } from '../../client/train/random.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { expectError } from '../support/expect-error.js';
import { encodeOnnx, floatBytes, linearOnnx } from '../support/onnx-models.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, safetensorsBytes, type TestTensor, writeCheckpoint } from '../support/write-checkpoint.js';

const FOLDER = tempDir();
const ROWS = 11;
const FEATURES = 4;
const CLASSES = 3;

const random = randomStream(5, 'onnx');
const numbers = (count: number): number[] => Array.from({ length: count }, () => Math.fround(gaussian(random)));
const X = numbers(ROWS * FEATURES);
const LABELS = Array.from({ length: ROWS }, (_, index) => index % CLASSES);
const WEIGHT = numbers(CLASSES * FEATURES);
const BIAS = numbers(CLASSES);

let files = 0;
function write(extension: string, bytes: Uint8Array): string {
  files += 1;
  const path = join(FOLDER, `file-${files}.${extension}`);
  writeFileSync(path, bytes);
  return path;
}

const i64Tensor = (name: string, values: readonly number[], shape: readonly number[] = [values.length]): TestTensor => ({
  name,
  dtype: 'I64',
  shape,
  bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
});

const DATA = write(
  'safetensors',
  safetensorsBytes([
    f32Tensor('x', X, [ROWS, FEATURES]),
    i64Tensor('label', LABELS),
    f32Tensor('target', numbers(ROWS * CLASSES), [ROWS, CLASSES]),
  ]),
);
/** Its own weights are zeros: a number that is right comes from the candidate. */
const GRAPH = write('onnx', linearOnnx({ features: FEATURES, classes: CLASSES, weight: WEIGHT.map(() => 0), bias: BIAS.map(() => 0) }));

function candidate(
  tensors: readonly TestTensor[] = [f32Tensor('fc.weight', WEIGHT, [CLASSES, FEATURES]), f32Tensor('fc.bias', BIAS)],
): string {
  files += 1;
  return writeCheckpoint(join(FOLDER, `candidate-${files}`), tensors);
}

const open = (onnx: object) =>
  openEvaluator('t', evaluatorConfig({ onnx: { graph: GRAPH, data: DATA, label: 'label', ...onnx }, retries: 0 }));

async function evaluate(onnx: object, metric: string, folder = candidate()) {
  const evaluator = await open(onnx);
  const job = evaluationJob(FOLDER, { folder, metric });
  return { outcome: await evaluator.evaluate(job), log: readFileSync(job.logFile, 'utf8') };
}

/** What the network says, computed slowly. */
const scoresOf = (weight: readonly number[], bias: readonly number[]): number[][] =>
  Array.from({ length: ROWS }, (_, row) =>
    bias.map((offset, one) =>
      weight
        .slice(one * FEATURES, (one + 1) * FEATURES)
        .reduce((sum, value, at) => sum + value * (X[row * FEATURES + at] as number), offset),
    ),
  );
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const lossesOf = (scores: readonly (readonly number[])[]): number[] =>
  scores.map((row, index) => Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0)) - (row[LABELS[index] as number] as number));
const accuracyOf = (scores: readonly (readonly number[])[]): number =>
  meanOf(scores.map((row, index) => (row.indexOf(Math.max(...row)) === LABELS[index] ? 1 : 0)));

describe('an onnx evaluator', () => {
  it.each([1, 4, 11, 64])('measures what a slow reference measures, in batches of %i', async (batch) => {
    const scores = scoresOf(WEIGHT, BIAS);
    const accuracy = accuracyOf(scores);
    expect((await evaluate({ batch }, 'accuracy')).outcome).toEqual({
      value: expect.closeTo(accuracy, 12) as number,
      count: ROWS,
      standardError: expect.closeTo(Math.sqrt((accuracy * (1 - accuracy)) / (ROWS - 1)), 12) as number,
      metrics: { accuracy: expect.closeTo(accuracy, 12) as number },
    });
    expect((await evaluate({ batch, metric: 'loss' }, 'whatever')).outcome.value).toBeCloseTo(meanOf(lossesOf(scores)), 5);
    expect((await evaluate({ batch }, 'perplexity')).outcome.value).toBeCloseTo(Math.exp(meanOf(lossesOf(scores))), 4);
  });

  it('needs no labels for an entropy', async () => {
    const { outcome } = await evaluate({ label: undefined }, 'entropy');
    const entropies = scoresOf(WEIGHT, BIAS).map((row) => {
      const total = row.reduce((sum, score) => sum + Math.exp(score), 0);
      return -row.reduce((sum, score) => sum + (Math.exp(score) / total) * Math.log(Math.exp(score) / total), 0);
    });
    expect(outcome).toMatchObject({ value: expect.closeTo(meanOf(entropies), 5) as number, count: ROWS });
    await expectError('CONFIG_INVALID', () => evaluate({ label: undefined }, 'accuracy'));
  });

  it('fills the last batch of a graph whose batch is fixed, and counts each row once', async () => {
    const graph = write(
      'onnx',
      linearOnnx({ features: FEATURES, classes: CLASSES, weight: WEIGHT, bias: BIAS, batch: 4, packedDims: true }),
    );
    expect((await evaluate({ graph, batch: 3 }, 'loss')).outcome).toEqual((await evaluate({ batch: 4 }, 'loss')).outcome);
  });

  it('measures the file as it is now, not as it was', async () => {
    const folder = candidate();
    const evaluator = await open({});
    const job = evaluationJob(FOLDER, { folder, metric: 'loss' });
    expect((await evaluator.evaluate(job)).value).toBeCloseTo(meanOf(lossesOf(scoresOf(WEIGHT, BIAS))), 5);
    const doubled = WEIGHT.map((value) => value * 2);
    writeFileSync(
      join(folder, 'model.safetensors'),
      safetensorsBytes([f32Tensor('fc.weight', doubled, [CLASSES, FEATURES]), f32Tensor('fc.bias', BIAS)]),
    );
    expect((await evaluator.evaluate(job)).value).toBeCloseTo(meanOf(lossesOf(scoresOf(doubled, BIAS))), 5);
    expect(readFileSync(job.logFile, 'utf8').match(/take their values/g)).toHaveLength(1);
    await evaluator.close();
  });

  it('finds weights in shards, under other names, and transposed', async () => {
    const transposed = Array.from(
      { length: WEIGHT.length },
      (_, at) => WEIGHT[(at % CLASSES) * FEATURES + Math.floor(at / CLASSES)] as number,
    );
    files += 1;
    const folder = join(FOLDER, `sharded-${files}`);
    mkdirSync(folder);
    writeFileSync(
      join(folder, 'model-00001-of-00002.safetensors'),
      safetensorsBytes([f32Tensor('head.kernel', transposed, [FEATURES, CLASSES])]),
    );
    // Bytes before it leave the bias where no float would be aligned.
    const odd: TestTensor = { name: 'a', dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) };
    writeFileSync(join(folder, 'model-00002-of-00002.safetensors'), safetensorsBytes([odd, f32Tensor('head.bias', BIAS)]));
    writeFileSync(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({
        weight_map: {
          'head.kernel': 'model-00001-of-00002.safetensors',
          a: 'model-00002-of-00002.safetensors',
          'head.bias': 'model-00002-of-00002.safetensors',
        },
      }),
    );
    const options = { weights: { 'fc.weight': 'head.kernel', 'fc.*': 'head.*' }, transpose: ['fc.weight'] };
    const { outcome, log } = await evaluate(options, 'loss', folder);
    expect(outcome).toEqual((await evaluate({}, 'loss')).outcome);
    expect(log).toContain('1 tensors of the candidate are not in the graph: a');
  });

  it('reads inputs of other kinds: tokens, halves, images', async () => {
    const table = numbers(5 * 2);
    const graph = write(
      'onnx',
      encodeOnnx({
        nodes: [
          { op: 'Gather', inputs: ['embed', 'tokens'], outputs: ['e'] },
          { op: 'Cast', inputs: ['half'], outputs: ['h'], integers: { to: 1 } },
          { op: 'Add', inputs: ['e', 'h'], outputs: ['scores'] },
        ],
        initializers: [{ name: 'embed', shape: [5, 2], dataType: 1, values: floatBytes(table.map(() => 0)) }],
        inputs: [
          { name: 'tokens', dataType: 7, shape: ['n', 't'] },
          { name: 'half', dataType: 10, shape: ['n', 3, 2] },
        ],
        outputs: [{ name: 'scores', dataType: 1, shape: ['n', 't', 2] }],
      }),
    );
    const tokens = [0, 1, 2, 3, 4, 0];
    const half = [0.5, -1, 2, 0.25, 1, 1, 0, 0, -2, 3, 0.125, 4];
    const labels = [0, 1, -100, 1, 0, 1];
    const data = write(
      'safetensors',
      safetensorsBytes([i64Tensor('ids', tokens, [2, 3]), f32Tensor('flat', half, [2, 6]), i64Tensor('y', labels, [2, 3])]),
    );
    const scores = tokens.map((token, at) => [0, 1].map((one) => (table[token * 2 + one] as number) + (half[at * 2 + one] as number)));
    const losses = scores.flatMap((row, at) =>
      labels[at] === -100 ? [] : [Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0)) - (row[labels[at] as number] as number)],
    );
    const { outcome } = await evaluate(
      { graph, data, inputs: { tokens: 'ids', half: 'flat' }, label: 'y', batch: 1 },
      'perplexity',
      candidate([f32Tensor('embed', table, [5, 2])]),
    );
    expect(outcome).toMatchObject({ value: expect.closeTo(Math.exp(meanOf(losses)), 4) as number, count: 5 });
  });

  it.each([
    ['another shape', [f32Tensor('fc.weight', WEIGHT, [FEATURES, CLASSES])], {}, 'fc.weight under `transpose`'],
    [
      'another dtype',
      [{ ...f32Tensor('fc.weight', WEIGHT, [CLASSES, FEATURES]), dtype: 'BF16', bytes: new Uint8Array(24) } as TestTensor],
      {},
      'got BF16',
    ],
    ['no name in common', [f32Tensor('other', [1])], {}, 'no initializer of the graph has the name'],
    ['a mapped tensor that is missing', undefined, { weights: { 'fc.bias': 'nowhere' } }, 'no tensor nowhere'],
    ['a mapping of nothing', undefined, { weights: { nothing: 'fc.bias' } }, 'no initializer nothing'],
    ['a transposed vector', undefined, { transpose: ['fc.bias'] }, 'is no matrix'],
    ['a column that is missing', undefined, { inputs: { x: 'pixels' } }, 'no column pixels'],
    ['an input that is missing', undefined, { inputs: { y: 'x' } }, 'no input y'],
    ['a column of another shape', undefined, { inputs: { x: 'label' } }, 'does not fit input x'],
    ['labels that are no classes', undefined, { label: 'target' }, 'a label is no class'],
    ['an output that is missing', undefined, { output: 'logits' }, 'no output logits'],
    ['another kind of data file', undefined, { data: 'data.csv' }, '.parquet, .npz or .safetensors'],
  ] as const)('refuses %s', async (_name, tensors, options, part) => {
    const error = await expectError('DATA_INVALID', () => evaluate(options, 'accuracy', candidate(tensors)));
    expect(error.message).toContain(part);
  });

  it('refuses files that are no graphs, and metrics it does not know', async () => {
    for (const bytes of [Buffer.from('hello'), Buffer.alloc(0), readFileSync(GRAPH).subarray(0, 60)]) {
      await expectError('DATA_INVALID', () => open({ graph: write('onnx', bytes) }));
    }
    await expectError('CONFIG_INVALID', () => evaluate({}, 'bleu'));
  });

  it('says that weights became NaN', async () => {
    const folder = candidate([
      f32Tensor(
        'fc.weight',
        WEIGHT.map(() => Number.NaN),
        [CLASSES, FEATURES],
      ),
      f32Tensor('fc.bias', BIAS),
    ]);
    await expectError('EVALUATION_FAILED', () => evaluate({}, 'accuracy', folder));
  });

  it('says how to install what it needs', async () => {
    const absent = (): never => {
      throw Object.assign(new Error("Cannot find module 'onnxruntime-node'"), { code: 'MODULE_NOT_FOUND' });
    };
    expect((await expectError('EVALUATOR_UNAVAILABLE', () => loadOnnxRuntime(absent))).message).toContain('npm install onnxruntime-node');
  });
});

describe('a graph', () => {
  it('that is written without a change is what was read', () => {
    for (const path of [GRAPH, new URL('../../../test/golden/evaluators/model.onnx', import.meta.url)]) {
      const parsed = parseOnnx(new Uint8Array(readFileSync(path)), 'test');
      const again = parseOnnx(writeOnnx(parsed, new Map()), 'test');
      expect(again).toEqual(parsed);
    }
  });
});

describe('halves', () => {
  it('are rounded to the nearest, ties to even', () => {
    for (let bits = 0; bits < 0x10000; bits += 1) {
      const value = halfToNumber(bits);
      if (!Number.isNaN(value)) expect(numberToHalf(value)).toBe(bits);
    }
    expect(Number.isNaN(halfToNumber(numberToHalf(Number.NaN)))).toBe(true);
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -65519, max: 65519 }), (value) => {
        const bits = numberToHalf(value);
        const distance = Math.abs(halfToNumber(bits) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          const other = halfToNumber(neighbour & 0xffff);
          if (!Number.isFinite(other) || (neighbour & 0x8000) !== (bits & 0x8000)) continue;
          expect(Math.abs(other - value) > distance || (Math.abs(other - value) === distance && bits % 2 === 0)).toBe(true);
        }
      }),
    );
    expect(numberToHalf(65520)).toBe(0x7c00);
  });
});
