/** Rules that a few bad or odd contributions cannot carry away. */
import { describePreset, type PresetSource } from '../composition.js';
import type { CombineStep, RuleDescription, RuleParameter, TransformStep } from '../recipe.js';
import { COMBINES } from '../steps/combines.js';

function robust(
  name: string,
  combine: CombineStep,
  source: string,
  more: Partial<Pick<PresetSource, 'formula' | 'defaults' | 'also' | 'without'>> & { transforms?: readonly TransformStep[] } = {},
): RuleDescription {
  const { transforms = [], formula = `base + lambda x V, V = ${COMBINES[combine].formula}`, ...rest } = more;
  const composition = { of: 'task_vectors', transforms, weighting: 'uniform', combine, post: ['scale'] } as const;
  return describePreset({ name, family: 'robust', composition, formula, source, ...rest });
}

/** FedGMA's word for it; stands for `normalize` of the sum. */
const AGGREGATE: RuleParameter = {
  name: 'aggregate',
  scope: 'global',
  kind: 'choice',
  choices: ['sum', 'mean'],
  default: 'sum',
  meaning: 'mean divides by the number of contributions',
};

export const ROBUST = {
  fedgma: robust('fedgma', 'agreement', 'Tenison et al., Gradient masked averaging (arXiv 2201.11986), as in arXiv 2411.18607'),
  median: robust('median', 'median', 'Yin et al. (arXiv 1803.01498)'),
  cclip: robust('cclip', 'sum', 'Karimireddy et al., Learning from history (arXiv 2012.10333), as in arXiv 2411.18607', {
    transforms: ['clip'],
    also: [AGGREGATE],
    without: ['normalize'],
    formula: 'base + lambda x sum of min(1, rho / |v_i|) v_i, the norm over all tensors',
  }),
  trimmed_mean: robust('trimmed_mean', 'trimmed_mean', 'Yin et al. (arXiv 1803.01498)'),
  geometric_median: robust('geometric_median', 'geometric_median', 'Pillutla et al., Robust aggregation (arXiv 1912.13445)'),
  krum: robust('krum', 'krum', 'Blanchard et al., Machine learning with adversaries (arXiv 1703.02757)', { without: ['keep'] }),
  multi_krum: robust('multi_krum', 'krum', 'Blanchard et al., Machine learning with adversaries (arXiv 1703.02757)', {
    defaults: { keep: 'auto' },
  }),
};
