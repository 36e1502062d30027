/** Steps that give each contribution a number. */
import type { RuleNeed, RuleParameter, Weighting } from '../recipe.js';
import type { StepDescription } from './transforms.js';

export interface WeightingDescription extends StepDescription {
  /** The coefficient, in formulas. */
  readonly coefficient: string;
  readonly needs: readonly RuleNeed[];
}

export const WEIGHT: RuleParameter = {
  name: 'weight',
  scope: 'model',
  kind: 'number',
  required: true,
  meaning: 'factor of this model',
};

export const WEIGHTINGS: Readonly<Record<Weighting, WeightingDescription>> = {
  uniform: { does: 'all count the same', coefficient: '', needs: [], parameters: [] },
  given: { does: 'by the `weight` beside each model', coefficient: 'weight_i ', needs: [], parameters: [WEIGHT] },
  samples: {
    does: 'by the number of training samples, or by weights if every participant has one',
    coefficient: '(n_i / n) ',
    needs: ['samples'],
    parameters: [{ ...WEIGHT, required: undefined, meaning: 'stands in for samples; all participants need one, or none' }],
  },
  steps: {
    does: 'inversely by the number of local training steps',
    coefficient: '(mean(s) / (N s_i)) ',
    needs: ['steps'],
    parameters: [],
  },
  nan: {
    does: 'inversely by norm',
    coefficient: 'alpha_i ',
    needs: [],
    parameters: [
      {
        name: 'norm',
        scope: 'global',
        kind: 'choice',
        choices: ['finetuned', 'task_vector'],
        default: 'finetuned',
        meaning: 'whose norm: of the fine-tuned weights or of the task vector',
      },
      {
        name: 'per',
        scope: 'global',
        kind: 'choice',
        choices: ['model', 'tensor'],
        default: 'model',
        meaning: 'one coefficient a model, or one a tensor',
      },
      {
        name: 'scale',
        scope: 'global',
        kind: 'number',
        words: ['m_half'],
        default: 1,
        meaning: 'sum of the coefficients; m_half: half the number of models',
      },
    ],
  },
  metagpt: { does: 'by the squared norm of the task vector', coefficient: '(|v_i|^2 / sum of |v_j|^2) ', needs: ['base'], parameters: [] },
};
