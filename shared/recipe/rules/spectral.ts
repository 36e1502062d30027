/** Rules on the singular values of whole matrices; tensors that are no matrices are averaged. */
import { describePreset } from '../composition.js';
import type { MatrixCombineStep, RuleDescription } from '../recipe.js';
import { COMBINES } from '../steps/combines.js';

const ofMatrices = (name: string, combine: MatrixCombineStep, source: string): RuleDescription =>
  describePreset({
    name,
    family: 'spectral',
    composition: { of: 'task_vectors', transforms: [], weighting: 'uniform', combine, post: ['scale'] },
    formula: `base + lambda x V, V = ${COMBINES[combine].formula}`,
    source,
  });

export const SPECTRAL = {
  star: describePreset({
    name: 'star',
    family: 'spectral',
    composition: { of: 'task_vectors', transforms: ['star'], weighting: 'uniform', combine: 'sum', post: ['scale'] },
    defaults: { normalize: 1 },
    without: ['normalize'],
    formula:
      'base + lambda x mean of D_i, D_i = U_r diag(s) V_r^T of x_i - base with the fewest singular values that add up to eta percent, scaled so that their sum stays',
    source: 'Lee et al., STAR: Spectral truncation and rescale for model merging (arXiv 2502.10339)',
  }),
  tsv_m: ofMatrices('tsv_m', 'tsv', 'Gargiulo et al., Task singular vectors (arXiv 2412.00081)'),
  iso_c: ofMatrices('iso_c', 'iso_c', 'Marczak et al., No task left behind: isotropic model merging (arXiv 2502.04959)'),
  iso_cts: ofMatrices('iso_cts', 'iso_cts', 'Marczak et al., No task left behind: isotropic model merging (arXiv 2502.04959)'),
  knots_ties: ofMatrices('knots_ties', 'knots', 'Stoica et al., KnOTS: Model merging with SVD to tie the knots (arXiv 2410.19735)'),
  wudi: ofMatrices('wudi', 'wudi', 'Cheng et al., WUDI-Merging (arXiv 2503.08099), in closed form'),
};
