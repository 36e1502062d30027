/** Every deterministic rule as property tests need it: which inputs and parameters make sense, and which identities it owes. */
import fc from 'fast-check';
import type { Kind } from './random-models.js';
import type { ReferenceRuleName } from './reference/rules.js';
import type { ReferenceParameter } from './reference/types.js';

export type Parameters = Readonly<Record<string, ReferenceParameter>>;
export type Beside = Readonly<Record<string, number>>;

export interface RuleCase {
  readonly rule: ReferenceRuleName;
  /** Tells cases of one rule apart. */
  readonly form?: string;
  /** Fewest and most models, the base not counted. */
  readonly counts: readonly [number, number];
  readonly base: boolean;
  readonly kinds: readonly Kind[];
  readonly parameters: fc.Arbitrary<Parameters>;
  /** Parameters beside each model. */
  readonly beside?: fc.Arbitrary<Beside>;
  readonly facts?: 'samples' | 'steps';
  /** The result does not depend on the order of the models. */
  readonly symmetric: boolean;
  /** Models 2^k times as large (over a base of zeros) give 2^k times the result, bit for bit. */
  readonly homogeneous: boolean;
  /** Under these parameters copies of one model, or that model alone, give the model. */
  readonly copies?: { readonly parameters?: Parameters; readonly beside?: Beside } | undefined;
  /** It chooses by numbers that are not exact even on the grid: elements near a threshold may go either way. */
  readonly chooses?: true;
  /** How much its coefficients may multiply rounding errors, beyond what weights and lambda do. */
  readonly amplify: number;
}

const one = (...values: readonly ReferenceParameter[]): fc.Arbitrary<ReferenceParameter> => fc.constantFrom(...values);
const number = (...values: readonly number[]): fc.Arbitrary<number> => fc.constantFrom(...values);
const record = (parameters: Record<string, fc.Arbitrary<ReferenceParameter>>): fc.Arbitrary<Parameters> => fc.record(parameters);
const beside = (parameters: Record<string, fc.Arbitrary<number>>): fc.Arbitrary<Beside> => fc.record(parameters);

const LAMBDA = { lambda: one(1, 0.5, 0.3, 1.5) };
const weight = number(0.25, 0.5, 1, 1.5, 2);
const signedWeight = number(0.25, 0.5, 1, 1.5, -0.25);
const density = number(0.1, 0.25, 0.3, 0.5, 0.7, 1);
const flag = one(true, false);

const USUAL = { counts: [1, 6], base: true, kinds: ['grid', 'wide'], symmetric: true, homogeneous: true, amplify: 4 } as const;
const family = (rule: ReferenceRuleName, more: Partial<RuleCase> = {}): RuleCase => ({
  ...USUAL,
  rule,
  parameters: record({ ...LAMBDA, normalize: flag }),
  beside: beside({ weight: signedWeight }),
  copies: { parameters: { normalize: true }, beside: { weight: 0.5 } },
  ...more,
});
const ours = (rule: ReferenceRuleName, parameters: fc.Arbitrary<Parameters>, more: Partial<RuleCase> = {}): RuleCase => ({
  ...USUAL,
  rule,
  parameters,
  copies: {},
  ...more,
});

const SUMS: readonly RuleCase[] = [
  family('task_arithmetic'),
  family('linear', { base: false, parameters: record({ normalize: flag }), beside: beside({ weight }) }),
  ours('fedavg', record(LAMBDA), { facts: 'samples' }),
  ours('fednova', record(LAMBDA), { facts: 'steps', copies: undefined }),
  ours('nan', record({ ...LAMBDA, norm: one('finetuned', 'task_vector'), per: one('model', 'tensor'), scale: one(1, 0.5, 'm_half') })),
  ours('metagpt', record(LAMBDA)),
  ours('cclip', record({ ...LAMBDA, rho: one('auto', 1.5), aggregate: one('sum', 'mean') }), {
    homogeneous: false,
    copies: { parameters: { aggregate: 'mean' } },
  }),
  ours('cclip', record({ rho: one('auto', 2), aggregate: one('mean'), iterations: one(2, 5) }), {
    form: 'iterated',
    homogeneous: false,
    copies: { parameters: { aggregate: 'mean', iterations: 3 } },
    amplify: 64,
  }),
  ours('geometric_median', record({ ...LAMBDA, iterations: one(1, 3, 10), tol: one(0) }), { kinds: ['wide'], amplify: 64 }),
  ours('krum', record({ ...LAMBDA, byzantine: one(0) }), { counts: [4, 6], kinds: ['wide'], copies: { parameters: { byzantine: 0 } } }),
  ours('krum', record({ byzantine: one(0, 1) }), {
    form: 'ties by order',
    counts: [5, 6],
    kinds: ['grid'],
    symmetric: false,
    copies: undefined,
  }),
  ours('multi_krum', record({ ...LAMBDA, byzantine: one(0, 1), keep: one(1, 2, 3, 'auto') }), {
    counts: [5, 6],
    symmetric: false,
    copies: { parameters: { byzantine: 1 } },
  }),
  ours('lines', record({ ...LAMBDA, alpha: one('auto', 0.5), beta: one('auto', 0, 0.75) }), { copies: { parameters: { beta: 0 } } }),
];

const ELEMENTWISE: readonly RuleCase[] = [
  ours('fedgma', record({ ...LAMBDA, rho: one(0, 0.1, 0.3, 0.5, 0.75, 0.9, 1), aggregate: one('sum', 'mean') }), {
    copies: { parameters: { aggregate: 'mean' } },
  }),
  ours('median', record({ ...LAMBDA, even: one('mean', 'lower') })),
  ours('trimmed_mean', record({ ...LAMBDA, trim: one(0, 0.1, 0.2, 0.34, 0.45) })),
  family('ties', { parameters: record({ ...LAMBDA, normalize: flag, density, rescale: flag }) }),
  family('ties', { form: 'densities beside models', parameters: record({}), beside: beside({ weight, density }), copies: undefined }),
  family('ties', {
    form: 'of the paper',
    parameters: record({ ...LAMBDA, variant: one('paper'), density }),
    beside: fc.constant({ weight: 1 }),
    copies: { parameters: { variant: 'paper' }, beside: { weight: 1 } },
  }),
  family('breadcrumbs', { parameters: record({ ...LAMBDA, normalize: flag, density, gamma: one(0, 0.01, 0.1, 0.2), rescale: flag }) }),
  family('breadcrumbs_ties', { parameters: record({ ...LAMBDA, normalize: flag, density, gamma: one(0, 0.01, 0.1, 0.2) }) }),
  ours('sce', record({ select_topk: one(0, 0.1, 0.5, 0.8, 1) }), { chooses: true, copies: { parameters: { select_topk: 1 } } }),
  ours('consensus_ta', record({ ...LAMBDA, alpha: one(0.25, 0.5, 1), mask_lambda: one(0.25, 0.5), k: one(0, 1, 2, 3) }), {
    copies: undefined,
  }),
  ours('pcb', record({ ...LAMBDA, ratio: one(0.05, 0.1, 0.3, 0.5) }), {
    homogeneous: false,
    kinds: ['wide'],
    copies: undefined,
    amplify: 256,
  }),
  ours('localize_and_stitch', record({ ...LAMBDA, sparsity: one(0.05, 0.1, 0.3, 0.7) }), { copies: undefined }),
];

const GEOMETRY: readonly RuleCase[] = [
  ours('slerp', record({ t: one(0, 0.25, 0.3, 0.5, 1) }), { counts: [1, 1], copies: { parameters: { t: 1 } } }),
  ours('nuslerp', record({ nuslerp_flatten: flag, nuslerp_row_wise: flag }), {
    counts: [2, 2],
    base: false,
    beside: beside({ weight }),
    symmetric: true,
    copies: { beside: { weight: 0.5 } },
    amplify: 16,
  }),
  ours('nuslerp', record({ nuslerp_flatten: flag, nuslerp_row_wise: flag }), {
    form: 'of task vectors',
    counts: [2, 2],
    beside: beside({ weight }),
    copies: { beside: { weight: 0.5 } },
    amplify: 16,
  }),
  ours('multislerp', record({ normalize_weights: flag }), {
    base: false,
    kinds: ['wide'],
    beside: beside({ weight }),
    homogeneous: false,
    copies: { parameters: { normalize_weights: true }, beside: { weight: 2 } },
    amplify: 64,
  }),
  ours('multislerp', record({}), {
    form: 'of task vectors',
    kinds: ['wide'],
    beside: beside({ weight }),
    homogeneous: false,
    copies: { beside: { weight: 2 } },
    amplify: 64,
  }),
  ours('karcher', record({ max_iter: one(1, 4, 10), tol: one(1e-5, 1e-9) }), { base: false, kinds: ['wide'], amplify: 256 }),
  ours('model_stock', record({ filter_wise: flag }), { counts: [2, 6], kinds: ['wide'], homogeneous: false, amplify: 64 }),
  ours('nearswap', record({ t: one(0.0625, 0.25, 1) }), { counts: [1, 1], homogeneous: false, copies: { parameters: { t: 1000 } } }),
  ours('arcee_fusion', record({}), { counts: [1, 1], kinds: ['wide'], homogeneous: false, chooses: true, copies: undefined }),
  ours('passthrough', record({}), {
    counts: [1, 1],
    base: false,
    beside: beside({ scale: number(1, 0.5, 0.3) }),
    copies: { beside: { scale: 1 } },
  }),
];

export const RULE_CASES: readonly RuleCase[] = [...SUMS, ...ELEMENTWISE, ...GEOMETRY];

export const nameOf = ({ rule, form }: RuleCase): string => (form === undefined ? rule : `${rule}, ${form}`);
