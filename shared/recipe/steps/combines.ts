/** Steps that make one vector of all contributions, and what each allows around it. */
import type { CombineStep, RuleComposition, RuleNeed, RuleParameter, Weighting } from '../recipe.js';
import { MATRIX_COMBINES } from './matrix-combines.js';
import type { StepDescription } from './transforms.js';

export interface CombineDescription extends StepDescription {
  readonly formula: string;
  /** What it combines; the first is meant when nothing is said. */
  readonly of: readonly RuleComposition['of'][];
  readonly weightings: readonly Weighting[];
  /** Why others are refused. */
  readonly whyNoOther?: string | undefined;
  /** Whether transforms may stand in front (only of task vectors). */
  readonly transforms: boolean;
  /** Whether V is scaled by `lambda` (mergekit's own rules without lambda stay without). */
  readonly scaled: boolean;
  readonly needs: readonly RuleNeed[];
  /** See RuleDescription. */
  readonly baseAsModel?: true | undefined;
  readonly minModels?: number | undefined;
  readonly maxModels?: number | undefined;
  readonly secure: { readonly works: boolean; readonly why: string };
}

export const ALL_WEIGHTINGS: readonly Weighting[] = ['uniform', 'samples', 'steps', 'given', 'nan', 'metagpt'];

const number = (name: string, byDefault: number, meaning: string, range: Partial<RuleParameter> = {}): RuleParameter => ({
  name,
  scope: 'global',
  kind: 'number',
  default: byDefault,
  meaning,
  ...range,
});
const flag = (name: string, byDefault: 0 | 1, meaning: string): RuleParameter => ({
  name,
  scope: 'global',
  kind: 'flag',
  default: byDefault,
  meaning,
});
const choice = (name: string, choices: readonly string[], byDefault: string, meaning: string): RuleParameter => ({
  name,
  scope: 'global',
  kind: 'choice',
  choices,
  default: byDefault,
  meaning,
});

const NORMALIZE = flag('normalize', 0, 'divide by the sum of the coefficients');
const NO_WEIGHTS_EACH_ONCE = 'it counts every contribution once';
const NO_SECURE = (why: string): CombineDescription['secure'] => ({ works: false, why: `needs individual contributions: ${why}` });

/** Of a rule of our own that is uniform, scaled, and can have transforms in front. */
const ofTaskVectors = {
  of: ['task_vectors'],
  weightings: ['uniform'],
  whyNoOther: NO_WEIGHTS_EACH_ONCE,
  transforms: true,
  scaled: true,
  needs: ['base'],
} as const satisfies Partial<CombineDescription>;

/** Of mergekit's rules on whole weights: no transforms, no lambda. */
const ofWeights = {
  of: ['weights'],
  weightings: ['uniform'],
  whyNoOther: NO_WEIGHTS_EACH_ONCE,
  transforms: false,
  scaled: false,
} as const satisfies Partial<CombineDescription>;

export const COMBINES: Readonly<Record<CombineStep, CombineDescription>> = {
  sum: {
    does: 'adds up (mean: and divides by the sum of the coefficients)',
    formula: 'sum of c_i v_i',
    parameters: [NORMALIZE],
    of: ['task_vectors', 'weights'],
    weightings: ALL_WEIGHTINGS,
    transforms: true,
    scaled: true,
    needs: [],
    baseAsModel: true,
    secure: { works: true, why: 'one sum is all it needs' },
  },
  sign_consensus: {
    does: 'elects a sign for each element and adds up what has it',
    formula: 'sum of the c_i v_i whose sign is that of the sum / sum of their c_i',
    parameters: [
      NORMALIZE,
      choice(
        'variant',
        ['mergekit', 'paper'],
        'mergekit',
        'paper: the signs of unweighted vectors are elected, kept values are divided by their number, trimming is over all tensors together',
      ),
    ],
    ...ofTaskVectors,
    weightings: ALL_WEIGHTINGS,
    whyNoOther: undefined,
    secure: { works: false, why: 'the elected signs must be known before the sum is taken: two rounds of sums' },
  },
  agreement: {
    does: 'adds up, and shrinks elements on whose sign few agree',
    formula: 'm x sum of v_i, A = |sum of sign(v_i)| / N, m = 1 where A >= rho, else A',
    parameters: [
      number('rho', 0.5, 'agreement from which an element counts in full', { min: 0, max: 1 }),
      choice('aggregate', ['sum', 'mean'], 'sum', 'what is masked'),
    ],
    ...ofTaskVectors,
    secure: { works: true, why: 'a sum of the vectors and a sum of their signs is all it needs' },
  },
  median: {
    does: 'takes the median of each element',
    formula: 'median over i of v_i, element by element',
    parameters: [choice('even', ['mean', 'lower'], 'mean', 'of an even number: the mean of the two middle values, or the lower')],
    ...ofTaskVectors,
    secure: NO_SECURE('values are sorted'),
  },
  trimmed_mean: {
    does: 'takes the mean of each element without its extremes',
    formula: 'mean over i of v_i without the floor(trim N) largest and smallest, element by element',
    parameters: [number('trim', 0.2, 'share left out on each side', { min: 0, max: 0.5 })],
    ...ofTaskVectors,
    secure: NO_SECURE('values are sorted'),
  },
  geometric_median: {
    does: 'takes the point nearest to all',
    formula: 'argmin over V of sum of c_i |v_i - V|, by Weiszfeld iterations from the mean',
    parameters: [
      number('iterations', 100, 'at most so many', { min: 1, max: 100_000, integer: true }),
      number('smoothing', 1e-6, 'smallest distance that is divided by', { min: 0 }),
      number('tol', 1e-6, 'stops when the sum of distances changes by less than this share', { min: 0 }),
    ],
    ...ofTaskVectors,
    weightings: ['uniform', 'samples', 'given'],
    whyNoOther: 'the distances weigh the contributions already',
    secure: NO_SECURE('distances between them decide'),
  },
  krum: {
    does: 'takes the mean of the contributions with the nearest neighbours',
    formula: 'mean of the keep v_i with the smallest sum of squared distances to their N - f - 2 nearest neighbours, f = byzantine',
    parameters: [
      {
        name: 'byzantine',
        scope: 'global',
        kind: 'number',
        required: true,
        meaning: 'contributions that may be arbitrary; 2 f + 2 < N',
        min: 0,
        integer: true,
      },
      number('keep', 1, 'contributions kept; auto: N - f - 2', { min: 1, integer: true, words: ['auto'] }),
    ],
    ...ofTaskVectors,
    minModels: 3,
    secure: NO_SECURE('distances between them decide'),
  },
  sce: {
    does: 'keeps the elements that vary most, elects signs, and weighs models by energy',
    formula: 'sum of w_i v_i of the elected sign / sum of their w_i, w_i by the mean square of v_i, in the elements of largest variance',
    parameters: [number('select_topk', 1, 'share of the elements kept, by variance over the models', { min: 0, max: 1 })],
    ...ofTaskVectors,
    whyNoOther: 'it weighs the models by the energy of their task vectors',
    transforms: false,
    scaled: false,
    secure: { works: false, why: 'variances and signs must be known before the weighted sum: three rounds of sums' },
  },
  consensus_mask: {
    does: 'adds up, and keeps elements that matter to several contributions',
    formula: 'U = alpha x sum of v_i, kept where |v_i| > mask_lambda |U - v_i| for at least k contributions, else 0',
    parameters: [
      number('mask_lambda', 0.4, 'how far a contribution may be from the rest to still matter', { min: 0 }),
      number('alpha', 0.4, 'factor of the sum'),
      number('k', 2, 'contributions to which an element must matter', { min: 0, integer: true }),
    ],
    ...ofTaskVectors,
    secure: { works: false, why: 'the sum must be known before the masks are: two rounds of sums' },
  },
  tall: {
    does: 'adds up, and masks the sum for each task',
    formula: 'of task i: m_i x U, U = alpha x sum of v_i, m_i = 1 where |v_i| > mask_lambda |U - v_i|, else 0',
    parameters: [
      number('mask_lambda', 0.4, 'how far the task may be from the rest to be kept', { min: 0 }),
      number('alpha', 0.4, 'factor of the sum'),
    ],
    ...ofTaskVectors,
    secure: { works: false, why: 'the sum must be known before the masks are: two rounds of sums' },
  },
  emr: {
    does: 'elects a sign and takes the largest value of it, masked and rescaled for each task',
    formula: 'of task i: s_i x m_i x U, U = sign x max |v_i| of that sign, m_i = 1 where v_i has it, s_i keeps the mean magnitude',
    parameters: [],
    ...ofTaskVectors,
    secure: NO_SECURE('the largest is taken of each element'),
  },
  pcb: {
    does: 'weighs each element by its own size and its agreement with the others',
    formula: 'sum of s_i v_i / sum of s_i, s_i from magnitude within the model x tanh(v_i x sum of v_j), the top ratio of it',
    parameters: [number('ratio', 0.1, 'share of the elements kept of each contribution', { min: 0, max: 1 })],
    ...ofTaskVectors,
    secure: { works: false, why: 'the sum must be known before the scores are: two rounds of sums' },
  },
  localize: {
    does: 'takes from each contribution its largest elements and averages where they meet',
    formula: 'sum of m_i v_i / number of contributions with m_i = 1, m_i = 1 in the sparsity largest of all elements of v_i',
    parameters: [number('sparsity', 0.1, 'share of the elements kept of each contribution, over all tensors together', { min: 0, max: 1 })],
    ...ofTaskVectors,
    transforms: false,
    secure: { works: true, why: 'a sum of the masked vectors and a sum of the masks is all it needs' },
  },
  slerp: {
    does: 'goes from the base to the model on the arc between them',
    formula: 'sin((1-t) a)/sin(a) base + sin(t a)/sin(a) x, a the angle between them; on a line where they are almost parallel',
    parameters: [{ name: 't', scope: 'global', kind: 'number', required: true, meaning: '0 is the base, 1 the other model' }],
    ...ofWeights,
    whyNoOther: 't is its weight',
    needs: ['base'],
    minModels: 1,
    maxModels: 1,
    secure: NO_SECURE('there is one, with nothing to hide among'),
  },
  nuslerp: {
    does: 'goes from the first model to the second on the arc between them',
    formula: 'slerp from x_0 to x_1 at t = w_1 / (w_0 + w_1); with a base, of the task vectors, and the base is added',
    parameters: [
      flag('nuslerp_flatten', 1, 'a tensor is one vector; false: row by row'),
      flag('nuslerp_row_wise', 0, 'with nuslerp_flatten false: column by column instead of row by row'),
    ],
    ...ofWeights,
    weightings: ALL_WEIGHTINGS,
    whyNoOther: undefined,
    needs: [],
    minModels: 2,
    maxModels: 2,
    secure: NO_SECURE('the angle between them decides'),
  },
  multislerp: {
    does: 'averages directions on the sphere in one tangent step, and lengths as they are',
    formula: 'exp_c(sum of w_i log_c(u_i)) x sum of w_i |x_i|, u_i = x_i / |x_i|, c their weighted mean direction',
    parameters: [flag('normalize_weights', 1, 'divide the weights by their sum'), number('eps', 1e-8, 'added to norms', { min: 0 })],
    ...ofWeights,
    weightings: ALL_WEIGHTINGS,
    whyNoOther: undefined,
    needs: [],
    minModels: 1,
    secure: NO_SECURE('norms and angles of each tensor decide'),
  },
  karcher: {
    does: 'takes the mean on the sphere',
    formula: 'argmin over directions of the sum of squared angles x mean of |x_i|, by tangent steps',
    parameters: [
      number('max_iter', 10, 'at most so many steps', { min: 0, integer: true }),
      number('tol', 1e-5, 'stops at shorter steps; shorter vectors are left out', { min: 0 }),
    ],
    ...ofWeights,
    needs: [],
    baseAsModel: true,
    secure: NO_SECURE('it iterates over them'),
  },
  model_stock: {
    does: 'goes from the base towards the mean, as far as the angles between task vectors say',
    formula: 'r mean(x_i) + (1 - r) base, r = N c / (1 + (N - 1) c), c the mean cosine between task vectors',
    parameters: [flag('filter_wise', 0, 'row by row instead of tensor by tensor')],
    ...ofWeights,
    needs: ['base'],
    minModels: 2,
    secure: { works: true, why: 'a sum of the weights and, tensor by tensor, a sum of unit task vectors is all it needs' },
  },
  nearswap: {
    does: 'takes the other model where it is near the base',
    formula: 'q x + (1 - q) base, q = clamp(t / max(|x - base|, 1e-6), 0, 1)',
    parameters: [
      { name: 't', scope: 'global', kind: 'number', required: true, meaning: 'distance up to which the other model is taken', min: 0 },
    ],
    ...ofWeights,
    whyNoOther: 't is its weight',
    needs: ['base'],
    minModels: 1,
    maxModels: 1,
    secure: NO_SECURE('there is one, with nothing to hide among'),
  },
  arcee_fusion: {
    does: 'takes the most important changes of the other model',
    formula: 'v where its importance >= median + 1.5 IQR, else 0; importance = |v| x KL(softmax rows of x || base)',
    parameters: [],
    ...ofWeights,
    of: ['task_vectors'],
    whyNoOther: 'there is one model only',
    needs: ['base'],
    minModels: 1,
    maxModels: 1,
    secure: NO_SECURE('there is one, with nothing to hide among'),
  },
  passthrough: {
    does: 'takes the tensor as it is',
    formula: 'scale x',
    parameters: [{ name: 'scale', scope: 'model', kind: 'number', default: 1, meaning: 'factor of the tensor' }],
    ...ofWeights,
    whyNoOther: 'there is one model only',
    needs: [],
    baseAsModel: true,
    minModels: 1,
    maxModels: 1,
    secure: NO_SECURE('there is one, with nothing to hide among'),
  },
  ...MATRIX_COMBINES,
};
