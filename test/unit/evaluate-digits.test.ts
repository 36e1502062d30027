import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { openBackend } from '../../client/train/backend.js';
import { loadDigits, prepareImages, splitDigits } from '../../client/train/digits.js';
import { type DigitModel, newModel, writeModel } from '../../client/train/model-folder.js';
import { initialNetwork, type Network } from '../../client/train/network.js';
import { gaussian, randomStream } from '../../client/train/random.js';
import { evaluate } from '../../client/train/tasks.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { expectError } from '../support/expect-error.js';
import { encodeOnnx, floatBytes, type OnnxTensor } from '../support/onnx-models.js';
import { tempDir } from '../support/temp-dir.js';
import { f32Tensor, safetensorsBytes } from '../support/write-checkpoint.js';

const FOLDER = tempDir();
const SIZES = [784, 12, 10];

function modelOf(network: Network): DigitModel {
  const stage = {
    stage: 'base',
    domains: ['upright'],
    samples: 1,
    epochs: 1,
    steps: 1,
    learning_rate: 0.1,
    seed: 3,
    backend: 'wasm',
  } as const;
  return newModel(network, 3, { ...stage, domains: [...stage.domains] });
}

let folders = 0;
async function write(network: Network): Promise<string> {
  folders += 1;
  const folder = join(FOLDER, `model-${folders}`);
  await writeModel(folder, modelOf(network));
  return folder;
}

const open = (digits: object, backend = 'wasm') => openEvaluator('t', evaluatorConfig({ tfjs: { digits, backend }, retries: 0 }));

/** Directions in weight space: what one unit of each coefficient adds. */
const DIRECTIONS = [1, 2, 3].map((seed) => {
  const random = randomStream(seed, 'direction');
  return initialNetwork(SIZES, 8).layers.map(({ weight, bias }) => ({
    weight: weight.map(() => 0.02 * gaussian(random)),
    bias: bias.map(() => 0.02 * gaussian(random)),
  }));
});

function at(base: Network, coefficients: readonly number[]): Network {
  const layers = base.layers.map(({ weight, bias }, layer) => {
    const add = (values: Float32Array, kind: 'weight' | 'bias'): Float32Array =>
      values.map((value, index) => coefficients.reduce((sum, c, k) => sum + c * (DIRECTIONS[k]?.[layer]?.[kind][index] as number), value));
    return { weight: add(weight, 'weight'), bias: add(bias, 'bias') };
  });
  return { layerSizes: base.layerSizes, layers };
}

const gradientSource = (unknown?: string) => ({
  dimensions: DIRECTIONS.length,
  derivative: async (dimension: number, tensor: string): Promise<Float32Array | undefined> => {
    const [, layer, kind] = /^fc(\d+)\.(weight|bias)$/.exec(tensor) ?? [];
    return tensor === unknown ? undefined : DIRECTIONS[dimension]?.[Number(layer) - 1]?.[kind as 'weight' | 'bias'];
  },
});

describe('the digits evaluator', () => {
  it('measures what `train evaluate` measures, on any split and domain', async () => {
    const network = initialNetwork(SIZES, 4);
    const folder = await write(network);
    const context = { backend: await openBackend('wasm'), digits: await loadDigits() };
    for (const split of ['validation', 'test'] as const) {
      const { scores } = await evaluate(context, modelOf(network), ['upright', 'inverted'], split);
      for (const { domain, accuracy, images } of scores) {
        const evaluator = await open({ domain, split });
        const outcome = await evaluator.evaluate(evaluationJob(FOLDER, { folder }));
        expect(outcome.value).toBeCloseTo(accuracy, 12);
        expect(outcome.count).toBe(images);
        expect(outcome.standardError).toBeCloseTo(Math.sqrt((accuracy * (1 - accuracy)) / (images - 1)), 12);
        expect(Object.keys(outcome.metrics)).toEqual(['accuracy', 'loss', 'entropy']);
      }
    }
  });

  it('agrees with an onnx graph of the same network on the same images', async () => {
    const folder = await write(initialNetwork(SIZES, 9));
    const digits = await loadDigits();
    const images = prepareImages(digits, splitDigits(digits.count, 3).validation, () => 'ruled');
    const labels = { name: 'label', dtype: 'U8', shape: [images.count], bytes: images.labels } as const;
    writeFileSync(join(FOLDER, 'ruled.safetensors'), safetensorsBytes([f32Tensor('x', [...images.inputs], [images.count, 784]), labels]));
    const zeros = (...shape: number[]): OnnxTensor['values'] =>
      floatBytes(new Float32Array(shape.reduce((product, size) => product * size, 1)));
    const graph = encodeOnnx({
      nodes: [
        { op: 'Gemm', inputs: ['x', 'fc1.weight', 'fc1.bias'], outputs: ['sums'], integers: { transB: 1 } },
        { op: 'Relu', inputs: ['sums'], outputs: ['hidden'] },
        { op: 'Gemm', inputs: ['hidden', 'fc2.weight', 'fc2.bias'], outputs: ['scores'], integers: { transB: 1 } },
      ],
      initializers: [
        { name: 'fc1.weight', shape: [12, 784], dataType: 1, values: zeros(12, 784) },
        { name: 'fc1.bias', shape: [12], dataType: 1, values: zeros(12) },
        { name: 'fc2.weight', shape: [10, 12], dataType: 1, values: zeros(10, 12) },
        { name: 'fc2.bias', shape: [10], dataType: 1, values: zeros(10) },
      ],
      inputs: [{ name: 'x', dataType: 1, shape: ['n', 784] }],
      outputs: [{ name: 'scores', dataType: 1, shape: ['n', 10] }],
    });
    writeFileSync(join(FOLDER, 'mlp.onnx'), graph);
    const onnx = await openEvaluator('t', evaluatorConfig({ onnx: { graph: 'mlp.onnx', data: 'ruled.safetensors', label: 'label' } }), {
      folder: FOLDER,
    });
    const tfjs = await open({ domain: 'ruled' });
    for (const metric of ['accuracy', 'loss', 'entropy']) {
      const [one, other] = [
        await onnx.evaluate(evaluationJob(FOLDER, { folder, metric })),
        await tfjs.evaluate(evaluationJob(FOLDER, { folder, metric })),
      ];
      expect(one.value).toBeCloseTo(other.value, 5);
      expect(one.count).toBe(other.count);
      expect(one.standardError).toBeCloseTo(other.standardError ?? Number.NaN, 5);
    }
  });

  it('takes the first images of a split when told how many', async () => {
    const folder = await write(initialNetwork(SIZES, 4));
    const evaluator = await open({ domain: 'ruled', images: 401 });
    expect((await evaluator.evaluate(evaluationJob(FOLDER, { folder, metric: 'loss' }))).count).toBe(401);
  });

  it.each(['loss', 'entropy'])('has the gradient of the %s that central differences have', async (metric) => {
    const base = initialNetwork(SIZES, 6);
    const start = [0.3, -0.2, 0.5];
    const evaluator = await open({ domain: 'rotated', images: 500 });
    const valueAt = async (coefficients: readonly number[]): Promise<number> => {
      const folder = await write(at(base, coefficients));
      return (await evaluator.evaluate(evaluationJob(FOLDER, { folder, metric }))).value;
    };
    const folder = await write(at(base, start));
    const { gradient, value } = await evaluator.evaluate(evaluationJob(FOLDER, { folder, metric, gradient: gradientSource() }));
    expect(value).toBe(await valueAt(start));
    expect(gradient).toHaveLength(3);
    const step = 0.01;
    const differences: number[] = [];
    for (const k of start.keys()) {
      const moved = (by: number): number[] => start.map((c, index) => (index === k ? c + by : c));
      differences.push(((await valueAt(moved(step))) - (await valueAt(moved(-step)))) / (2 * step));
    }
    const length = Math.hypot(...differences);
    expect(length).toBeGreaterThan(0.01);
    expect(Math.hypot(...differences.map((difference, k) => difference - (gradient?.[k] ?? Number.NaN))) / length).toBeLessThan(0.01);
  });

  it('says nothing of a gradient that it cannot know', async () => {
    const folder = await write(initialNetwork(SIZES, 4));
    const evaluator = await open({ domain: 'upright', images: 50 });
    const ask = async (metric: string, unknown?: string) =>
      (await evaluator.evaluate(evaluationJob(FOLDER, { folder, metric, gradient: gradientSource(unknown) }))).gradient;
    expect(await ask('accuracy')).toBeUndefined();
    expect(await ask('loss', 'fc2.bias')).toBeUndefined();
    expect(await ask('loss')).toHaveLength(3);
  });

  it('leaves no tensor behind', async () => {
    const folder = await write(initialNetwork(SIZES, 4));
    const evaluator = await open({ domain: 'upright', images: 450 });
    const { tf } = await openBackend('wasm');
    const job = evaluationJob(FOLDER, { folder, metric: 'entropy', gradient: gradientSource() });
    await evaluator.evaluate(job);
    const { numTensors, numBytes } = tf.memory();
    for (let round = 0; round < 3; round += 1) await evaluator.evaluate(job);
    expect(tf.memory()).toMatchObject({ numTensors, numBytes });
  });

  it('refuses metrics it does not have, and stops when it is told', async () => {
    const folder = await write(initialNetwork(SIZES, 4));
    const evaluator = await open({ domain: 'upright' });
    await expectError('CONFIG_INVALID', () => evaluator.evaluate(evaluationJob(FOLDER, { folder, metric: 'f1' })));
    await expectError('INTERRUPTED', () => evaluator.evaluate(evaluationJob(FOLDER, { folder, signal: AbortSignal.abort() })));
  });
});
