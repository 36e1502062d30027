/** Steps done to each task vector by itself, before contributions meet. */
import type { RuleParameter, TransformStep } from '../recipe.js';

export interface StepDescription {
  /** One line, without full stop: what happens to the vector. */
  readonly does: string;
  readonly parameters: readonly RuleParameter[];
}

/** The share of elements that stays, beside each model or for all. */
const density = (meaning: string): RuleParameter => ({
  name: 'density',
  scope: 'model',
  kind: 'number',
  default: 1,
  meaning,
  min: 0,
  max: 1,
});

const rescale = (byDefault: string, choices: readonly string[]): RuleParameter => ({
  name: 'rescale',
  scope: 'global',
  kind: 'choice',
  choices,
  flags: { true: 'l1', false: 'off' },
  default: byDefault,
  meaning: choices.includes('1/p')
    ? 'l1: the kept elements are scaled so that the L1 norm stays (mergekit); 1/p: each is divided by its keep probability (paper)'
    : 'l1: the kept elements are scaled so that the L1 norm of the tensor stays',
});

/** Which tensors count as matrices (see merge/matrix-tensors.ts). */
export const MATRICES: RuleParameter = {
  name: 'matrices',
  scope: 'global',
  kind: 'choice',
  choices: ['layers', 'all'],
  default: 'layers',
  meaning: 'layers: matrices inside of layers, convolutions flattened; all: embeddings and heads as well',
};

export const TRANSFORMS: Readonly<Record<TransformStep, StepDescription>> = {
  star: {
    does: 'keeps the leading singular directions of each matrix and scales them up to its nuclear norm',
    parameters: [
      {
        name: 'eta',
        scope: 'model',
        kind: 'number',
        default: 40,
        meaning: 'percent of the sum of singular values that is kept',
        min: 0,
        max: 100,
      },
      MATRICES,
    ],
  },
  clip: {
    does: 'scales the vector down to the norm rho if it is longer',
    parameters: [
      {
        name: 'rho',
        scope: 'global',
        kind: 'number',
        words: ['auto'],
        default: 'auto',
        meaning: 'longest norm over all tensors; auto: the median of the norms',
        min: 0,
      },
      {
        name: 'iterations',
        scope: 'global',
        kind: 'number',
        default: 1,
        meaning: 'centred clippings one after the other, the first around 0',
        min: 1,
        max: 1000,
        integer: true,
      },
    ],
  },
  trim: {
    does: 'keeps the elements of largest magnitude',
    parameters: [density('share of elements kept, the largest first'), rescale('off', ['l1', 'off'])],
  },
  outliers: {
    does: 'drops the largest and the smallest elements',
    parameters: [
      density('share of elements kept'),
      {
        name: 'gamma',
        scope: 'model',
        kind: 'number',
        default: 0.01,
        meaning: 'share of elements dropped as outliers, the largest first',
        min: 0,
        max: 1,
      },
      rescale('off', ['l1', 'off']),
    ],
  },
  drop: {
    does: 'keeps elements at random',
    parameters: [density('probability with which an element is kept'), rescale('l1', ['l1', '1/p', 'off'])],
  },
  della: {
    does: 'keeps elements at random, larger ones more often',
    parameters: [
      density('mean probability with which an element is kept'),
      {
        name: 'epsilon',
        scope: 'model',
        kind: 'number',
        default: 0.15,
        meaning: 'probabilities go from density - epsilon (smallest of its row) to density + epsilon (largest)',
        min: 0,
        max: 0.5,
      },
      rescale('l1', ['l1', '1/p', 'off']),
    ],
  },
};
