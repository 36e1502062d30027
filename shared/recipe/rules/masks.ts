/** Rules that decide element by element which contribution is heard, and scaling by layer. */
import { describePreset, type PresetSource } from '../composition.js';
import type { CombineStep, PostStep, RuleDescription } from '../recipe.js';
import { COMBINES } from '../steps/combines.js';

function masks(
  name: string,
  combine: CombineStep,
  source: string,
  more: Partial<Pick<PresetSource, 'formula' | 'perTask' | 'without'>> & { post?: readonly PostStep[] } = {},
): RuleDescription {
  const { post = ['scale'], formula = `base + lambda x V, V = ${COMBINES[combine].formula}`, ...rest } = more;
  const composition = { of: 'task_vectors', transforms: [], weighting: 'uniform', combine, post } as const;
  return describePreset({ name, family: 'masks', composition, formula, source, ...rest });
}

export const MASKS = {
  consensus_ta: masks('consensus_ta', 'consensus_mask', 'Wang et al., Localizing task information (arXiv 2405.07813)'),
  tall: masks('tall', 'tall', 'Wang et al., Localizing task information: TALL-masks (arXiv 2405.07813)', { perTask: true }),
  pcb: masks('pcb', 'pcb', 'Du et al., Parameter competition balancing (arXiv 2410.02396)'),
  emr: masks('emr', 'emr', 'Huang et al., EMR-Merging (arXiv 2405.17461)', { perTask: true }),
  lines: masks('lines', 'sum', 'Wang et al., LiNeS: post-training layer scaling (arXiv 2410.17146)', {
    post: ['lines', 'scale'],
    formula: 'base + lambda x (alpha + beta l / (L - 1)) x sum of (x_i - base), layer l of L; outside of layers alpha alone',
  }),
  localize_and_stitch: masks('localize_and_stitch', 'localize', 'He et al., Localize-and-Stitch, without data (arXiv 2408.13656)'),
};
