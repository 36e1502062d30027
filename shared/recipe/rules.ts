/**
 * The rules this version knows, and the names it knows of. A rule is a preset of small steps (transforms, weighting, combine, post); a new
 * method is a new row under rules/, and at most a new step under steps/.
 */
import type { RuleDescription } from './recipe.js';
import { AVERAGING } from './rules/averaging.js';
import { GEOMETRY } from './rules/geometry.js';
import { MASKS } from './rules/masks.js';
import { ROBUST } from './rules/robust.js';
import { SERVER } from './rules/server.js';
import { SPARSE } from './rules/sparse.js';
import { SPECTRAL } from './rules/spectral.js';

export const RULES: Readonly<Record<string, RuleDescription>> = {
  ...AVERAGING,
  ...SPARSE,
  ...SPECTRAL,
  ...MASKS,
  ...ROBUST,
  ...GEOMETRY,
  ...SERVER,
};

export function findRule(name: string): RuleDescription | undefined {
  return Object.hasOwn(RULES, name) ? RULES[name] : undefined;
}

const words = (text: string): readonly string[] => text.split(/\s+/);

/** Methods that exist elsewhere or are planned here: refused by name, not as typing errors. */
export const LATER_METHODS: readonly string[] = words('regmean fisher pleas ram ramplus_tl core_space');

/** Keys at the top of a recipe that will mean something here. */
export const LATER_KEYS: readonly string[] = words('round');

/** Steps of a written-out rule that are planned. */
export const LATER_STEPS: readonly string[] = words('align regmean least_squares norm_preservation');

/** Parameters of mergekit's methods: without effect on those that do not read them, there as here. */
export const MERGEKIT_PARAMETERS: readonly string[] = words(
  `weight density gamma epsilon rescale int8_mask select_topk t scale max_iter tol filter_wise lambda normalize normalize_weights eps
  nuslerp_flatten nuslerp_row_wise`,
);
