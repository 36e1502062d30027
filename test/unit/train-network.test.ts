import { describe, expect, it } from 'vitest';
import { BACKEND_NAMES, type Backend, describeBackend, openBackend } from '../../client/train/backend.js';
import { loadDigits, prepareImages, splitDigits } from '../../client/train/digits.js';
import { IMAGE_PIXELS } from '../../client/train/domains.js';
import { addTaskVectors } from '../../client/train/experiment.js';
import { countCorrect, learn } from '../../client/train/learn.js';
import {
  disposeVariables,
  forward,
  fromVariables,
  gradientsOfLoss,
  initialNetwork,
  type Network,
  toVariables,
} from '../../client/train/network.js';
import { gaussian, randomStream } from '../../client/train/random.js';

const DIGITS = await loadDigits();
const IMAGES = prepareImages(DIGITS, splitDigits(DIGITS.count, 1).base, () => 'upright');

describe('the backend', () => {
  it('is the best that loads, and says why the better ones are not', async () => {
    const { backend, version, reason } = await describeBackend();
    expect(BACKEND_NAMES).toContain(backend);
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    for (const better of BACKEND_NAMES.slice(0, BACKEND_NAMES.indexOf(backend))) {
      expect(reason).toContain(better === 'tensorflow-gpu' ? '@tensorflow/tfjs-node-gpu: ' : better);
    }
    expect(reason).toContain('has every kernel needed');
  });

  it.each(['wasm', 'cpu'] as const)('%s can always be asked for', async (name) => {
    expect((await openBackend(name)).backend).toBe(name);
  });
});

describe('the network', () => {
  it.each(['wasm', 'cpu'] as const)('has the gradients that finite differences have on %s', async (name) => {
    const { tf } = await openBackend(name);
    const random = randomStream(9, 'gradient');
    const inputs = Float32Array.from({ length: 5 * 6 }, () => gaussian(random));
    const classes = [0, 2, 1, 2, 0];
    const network = initialNetwork([6, 7, 4, 3], 2);
    const loss = (layerIndex: number, kind: 'weight' | 'bias', at: number, change: number): number => {
      const layers = network.layers.map(({ weight, bias }) => ({ weight: weight.slice(), bias: bias.slice() }));
      const values = layers[layerIndex]?.[kind] as Float32Array;
      values[at] = (values[at] as number) + change;
      const variables = toVariables(tf, { ...network, layers });
      const scores = tf.tidy(() => forward(tf, variables, tf.tensor2d(inputs, [5, 6])).arraySync());
      disposeVariables(variables);
      const losses = scores.map(
        (row, image) => Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - (row[classes[image] as number] as number),
      );
      return losses.reduce((sum, value) => sum + value, 0) / losses.length;
    };
    const variables = toVariables(tf, network);
    const targets = classes.flatMap((right) => [0, 1, 2].map((label) => (label === right ? 1 : 0)));
    const byName = new Map(
      gradientsOfLoss(tf, variables, tf.tensor2d(inputs, [5, 6]), tf.tensor2d(targets, [5, 3])).gradients.map(({ name: of, tensor }) => [
        of,
        tensor.dataSync<'float32'>(),
      ]),
    );
    for (const [index, { weight, bias }] of variables.entries()) {
      const [fanIn, fanOut] = weight.shape;
      const step = 1e-2;
      for (let at = 0; at < fanIn * fanOut; at += 3) {
        const [row, column] = [Math.floor(at / fanIn), at % fanIn];
        const slope = (loss(index, 'weight', at, step) - loss(index, 'weight', at, -step)) / (2 * step);
        expect(byName.get(weight.name)?.[column * fanOut + row]).toBeCloseTo(slope, 2);
      }
      for (let at = 0; at < fanOut; at += 1) {
        const slope = (loss(index, 'bias', at, step) - loss(index, 'bias', at, -step)) / (2 * step);
        expect(byName.get(bias.name)?.[at]).toBeCloseTo(slope, 2);
      }
    }
    disposeVariables(variables);
  });

  it('goes to the backend and back without losing a bit', async () => {
    const { tf } = await openBackend();
    const network = initialNetwork([5, 4, 3], 8);
    const variables = toVariables(tf, network);
    expect(fromVariables(network.layerSizes, variables)).toEqual(network);
    disposeVariables(variables);
  });
});

describe('learning', () => {
  const start = initialNetwork([IMAGE_PIXELS, 24, 10], 3);
  const options = { epochs: 3, learningRate: 0.03, seed: 4 };
  const run = (backend: Backend) => learn(backend, start, IMAGES, options);

  it('lowers the loss, counts its steps and keeps no tensor', async () => {
    const backend = await openBackend();
    const before = backend.tf.memory().numTensors;
    const { network, steps, epochLosses } = await run(backend);
    expect(steps).toBe(3 * Math.ceil(IMAGES.count / 64));
    expect(epochLosses).toHaveLength(3);
    expect(epochLosses[2]).toBeLessThan(0.7 * (epochLosses[0] as number));
    expect(await countCorrect(backend, network, IMAGES)).toBeGreaterThan(2 * (await countCorrect(backend, start, IMAGES)));
    // The momentum optimiser of tfjs-core never frees the scalar that holds its learning rate.
    expect(backend.tf.memory().numTensors).toBeLessThanOrEqual(before + 1);
  });

  it('ends in the same bits when it is run again, in others with another seed', async () => {
    const backend = await openBackend();
    const first = await run(backend);
    expect((await run(backend)).network).toEqual(first.network);
    expect((await learn(backend, start, IMAGES, { ...options, seed: 5 })).network).not.toEqual(first.network);
  });

  it('agrees between backends up to rounding', async () => {
    const wasm = await run(await openBackend('wasm'));
    for (const other of [await openBackend('cpu'), await openBackend()]) {
      const { epochLosses } = await run(other);
      for (const [epoch, loss] of wasm.epochLosses.entries()) expect(epochLosses[epoch]).toBeCloseTo(loss, 3);
    }
  });

  it('says that it diverged', async () => {
    const backend = await openBackend();
    await expect(learn(backend, start, IMAGES, { ...options, learningRate: 1e30 })).rejects.toMatchObject({ code: 'NON_FINITE' });
  });

  it('stops when the signal fires', async () => {
    const backend = await openBackend();
    const stop = new AbortController();
    const stopped = learn(backend, start, IMAGES, { ...options, epochs: 1000, signal: stop.signal, onEpoch: () => stop.abort() });
    await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });
});

describe('adding task vectors', () => {
  it('gives the base for coefficients 0, a contribution for 1 and 0, the mean for halves', () => {
    const [base, one, two] = [1, 2, 3].map((seed) => initialNetwork([3, 2], seed));
    if (base === undefined || one === undefined || two === undefined) throw new Error('unreachable');
    expect(addTaskVectors(base, [one, two], [0, 0])).toEqual(base);
    const weight = (network: Network, at: number): number => network.layers[0]?.weight[at] as number;
    const first = addTaskVectors(base, [one, two], [1, 0]);
    const mean = addTaskVectors(base, [one, two], [0.5, 0.5]);
    for (let at = 0; at < 6; at += 1) {
      expect(weight(first, at)).toBeCloseTo(weight(one, at), 6);
      expect(weight(mean, at)).toBeCloseTo((weight(one, at) + weight(two, at)) / 2, 6);
    }
  });
});
