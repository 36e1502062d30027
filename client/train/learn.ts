/**
 * One training run: stochastic gradient descent with momentum and a learning rate that falls linearly to zero. The order of the images
 * comes from the seed, so the same run on the same backend ends in the same bits. Between steps the event loop turns, for signals.
 */
import { setImmediate } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Backend } from './backend.js';
import { CLASS_COUNT, type LabelledImages } from './digits.js';
import { IMAGE_PIXELS } from './domains.js';
import { disposeVariables, forward, fromVariables, gradientsOfLoss, type LayerVariables, type Network, toVariables } from './network.js';
import { permutation, randomStream } from './random.js';

const BATCH_IMAGES = 64;
const MOMENTUM = 0.9;
const STEPS_PER_TURN = 8;
/** Images classified at once: bounds the memory of an evaluation. */
const CLASSIFY_IMAGES = 400;

export interface LearnOptions {
  readonly epochs: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  readonly onEpoch?: ((epoch: number, meanLoss: number) => void) | undefined;
}

export interface LearnResult {
  readonly network: Network;
  /** Optimiser steps done. */
  readonly steps: number;
  /** Mean cross-entropy of each epoch, measured while it trained. */
  readonly epochLosses: readonly number[];
}

/** @throws NON_FINITE when training diverges, INTERRUPTED when the signal fires */
export async function learn(backend: Backend, start: Network, images: LabelledImages, options: LearnOptions): Promise<LearnResult> {
  const { tf } = backend;
  const random = randomStream(options.seed, 'order');
  const stepsPerEpoch = Math.ceil(images.count / BATCH_IMAGES);
  const totalSteps = stepsPerEpoch * options.epochs;
  const variables = toVariables(tf, start);
  const optimizer = tf.train.momentum(options.learningRate, MOMENTUM);
  const epochLosses: number[] = [];
  let steps = 0;
  try {
    for (let epoch = 1; epoch <= options.epochs; epoch += 1) {
      const order = permutation(images.count, random);
      let lossSum = 0;
      for (let at = 0; at < images.count; at += BATCH_IMAGES) {
        if (steps % STEPS_PER_TURN === 0) await turn(options.signal);
        optimizer.setLearningRate(options.learningRate * (1 - steps / totalSteps));
        lossSum += trainStep(backend, variables, optimizer, images, order.subarray(at, at + BATCH_IMAGES));
        steps += 1;
      }
      const meanLoss = lossSum / images.count;
      if (!Number.isFinite(meanLoss)) {
        throw new TributaryError('NON_FINITE', {
          what: `training diverged in epoch ${epoch}`,
          got: `a loss of ${meanLoss}`,
          fix: 'Use a smaller learning rate.',
        });
      }
      epochLosses.push(meanLoss);
      options.onEpoch?.(epoch, meanLoss);
    }
    return { network: fromVariables(start.layerSizes, variables), steps, epochLosses };
  } finally {
    disposeVariables(variables);
    optimizer.dispose();
  }
}

type Momentum = ReturnType<Backend['tf']['train']['momentum']>;

/** One step on the images at `positions`; answers the sum of their losses before it. */
function trainStep(
  { tf }: Backend,
  variables: readonly LayerVariables[],
  optimizer: Momentum,
  images: LabelledImages,
  positions: Uint32Array,
): number {
  const count = positions.length;
  const inputs = new Float32Array(count * IMAGE_PIXELS);
  const targets = new Float32Array(count * CLASS_COUNT);
  for (const [row, position] of positions.entries()) {
    inputs.set(images.inputs.subarray(position * IMAGE_PIXELS, (position + 1) * IMAGE_PIXELS), row * IMAGE_PIXELS);
    targets[row * CLASS_COUNT + (images.labels[position] as number)] = 1;
  }
  return tf.tidy(() => {
    const { probabilities, gradients } = gradientsOfLoss(
      tf,
      variables,
      tf.tensor2d(inputs, [count, IMAGE_PIXELS]),
      tf.tensor2d(targets, [count, CLASS_COUNT]),
    );
    optimizer.applyGradients(gradients);
    let lossSum = 0;
    for (const [at, probability] of probabilities.dataSync<'float32'>().entries()) {
      if (targets[at] === 1) lossSum -= Math.log(Math.max(probability, 1e-30));
    }
    return lossSum;
  });
}

/** Number of images whose class the network names. */
export async function countCorrect(backend: Backend, network: Network, images: LabelledImages, signal?: AbortSignal): Promise<number> {
  const { tf } = backend;
  const variables = toVariables(tf, network);
  let correct = 0;
  try {
    for (let at = 0; at < images.count; at += CLASSIFY_IMAGES) {
      await turn(signal);
      const end = Math.min(at + CLASSIFY_IMAGES, images.count);
      const inputs = images.inputs.subarray(at * IMAGE_PIXELS, end * IMAGE_PIXELS);
      const classes = tf.tidy(() => tf.argMax(forward(tf, variables, tf.tensor2d(inputs, [end - at, IMAGE_PIXELS])), 1).dataSync());
      for (const [index, label] of images.labels.subarray(at, end).entries()) if (classes[index] === label) correct += 1;
    }
    return correct;
  } finally {
    disposeVariables(variables);
  }
}

/** Lets the event loop deliver signals: a step on the WASM backend never returns to it by itself. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  if (signal?.aborted === true) {
    throw new TributaryError('INTERRUPTED', { what: 'stopped before it was done; nothing was written' });
  }
}
