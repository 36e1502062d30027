/**
 * The demo's network on held-out images of one domain. Backend and images are opened once; between two evaluations no tensor stays behind. For the
 * loss and the entropy it also answers the gradient by coefficient in closed form: d value / d c_k = sum over tensors <d value / d theta, d theta / d c_k>.
 */
import { setImmediate } from 'node:timers/promises';
import { TributaryError } from '../../../shared/errors/tributary-error.js';
import { type Backend, openBackend } from '../../train/backend.js';
import { CLASS_COUNT, type Digits, type LabelledImages, loadDigits } from '../../train/digits.js';
import { IMAGE_PIXELS } from '../../train/domains.js';
import { readModel } from '../../train/model-folder.js';
import {
  disposeVariables,
  forward,
  gradientsThroughScores,
  type LayerVariables,
  type Network,
  toVariables,
  transpose,
} from '../../train/network.js';
import { heldOutImages } from '../../train/tasks.js';
import type { Measured } from '../confusion.js';
import type { EvaluationJob, EvaluationOutcome, Evaluator, GradientSource } from '../evaluator.js';
import { createMeasure, logSumExp } from '../measures.js';
import { throwIfStopped } from '../retrying.js';
import type { DigitsConfig } from './config.js';

const METRICS = ['accuracy', 'loss', 'entropy'] as const;
type Metric = (typeof METRICS)[number];
/** Images classified at once: bounds the memory of an evaluation. The number is that of `train evaluate`, so that scores are the same bits. */
const BATCH_IMAGES = 400;

/** 31 MB, the same for every task of an agent; images prepared from them are kept with them. */
let sharedDigits: Promise<Digits> | undefined;

/** @throws CONFIG_INVALID when the backend cannot be used here */
export async function openDigitsEvaluator(task: string, config: DigitsConfig): Promise<Evaluator> {
  sharedDigits ??= loadDigits();
  const [backend, digits] = await Promise.all([openBackend(config.backend), sharedDigits]);
  return {
    name: `tfjs of task ${task} on ${backend.backend}`,
    evaluate: (job) => evaluateDigits(backend, digits, config, job),
    close: async () => undefined,
  };
}

async function evaluateDigits(backend: Backend, digits: Digits, config: DigitsConfig, job: EvaluationJob): Promise<EvaluationOutcome> {
  const metric = METRICS.find((name) => name === job.metric);
  if (metric === undefined) {
    throw new TributaryError('CONFIG_INVALID', {
      what: `the metric ${job.metric} is none of the digits network`,
      expected: METRICS.join(', '),
      fix: 'Say which of them with `metric` beside `tfjs`.',
    });
  }
  const { network, splitSeed } = await readModel(job.folder);
  const images = firstImages(heldOutImages(digits, splitSeed, config.digits.split, config.digits.domain), config.digits.images);
  const measures = METRICS.map((name) => ({ name, measure: createMeasure(name, { where: job.folder }) }));
  const slopes = job.gradient !== undefined && metric !== 'accuracy' ? new Slopes(network) : undefined;
  const variables = toVariables(backend.tf, network);
  try {
    for (let at = 0; at < images.count; at += BATCH_IMAGES) {
      // A step on the WASM backend never returns to the event loop by itself.
      await setImmediate();
      throwIfStopped(job.signal);
      const batch = sliceImages(images, at, Math.min(at + BATCH_IMAGES, images.count));
      const scores = scoreBatch(backend, variables, batch, metric, images.count, slopes);
      const labels = Float64Array.from(batch.labels);
      for (const { measure } of measures) measure.add({ rows: batch.count, scores, shape: [batch.count, CLASS_COUNT], labels });
    }
  } finally {
    disposeVariables(variables);
  }
  const results = new Map<Metric, Measured>(measures.map(({ name, measure }) => [name, measure.result()]));
  const { value, count, standardError } = results.get(metric) as Measured;
  const metrics = Object.fromEntries([...results].map(([name, result]) => [name, result.value]));
  const gradient = job.gradient === undefined ? undefined : await slopes?.byCoefficient(job.gradient);
  return { value, count, standardError, metrics, gradient };
}

function firstImages(images: LabelledImages, most: number | undefined): LabelledImages {
  return most === undefined || most >= images.count ? images : sliceImages(images, 0, most);
}

function sliceImages({ inputs, labels }: LabelledImages, start: number, end: number): LabelledImages {
  return { count: end - start, inputs: inputs.subarray(start * IMAGE_PIXELS, end * IMAGE_PIXELS), labels: labels.subarray(start, end) };
}

/** The scores of a batch; with `slopes` also its share of the gradient. */
function scoreBatch(
  { tf }: Backend,
  variables: readonly LayerVariables[],
  batch: LabelledImages,
  metric: Metric,
  total: number,
  slopes: Slopes | undefined,
): Float32Array {
  return tf.tidy(() => {
    const inputs = tf.tensor2d(batch.inputs, [batch.count, IMAGE_PIXELS]);
    if (slopes === undefined) return forward(tf, variables, inputs).dataSync<'float32'>();
    const { scores, gradients } = gradientsThroughScores(tf, variables, inputs, (given) =>
      slopeByScores(given, batch.labels, metric, total),
    );
    slopes.add(variables, new Map(gradients.map(({ name, tensor }) => [name, tensor.dataSync<'float32'>()])));
    return scores;
  });
}

/**
 * d mean / d score over `total` images. Of the loss: p_j - [j is the class]. Of the entropy H = -sum p log p: -p_j (log p_j + H).
 * @param scores [images, classes]
 */
function slopeByScores(scores: Float32Array, labels: Uint8Array, metric: Metric, total: number): Float32Array {
  const slopes = new Float32Array(scores.length);
  for (const [image, label] of labels.entries()) {
    const start = image * CLASS_COUNT;
    const logTotal = logSumExp(scores.subarray(start, start + CLASS_COUNT));
    const logs = Array.from(scores.subarray(start, start + CLASS_COUNT), (score) => score - logTotal);
    const entropy = logs.reduce((sum, log) => sum - Math.exp(log) * log, 0);
    for (const [index, log] of logs.entries()) {
      const slope = metric === 'loss' ? Math.exp(log) - (index === label ? 1 : 0) : -Math.exp(log) * (log + entropy);
      slopes[start + index] = slope / total;
    }
  }
  return slopes;
}

/** The gradient by every weight, summed over batches in fp64. */
class Slopes {
  readonly #layers: readonly { readonly weight: Float64Array; readonly bias: Float64Array }[];

  constructor({ layers }: Network) {
    this.#layers = layers.map(({ weight, bias }) => ({ weight: new Float64Array(weight.length), bias: new Float64Array(bias.length) }));
  }

  /** @param gradients by the name of the variable, in its layout */
  add(variables: readonly LayerVariables[], gradients: ReadonlyMap<string, Float32Array>): void {
    for (const [index, { weight, bias }] of this.#layers.entries()) {
      const layer = variables[index] as LayerVariables;
      const [inputs, outputs] = layer.weight.shape;
      addTo(weight, transpose(gradients.get(layer.weight.name) as Float32Array, inputs, outputs));
      addTo(bias, gradients.get(layer.bias.name) as Float32Array);
    }
  }

  /** One number a coefficient; undefined when the derivative of a tensor is not known. */
  async byCoefficient({ dimensions, derivative }: GradientSource): Promise<number[] | undefined> {
    const gradient: number[] = [];
    for (let dimension = 0; dimension < dimensions; dimension += 1) {
      let sum = 0;
      for (const [index, { weight, bias }] of this.#layers.entries()) {
        for (const [name, slope] of [
          [`fc${index + 1}.weight`, weight],
          [`fc${index + 1}.bias`, bias],
        ] as const) {
          const direction = await derivative(dimension, name);
          if (direction === undefined) return undefined;
          sum += dot(slope, direction, name);
        }
      }
      gradient.push(sum);
    }
    return gradient;
  }
}

function addTo(into: Float64Array, values: Float32Array): void {
  for (const [index, value] of values.entries()) into[index] = (into[index] as number) + value;
}

function dot(slope: Float64Array, direction: Float32Array, tensor: string): number {
  if (slope.length !== direction.length) {
    throw new TributaryError('INTERNAL', {
      what: `the derivative of tensor ${tensor} has another size than the tensor`,
      expected: `${slope.length}`,
      got: `${direction.length}`,
    });
  }
  let sum = 0;
  for (const [index, value] of slope.entries()) sum += value * (direction[index] as number);
  return sum;
}
