/**
 * The network: a multi-layer perceptron with ReLU between its layers, and its loss and gradients written out in forward operations.
 * tfjs-core registers no gradients by itself, and those that its other packages register multiply transposed matrices, which the WASM
 * backend does ten times slower than transposing first. A test holds the gradients against finite differences.
 */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Tensorflow } from './backend.js';
import { gaussian, randomStream } from './random.js';

export interface Layer {
  /** [outputs, inputs], row by row, as in PyTorch. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

export interface Network {
  /** Inputs, hidden units..., classes. */
  readonly layerSizes: readonly number[];
  readonly layers: readonly Layer[];
}

/** A layer on the backend: `weight` is [inputs, outputs] there, so that the forward pass multiplies untransposed. */
export interface LayerVariables {
  readonly weight: tfjs.Variable<tfjs.Rank.R2>;
  readonly bias: tfjs.Variable<tfjs.Rank.R1>;
}

/** He initialisation: normal weights of variance 2 / inputs, biases 0. */
export function initialNetwork(layerSizes: readonly number[], seed: number): Network {
  const random = randomStream(seed, 'weights');
  const layers = layerSizes.slice(1).map((outputs, index): Layer => {
    const inputs = layerSizes[index] as number;
    const deviation = Math.sqrt(2 / inputs);
    return {
      weight: Float32Array.from({ length: outputs * inputs }, () => deviation * gaussian(random)),
      bias: new Float32Array(outputs),
    };
  });
  return { layerSizes, layers };
}

export function toVariables(tf: Tensorflow, network: Network): LayerVariables[] {
  return network.layers.map((layer, index) => {
    const inputs = network.layerSizes[index] as number;
    const outputs = layer.bias.length;
    const weight = tf.tensor2d(transpose(layer.weight, outputs, inputs), [inputs, outputs]);
    const bias = tf.tensor1d(layer.bias);
    const variables = { weight: tf.variable(weight), bias: tf.variable(bias) };
    weight.dispose();
    bias.dispose();
    return variables;
  });
}

export function fromVariables(layerSizes: readonly number[], variables: readonly LayerVariables[]): Network {
  const layers = variables.map(({ weight, bias }): Layer => {
    const [inputs, outputs] = weight.shape;
    return { weight: transpose(weight.dataSync<'float32'>(), inputs, outputs), bias: Float32Array.from(bias.dataSync()) };
  });
  return { layerSizes, layers };
}

export function disposeVariables(variables: readonly LayerVariables[]): void {
  for (const { weight, bias } of variables) {
    weight.dispose();
    bias.dispose();
  }
}

/** `from` has `rows` x `columns` values; the result is `columns` x `rows`. */
export function transpose(from: Float32Array, rows: number, columns: number): Float32Array {
  const to = new Float32Array(from.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) to[column * rows + row] = from[row * columns + column] as number;
  }
  return to;
}

/** Unnormalised scores [images, classes] of `inputs` [images, pixels]. Call it inside of `tf.tidy`. */
export function forward(tf: Tensorflow, variables: readonly LayerVariables[], inputs: tfjs.Tensor2D): tfjs.Tensor2D {
  return forwardKeeping(tf, variables, inputs).scores;
}

interface ForwardPass {
  /** What each layer was given. */
  readonly activations: tfjs.Tensor2D[];
  /** What each layer but the last gave, before ReLU. */
  readonly sums: tfjs.Tensor2D[];
  readonly scores: tfjs.Tensor2D;
}

function forwardKeeping(tf: Tensorflow, variables: readonly LayerVariables[], inputs: tfjs.Tensor2D): ForwardPass {
  const activations: tfjs.Tensor2D[] = [];
  const sums: tfjs.Tensor2D[] = [];
  let current = inputs;
  for (const [index, { weight, bias }] of variables.entries()) {
    activations.push(current);
    current = tf.add(tf.matMul(current, weight), bias);
    if (index < variables.length - 1) {
      sums.push(current);
      current = tf.relu(current);
    }
  }
  return { activations, sums, scores: current };
}

export interface LossAndGradients {
  /** Class probabilities [images, classes]; the loss is the mean of -log of the right class's. */
  readonly probabilities: tfjs.Tensor2D;
  /** One a variable, named like it, as optimisers want them. */
  readonly gradients: { name: string; tensor: tfjs.Tensor }[];
}

/** Of the mean cross-entropy over the batch; `targets` is one-hot [images, classes]. Call it inside of `tf.tidy`. */
export function gradientsOfLoss(
  tf: Tensorflow,
  variables: readonly LayerVariables[],
  inputs: tfjs.Tensor2D,
  targets: tfjs.Tensor2D,
): LossAndGradients {
  const pass = forwardKeeping(tf, variables, inputs);
  const probabilities = tf.softmax(pass.scores);
  const upstream: tfjs.Tensor2D = tf.div(tf.sub(probabilities, targets), inputs.shape[0]);
  return { probabilities, gradients: backward(tf, variables, pass, upstream) };
}

export interface ScoresAndGradients {
  /** [images, classes]. */
  readonly scores: Float32Array;
  readonly gradients: { name: string; tensor: tfjs.Tensor }[];
}

/** Of any function of the scores: `slope` answers its derivative by each of them, [images, classes]. Call it inside of `tf.tidy`. */
export function gradientsThroughScores(
  tf: Tensorflow,
  variables: readonly LayerVariables[],
  inputs: tfjs.Tensor2D,
  slope: (scores: Float32Array) => Float32Array,
): ScoresAndGradients {
  const pass = forwardKeeping(tf, variables, inputs);
  const scores = pass.scores.dataSync<'float32'>();
  return { scores, gradients: backward(tf, variables, pass, tf.tensor2d(slope(scores), pass.scores.shape)) };
}

/** From the derivative by the scores to those by the variables, the last layer's first. */
function backward(
  tf: Tensorflow,
  variables: readonly LayerVariables[],
  { activations, sums }: ForwardPass,
  byScores: tfjs.Tensor2D,
): { name: string; tensor: tfjs.Tensor }[] {
  let upstream = byScores;
  const gradients: { name: string; tensor: tfjs.Tensor }[] = [];
  for (let index = variables.length - 1; index >= 0; index -= 1) {
    const { weight, bias } = variables[index] as LayerVariables;
    const given = activations[index] as tfjs.Tensor2D;
    gradients.push({ name: weight.name, tensor: tf.matMul(tf.transpose(given), upstream) });
    gradients.push({ name: bias.name, tensor: tf.sum(upstream, 0) });
    if (index > 0) {
      const back = tf.matMul(upstream, tf.transpose(weight) as tfjs.Tensor2D);
      upstream = tf.mul(back, tf.step(sums[index - 1] as tfjs.Tensor2D));
    }
  }
  return gradients;
}
