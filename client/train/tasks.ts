/**
 * What a team does with a model: train a base, fine-tune it on its own domain, evaluate it on any. All three are seeded, and all three take
 * the split of the data from one seed that travels in the model's config.json, so nobody can train on a test image by mistake.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Backend } from './backend.js';
import { CLASS_COUNT, type Digits, type HeldOutSplit, type LabelledImages, prepareImages, splitDigits } from './digits.js';
import { DOMAINS, type Domain, IMAGE_PIXELS } from './domains.js';
import { countCorrect, type LearnResult, learn } from './learn.js';
import { type DigitModel, newModel, type TrainingStage } from './model-folder.js';
import { initialNetwork } from './network.js';

const HIDDEN_UNITS = 512;

/** Everything a task works with. */
export interface TrainContext {
  readonly backend: Backend;
  readonly digits: Digits;
  readonly signal?: AbortSignal | undefined;
  readonly onEpoch?: ((epoch: number, meanLoss: number) => void) | undefined;
}

export interface BaseOptions {
  /** Of the split, the first weights and the order of the images. */
  readonly seed: number;
  readonly epochs: number;
  readonly learningRate: number;
}

export interface FineTuneOptions {
  readonly domain: Domain;
  /** The first so many images of the domain's own part; all of them when left out. */
  readonly samples?: number | undefined;
  /** Of the order of the images. */
  readonly seed: number;
  readonly epochs: number;
  readonly learningRate: number;
}

/** 400 images are enough for a mediocre model: a fine-tune has something to gain, and the four keep close enough to be merged. */
export const BASE_DEFAULTS = { epochs: 20, learningRate: 0.02 } as const;
/** Small steps: fine-tunes that stay near their base add up; larger rates gain on the own domain and lose in the merge. */
export const FINE_TUNE_DEFAULTS = { epochs: 4, learningRate: 0.03 } as const;

export interface TrainedModel {
  readonly model: DigitModel;
  readonly stage: TrainingStage;
  readonly epochLosses: readonly number[];
}

/** A base model from a few images of every domain, a quarter each. @throws NON_FINITE, INTERRUPTED */
export async function trainBase(context: TrainContext, options: BaseOptions): Promise<TrainedModel> {
  const { digits, backend } = context;
  const positions = splitDigits(digits.count, options.seed).base;
  const images = prepareImages(digits, positions, (index) => DOMAINS[index % DOMAINS.length] as Domain);
  const start = initialNetwork([IMAGE_PIXELS, HIDDEN_UNITS, CLASS_COUNT], options.seed);
  const result = await learn(backend, start, images, { ...options, signal: context.signal, onEpoch: context.onEpoch });
  const stage = stageOf('base', [...DOMAINS], images.count, options, result, backend);
  return { model: newModel(result.network, options.seed, stage), stage, epochLosses: result.epochLosses };
}

/** Trains on with the images of one contributor; the metadata of the base stays. @throws USAGE, NON_FINITE, INTERRUPTED */
export async function fineTune(context: TrainContext, base: DigitModel, options: FineTuneOptions): Promise<TrainedModel> {
  const { digits, backend } = context;
  const own = splitDigits(digits.count, base.splitSeed).contributors[options.domain];
  const samples = options.samples ?? own.length;
  if (!Number.isSafeInteger(samples) || samples < 1 || samples > own.length) {
    throw new TributaryError('USAGE', {
      what: `the contributor of the domain ${options.domain} has not so many images`,
      expected: `1 to ${own.length} samples`,
      got: `${samples}`,
    });
  }
  const images = prepareImages(digits, own.subarray(0, samples), () => options.domain);
  const result = await learn(backend, base.network, images, { ...options, signal: context.signal, onEpoch: context.onEpoch });
  const stage = stageOf('fine-tune', [options.domain], samples, options, result, backend);
  const model = { ...base, network: result.network, training: [...base.training, stage] };
  return { model, stage, epochLosses: result.epochLosses };
}

function stageOf(
  stage: TrainingStage['stage'],
  domains: Domain[],
  samples: number,
  options: BaseOptions | FineTuneOptions,
  result: LearnResult,
  backend: Backend,
): TrainingStage {
  return {
    stage,
    domains,
    samples,
    epochs: options.epochs,
    steps: result.steps,
    learning_rate: options.learningRate,
    seed: options.seed,
    backend: backend.backend,
  };
}

export interface DomainScore {
  readonly domain: Domain;
  readonly correct: number;
  readonly images: number;
  /** 0 to 1. */
  readonly accuracy: number;
}

export interface Evaluation {
  readonly scores: readonly DomainScore[];
  /** Mean of the accuracies over the domains. */
  readonly average: number;
  readonly worst: number;
}

/** Held-out images do not depend on the model; whoever evaluates many prepares them once. */
const prepared = new WeakMap<Digits, Map<string, LabelledImages>>();

export function heldOutImages(digits: Digits, splitSeed: number, split: HeldOutSplit, domain: Domain): LabelledImages {
  const known = prepared.get(digits) ?? new Map<string, LabelledImages>();
  prepared.set(digits, known);
  const key = `${splitSeed} ${split} ${domain}`;
  const images = known.get(key) ?? prepareImages(digits, splitDigits(digits.count, splitSeed)[split], () => domain);
  known.set(key, images);
  return images;
}

/** Accuracy on held-out images, the same ones in every domain. @throws INTERRUPTED */
export async function evaluate(
  context: TrainContext,
  model: Pick<DigitModel, 'network' | 'splitSeed'>,
  domains: readonly Domain[] = DOMAINS,
  split: HeldOutSplit = 'test',
): Promise<Evaluation> {
  const { backend, digits, signal } = context;
  const scores: DomainScore[] = [];
  for (const domain of domains) {
    const images = heldOutImages(digits, model.splitSeed, split, domain);
    const correct = await countCorrect(backend, model.network, images, signal);
    scores.push({ domain, correct, images: images.count, accuracy: correct / images.count });
  }
  const accuracies = scores.map(({ accuracy }) => accuracy);
  const average = accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / accuracies.length;
  return { scores, average, worst: Math.min(...accuracies) };
}
