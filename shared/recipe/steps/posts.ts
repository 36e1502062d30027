/** Steps done to the merged vector. */
import type { PostStep, RuleParameter } from '../recipe.js';
import type { StepDescription } from './transforms.js';

const number = (name: string, byDefault: number, meaning: string, range: { min?: number; max?: number } = {}): RuleParameter => ({
  name,
  scope: 'global',
  kind: 'number',
  default: byDefault,
  meaning,
  ...range,
});

export const POSTS: Readonly<Record<PostStep, StepDescription>> = {
  lines: {
    does: 'scales layer l of L by alpha + beta l / (L - 1), and what is outside of layers by alpha',
    parameters: [
      {
        name: 'alpha',
        scope: 'global',
        kind: 'number',
        words: ['auto'],
        default: 'auto',
        meaning: 'factor of the first layer; auto: |sum of v_i|_1 / (N |V|_1)',
      },
      {
        name: 'beta',
        scope: 'global',
        kind: 'number',
        words: ['auto'],
        default: 'auto',
        meaning: 'what is added up to the last layer; auto: 1 - alpha',
      },
    ],
  },
  server: {
    does: 'moves the base by an optimiser step along V, whose moments are kept from round to round',
    parameters: [
      {
        name: 'optimizer',
        scope: 'global',
        kind: 'choice',
        choices: ['momentum', 'adam', 'yogi'],
        default: 'momentum',
        meaning: 'which moments are kept',
      },
      number('server_lr', 1, 'step size', { min: 0 }),
      number('momentum', 0.9, 'share of the momentum kept (momentum)', { min: 0, max: 1 }),
      number('beta1', 0.9, 'share of the first moment kept (adam, yogi)', { min: 0, max: 1 }),
      number('beta2', 0.99, 'share of the second moment kept (adam, yogi)', { min: 0, max: 1 }),
      number('tau', 1e-3, 'added to the root of the second moment (adam, yogi)', { min: 0 }),
    ],
  },
  scale: {
    does: 'scales the merged vector by lambda',
    parameters: [number('lambda', 1, 'factor of the merged vector')],
  },
};
