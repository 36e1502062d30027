import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { loadLayersPackage } from '../../client/evaluate/tfjs/layers-package.js';
import { openBackend } from '../../client/train/backend.js';
import { gaussian, randomStream } from '../../client/train/random.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, safetensorsBytes, type TestTensor, writeCheckpoint } from '../support/write-checkpoint.js';

const FOLDER = tempDir();
const ROWS = 10;
const [FEATURES, HIDDEN, CLASSES] = [4, 5, 3] as const;

const random = randomStream(6, 'layers');
const numbers = (count: number): number[] => Array.from({ length: count }, () => Math.fround(gaussian(random)));
const X = numbers(ROWS * FEATURES);
const LABELS = Array.from({ length: ROWS }, (_, index) => index % CLASSES);
const [W1, B1, W2, B2] = [numbers(FEATURES * HIDDEN), numbers(HIDDEN), numbers(HIDDEN * CLASSES), numbers(CLASSES)];

function isInstalled(): boolean {
  try {
    createRequire(import.meta.url).resolve('@tensorflow/tfjs-layers');
    return true;
  } catch {
    return false;
  }
}

const dense = (name: string, units: number, activation: string, more: object = {}): object => ({
  class_name: 'Dense',
  config: { name, units, activation, use_bias: true, dtype: 'float32', ...more },
});

function modelJson(activation = 'linear'): string {
  const layers = [dense('fc1', HIDDEN, 'relu', { batch_input_shape: [null, FEATURES] }), dense('fc2', CLASSES, activation)];
  const path = join(FOLDER, `${activation}.json`);
  const modelTopology = {
    class_name: 'Sequential',
    config: { name: 'mlp', layers },
    keras_version: 'tfjs-layers 4.22.0',
    backend: 'tensor_flow.js',
  };
  writeFileSync(path, JSON.stringify({ modelTopology, format: 'layers-model', weightsManifest: [{ paths: ['group1.bin'], weights: [] }] }));
  return path;
}

const DATA = join(FOLDER, 'data.safetensors');
writeFileSync(DATA, safetensorsBytes([f32Tensor('pixels', X, [ROWS, FEATURES]), f32Tensor('label', LABELS)]));

const WEIGHTS = [
  f32Tensor('fc1/kernel', W1, [FEATURES, HIDDEN]),
  f32Tensor('fc1/bias', B1),
  f32Tensor('fc2/kernel', W2, [HIDDEN, CLASSES]),
  f32Tensor('fc2/bias', B2),
];

let folders = 0;
function candidate(tensors: readonly TestTensor[] = WEIGHTS): string {
  folders += 1;
  return writeCheckpoint(join(FOLDER, `candidate-${folders}`), tensors);
}

const open = (options: object = {}) =>
  openEvaluator(
    't',
    evaluatorConfig({
      tfjs: { model: modelJson(), data: DATA, inputs: ['pixels'], label: 'label', backend: 'wasm', batch: 4, ...options },
      retries: 0,
    }),
  );

const affine = (x: readonly number[], kernel: readonly number[], bias: readonly number[]): number[] =>
  bias.map((offset, unit) => x.reduce((sum, value, index) => sum + value * (kernel[index * bias.length + unit] as number), offset));
const SCORES = Array.from({ length: ROWS }, (_, row) =>
  affine(
    affine(X.slice(row * FEATURES, (row + 1) * FEATURES), W1, B1).map((sum) => Math.max(0, sum)),
    W2,
    B2,
  ),
);
const LOSS =
  SCORES.reduce(
    (sum, row, index) =>
      sum + Math.log(row.reduce((total, score) => total + Math.exp(score), 0)) - (row[LABELS[index] as number] as number),
    0,
  ) / ROWS;

describe.skipIf(!isInstalled())('a LayersModel', () => {
  it.each(['wasm', 'cpu'])('measures what a slow reference measures, on %s', async (backend) => {
    const evaluator = await open({ backend });
    const outcome = await evaluator.evaluate(evaluationJob(FOLDER, { folder: candidate(), metric: 'loss' }));
    expect(outcome).toMatchObject({ value: expect.closeTo(LOSS, 5) as number, count: ROWS });
    const accuracy = SCORES.filter((row, index) => row.indexOf(Math.max(...row)) === LABELS[index]).length / ROWS;
    expect((await evaluator.evaluate(evaluationJob(FOLDER, { folder: candidate() }))).value).toBeCloseTo(accuracy, 12);
    await evaluator.close();
  });

  it('may end in softmax', async () => {
    const evaluator = await open({ model: modelJson('softmax'), probabilities: true });
    expect((await evaluator.evaluate(evaluationJob(FOLDER, { folder: candidate(), metric: 'loss' }))).value).toBeCloseTo(LOSS, 5);
    await evaluator.close();
  });

  it('takes matrices as PyTorch has them, under its names', async () => {
    const turned = (values: readonly number[], rows: number, columns: number): number[] =>
      Array.from({ length: values.length }, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)] as number);
    const folder = candidate([
      f32Tensor('fc1.weight', turned(W1, FEATURES, HIDDEN), [HIDDEN, FEATURES]),
      f32Tensor('fc1.bias', B1),
      f32Tensor('fc2.weight', turned(W2, HIDDEN, CLASSES), [CLASSES, HIDDEN]),
      f32Tensor('fc2.bias', B2),
      f32Tensor('extra', [1]),
    ]);
    const evaluator = await open({ weights: { '*/kernel': '*.weight', '*/bias': '*.bias' }, transpose: ['fc1/kernel', 'fc2/kernel'] });
    const job = evaluationJob(FOLDER, { folder, metric: 'loss' });
    expect((await evaluator.evaluate(job)).value).toBeCloseTo(LOSS, 5);
    expect(readFileSync(job.logFile, 'utf8')).toContain('1 tensors of the candidate are not in the model: extra');
    await evaluator.close();
  });

  it('leaves no tensor behind', async () => {
    const { tf } = await openBackend('wasm');
    const before = tf.memory().numTensors;
    const evaluator = await open();
    const job = evaluationJob(FOLDER, { folder: candidate(), metric: 'loss' });
    await evaluator.evaluate(job);
    const { numTensors, numBytes } = tf.memory();
    for (let round = 0; round < 3; round += 1) await evaluator.evaluate(job);
    expect(tf.memory()).toMatchObject({ numTensors, numBytes });
    await evaluator.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  it.each([
    ['a missing tensor', WEIGHTS.slice(1), {}, 'no tensor fc1/kernel'],
    ['another shape', [f32Tensor('fc1/kernel', W1, [HIDDEN, FEATURES]), ...WEIGHTS.slice(1)], {}, 'fc1/kernel under `transpose`'],
    ['a transposed weight that is not there', WEIGHTS, { transpose: ['fc9/kernel'] }, 'no weight fc9/kernel'],
    ['a missing column', WEIGHTS, { inputs: ['nothing'] }, 'no column nothing'],
  ] as const)('refuses %s', async (_name, tensors, options, part) => {
    const action = async () => (await open(options)).evaluate(evaluationJob(FOLDER, { folder: candidate(tensors) }));
    expect((await expectError('DATA_INVALID', action)).message).toContain(part);
  });

  it('refuses files that are no models', async () => {
    const path = join(FOLDER, 'broken.json');
    for (const text of ['{', '{"modelTopology": {"class_name": "Nothing"}}']) {
      writeFileSync(path, text);
      await expectError('DATA_INVALID', () => open({ model: path }));
    }
  });
});

describe('the package of LayersModel', () => {
  it('is named when it is missing', async () => {
    const { tf } = await openBackend('cpu');
    const absent = (): never => {
      throw new Error("Cannot find module '@tensorflow/tfjs-layers'");
    };
    expect((await expectError('EVALUATOR_UNAVAILABLE', () => loadLayersPackage(tf, absent))).message).toContain(
      'npm install @tensorflow/tfjs-layers',
    );
  });
});
