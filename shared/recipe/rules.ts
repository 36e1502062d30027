/**
 * The rules this version knows, and the names it knows of. A rule is a preset of small steps (weighting, combine, post); a new method is
 * a new row here, not a new engine.
 */
import type { RuleComposition, Weighting } from './recipe.js';

export interface RuleParameter {
  readonly name: string;
  /** Whether it is looked up per model or once for all. */
  readonly scope: 'model' | 'global';
  readonly kind: 'number' | 'flag';
  /** `required`: in a round a weight is nevertheless 1 unless said. `none`: optional without a value of its own. */
  readonly default: number | 'required' | 'none';
}

export interface RuleDescription {
  readonly name: string;
  readonly composition: RuleComposition;
  readonly parameters: readonly RuleParameter[];
  readonly formula: string;
  readonly source: string;
  /** What the rule cannot do without. */
  readonly needs: readonly ('base' | 'samples')[];
}

const WEIGHT: RuleParameter = { name: 'weight', scope: 'model', kind: 'number', default: 'required' };
const LAMBDA: RuleParameter = { name: 'lambda', scope: 'global', kind: 'number', default: 1 };
const normalizeBy = (value: boolean): RuleParameter => ({ name: 'normalize', scope: 'global', kind: 'flag', default: value ? 1 : 0 });

export const RULES = {
  linear: {
    name: 'linear',
    composition: { weighting: 'given', of: 'weights', normalize: true },
    parameters: [WEIGHT, normalizeBy(true)],
    formula: 'sum of weight_i x_i / sum of weight_i (not divided with normalize: false)',
    source: 'mergekit; Wortsman et al., Model soups (arXiv 2203.05482)',
    needs: [],
  },
  task_arithmetic: {
    name: 'task_arithmetic',
    composition: { weighting: 'given', of: 'task_vectors', normalize: false },
    parameters: [WEIGHT, LAMBDA, normalizeBy(false)],
    formula: 'base + lambda x sum of weight_i (x_i - base)',
    source: 'Ilharco et al., Editing models with task arithmetic (arXiv 2212.04089)',
    needs: ['base'],
  },
  fedavg: {
    name: 'fedavg',
    composition: { weighting: 'samples', of: 'task_vectors', normalize: true },
    parameters: [{ ...WEIGHT, default: 'none' }, LAMBDA],
    formula: 'base + lambda x sum of (n_i / n) (x_i - base), n_i training samples of contribution i',
    source: 'McMahan et al. (arXiv 1602.05629); as task arithmetic: arXiv 2411.18607',
    needs: ['base', 'samples'],
  },
} as const satisfies Record<string, RuleDescription>;

export type RuleName = keyof typeof RULES;

export function findRule(name: string): RuleDescription | undefined {
  return Object.hasOwn(RULES, name) ? RULES[name as RuleName] : undefined;
}

/** The description of a composition that was written out. */
export function describeComposition(composition: RuleComposition): RuleDescription {
  const { weighting, of, normalize } = composition;
  const coefficient: Record<Weighting, string> = { uniform: '', samples: '(n_i / n) ', given: 'weight_i ' };
  const value = of === 'weights' ? 'x_i' : '(x_i - base)';
  const sum = `sum of ${coefficient[weighting]}${value}${normalize && weighting !== 'samples' ? ' / sum of coefficients' : ''}`;
  return {
    name: 'rule',
    composition,
    parameters: [...(weighting === 'given' ? [WEIGHT] : weighting === 'samples' ? [{ ...WEIGHT, default: 'none' as const }] : []), LAMBDA],
    formula: of === 'weights' ? `lambda x ${sum}` : `base + lambda x ${sum}`,
    source: 'composition written in the recipe',
    needs: [...(of === 'task_vectors' ? (['base'] as const) : []), ...(weighting === 'samples' ? (['samples'] as const) : [])],
  };
}

const words = (text: string): readonly string[] => text.split(/\s+/);

/** Methods that exist elsewhere or are planned here: refused by name, not as typing errors. */
export const LATER_METHODS: readonly string[] = words(
  `ties dare_ties dare_linear breadcrumbs breadcrumbs_ties della della_linear slerp nuslerp multislerp karcher model_stock
  sce passthrough nearswap arcee_fusion ram ramplus_tl core_space fednova fedgma median cclip trimmed_mean geometric_median
  krum multi_krum nan metagpt star tsv_m iso_c iso_cts knots_ties wudi consensus_ta tall pcb emr lines localize_and_stitch
  fedavgm fedadam fedyogi regmean fisher pleas`,
);

/** Keys at the top of a recipe that mean something elsewhere or will here. */
export const LATER_KEYS: readonly string[] = words(`slices modules tokenizer tokenizer_source chat_template refine map round weighting`);

/** Steps of a written-out rule that are planned. */
export const LATER_STEPS: readonly string[] = words(
  `trim drop breadcrumbs star emr clip align steps nan metagpt sign_consensus agreement median trimmed_mean geometric_median
  krum slerp karcher tsv iso regmean least_squares lines norm_preservation`,
);

/** Parameters of mergekit's other methods: without effect on linear and task_arithmetic, there as here. */
export const MERGEKIT_PARAMETERS: readonly string[] = words(
  `density gamma epsilon rescale int8_mask select_topk t scale max_iter tol filter_wise lambda normalize`,
);
