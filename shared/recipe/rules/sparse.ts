/** mergekit's family of sparsified task vectors: a transform, then a sum or a consensus on signs. */
import { describePreset, type PresetSource } from '../composition.js';
import type { RuleComposition, RuleDescription, TransformStep } from '../recipe.js';
import { INT8_MASK } from './without-effect.js';

const of = (transform: TransformStep, combine: 'sum' | 'sign_consensus'): RuleComposition => ({
  of: 'task_vectors',
  transforms: [transform],
  weighting: 'given',
  combine,
  post: ['scale'],
});

const sparse = (preset: Omit<PresetSource, 'family' | 'also' | 'mergekit'>): RuleDescription =>
  describePreset({ ...preset, family: 'task vectors', also: [INT8_MASK], mergekit: true });

const CONSENSUS =
  'base + lambda x (sum of w_i d_i that have the elected sign / sum of their w_i), d_i = kept part of x_i - base, elected = sign of sum of w_i d_i';
const SUM = 'base + lambda x sum of weight_i d_i, d_i = kept part of x_i - base';

export const SPARSE = {
  ties: sparse({
    name: 'ties',
    composition: of('trim', 'sign_consensus'),
    defaults: { normalize: 1 },
    formula: `${CONSENSUS}; kept: the density largest`,
    source: "Yadav et al., TIES-Merging (arXiv 2306.01708), in mergekit's form unless variant: paper",
  }),
  dare_linear: sparse({
    name: 'dare_linear',
    composition: of('drop', 'sum'),
    formula: `${SUM} at random with probability density, rescaled`,
    source: 'Yu et al., Language models are Super Mario (arXiv 2311.03099)',
  }),
  dare_ties: sparse({
    name: 'dare_ties',
    composition: of('drop', 'sign_consensus'),
    formula: `${CONSENSUS} (not divided unless normalize: true); kept: at random with probability density, rescaled`,
    source: 'Yu et al. (arXiv 2311.03099) with Yadav et al. (arXiv 2306.01708)',
  }),
  della: sparse({
    name: 'della',
    composition: of('della', 'sign_consensus'),
    defaults: { normalize: 1 },
    formula: `${CONSENSUS}; kept: at random, with probability density -+ epsilon by rank in the row, rescaled`,
    source: 'Deep et al., DELLA-Merging (arXiv 2406.11617)',
  }),
  della_linear: sparse({
    name: 'della_linear',
    composition: of('della', 'sum'),
    formula: `${SUM} at random, with probability density -+ epsilon by rank in the row, rescaled`,
    source: 'Deep et al., DELLA-Merging (arXiv 2406.11617)',
  }),
  breadcrumbs: sparse({
    name: 'breadcrumbs',
    composition: of('outliers', 'sum'),
    formula: `${SUM}: without the gamma largest and the smallest`,
    source: 'Davari and Belilovsky, Model Breadcrumbs (arXiv 2312.06795)',
  }),
  breadcrumbs_ties: sparse({
    name: 'breadcrumbs_ties',
    composition: of('outliers', 'sign_consensus'),
    formula: `${CONSENSUS} (not divided unless normalize: true); kept: without the gamma largest and the smallest`,
    source: 'Davari and Belilovsky (arXiv 2312.06795) with Yadav et al. (arXiv 2306.01708)',
  }),
  sce: sparse({
    name: 'sce',
    composition: { of: 'task_vectors', transforms: [], weighting: 'uniform', combine: 'sce', post: [] },
    formula: 'base + sum of w_i d_i that have the elected sign / sum of their w_i; d_i where the variance over models is among the largest',
    source: 'Wan et al., FuseChat (arXiv 2408.07990)',
  }),
};
