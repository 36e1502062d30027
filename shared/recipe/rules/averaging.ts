/** Weighted sums whose coefficients follow from numbers. */
import { describePreset } from '../composition.js';
import type { RuleComposition, Weighting } from '../recipe.js';
import { INT8_MASK } from './without-effect.js';

const sumOfTaskVectors = (weighting: Weighting): RuleComposition => ({
  of: 'task_vectors',
  transforms: [],
  weighting,
  combine: 'sum',
  post: ['scale'],
});

export const AVERAGING = {
  linear: describePreset({
    name: 'linear',
    family: 'averaging',
    composition: { of: 'weights', transforms: [], weighting: 'given', combine: 'sum', post: [] },
    defaults: { normalize: 1 },
    formula: 'sum of weight_i x_i / sum of weight_i (not divided with normalize: false)',
    source: 'mergekit; Wortsman et al., Model soups (arXiv 2203.05482)',
    mergekit: true,
  }),
  task_arithmetic: describePreset({
    name: 'task_arithmetic',
    family: 'task vectors',
    composition: sumOfTaskVectors('given'),
    also: [INT8_MASK],
    formula: 'base + lambda x sum of weight_i (x_i - base)',
    source: 'Ilharco et al., Editing models with task arithmetic (arXiv 2212.04089)',
    mergekit: true,
  }),
  fedavg: describePreset({
    name: 'fedavg',
    family: 'averaging',
    composition: sumOfTaskVectors('samples'),
    defaults: { normalize: 1 },
    without: ['normalize'],
    formula: 'base + lambda x sum of (n_i / n) (x_i - base), n_i training samples of contribution i',
    source: 'McMahan et al. (arXiv 1602.05629); as task arithmetic: arXiv 2411.18607',
  }),
  fednova: describePreset({
    name: 'fednova',
    family: 'averaging',
    composition: sumOfTaskVectors('steps'),
    without: ['normalize'],
    formula: 'base + lambda x sum of a_i (x_i - base), a_i = mean(s) / (N s_i), s_i training steps of contribution i',
    source: 'Wang et al. (arXiv 2007.07481), simplified as in arXiv 2411.18607',
  }),
  nan: describePreset({
    name: 'nan',
    family: 'averaging',
    composition: sumOfTaskVectors('nan'),
    without: ['normalize'],
    formula: 'base + lambda x sum of alpha_i (x_i - base), alpha_i = scale / norm_i / sum of 1 / norm_j',
    source: 'Si et al., NAN: a training-free solution to coefficient estimation in model merging (arXiv 2505.16148)',
  }),
  metagpt: describePreset({
    name: 'metagpt',
    family: 'averaging',
    composition: sumOfTaskVectors('metagpt'),
    without: ['normalize'],
    formula: 'base + lambda x sum of (norm_i^2 / sum of norm_j^2) (x_i - base), norm_i of the task vector',
    source: 'Zhou et al., MetaGPT (arXiv 2406.11385)',
  }),
  passthrough: describePreset({
    name: 'passthrough',
    family: 'averaging',
    composition: { of: 'weights', transforms: [], weighting: 'uniform', combine: 'passthrough', post: [] },
    formula: 'scale x, of the one source of the tensor',
    source: 'mergekit (arXiv 2403.13257)',
    mergekit: true,
  }),
};
