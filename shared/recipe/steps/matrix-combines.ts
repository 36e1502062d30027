/** Combinations of whole matrices: what they do with the singular directions of the contributions. */
import type { MatrixCombineStep, RuleParameter } from '../recipe.js';
import type { CombineDescription } from './combines.js';
import { MATRICES } from './transforms.js';

const share = (name: string, byDefault: number, meaning: string): RuleParameter => ({
  name,
  scope: 'global',
  kind: 'number',
  default: byDefault,
  meaning,
  min: 0,
  max: 1,
});

const ofMatrices = {
  of: ['task_vectors'],
  weightings: ['uniform'],
  whyNoOther: 'it balances the contributions by their singular values',
  transforms: true,
  scaled: true,
  needs: ['base'],
  secure: { works: false, why: 'needs individual contributions: their singular directions decide' },
} as const satisfies Partial<CombineDescription>;

export const MATRIX_COMBINES: Readonly<Record<MatrixCombineStep, CombineDescription>> = {
  tsv: {
    does: 'gives each contribution its share of leading singular directions, made orthogonal to those of the others',
    formula:
      'U S V^T, the min(rows, columns) / N leading singular triples of each v_i side by side, U and V replaced by their polar factors',
    parameters: [MATRICES],
    ...ofMatrices,
  },
  iso_c: {
    does: 'adds up and makes all singular values equal',
    formula: 'mean(s) U V^T, U diag(s) V^T = sum of v_i',
    parameters: [MATRICES],
    ...ofMatrices,
  },
  iso_cts: {
    does: 'makes singular values equal, with a part of the directions left to each contribution',
    formula:
      'mean(s) U V^T, U and V the leading directions of the sum and, for the rest, of each v_i without the common ones, made orthogonal',
    parameters: [share('common_space_fraction', 0.8, 'share of the directions that come from the sum'), MATRICES],
    ...ofMatrices,
  },
  knots: {
    does: 'elects signs in a basis that all contributions share',
    formula: 'U x ties(C_i), U diag(s) [C_1 ... C_N] = [v_1 ... v_N]: trimmed to the density largest, signs elected, what agrees averaged',
    parameters: [
      share('density', 0.2, 'share of the coordinates kept of each contribution, the largest first'),
      {
        name: 'tol',
        scope: 'global',
        kind: 'number',
        default: 1e-5,
        meaning: 'singular values up to it are left out',
        min: 0,
      },
      MATRICES,
    ],
    ...ofMatrices,
  },
  wudi: {
    does: 'takes the matrix that interferes least with the inputs each contribution was trained on',
    formula: 'argmin over V of the sum of |(V - v_i) v_i^T|^2 / |v_i|^2, solved exactly',
    parameters: [MATRICES],
    ...ofMatrices,
  },
};
