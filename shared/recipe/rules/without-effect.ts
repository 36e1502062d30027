/** What mergekit takes and what changes no result, there or here. */
import type { RuleParameter } from '../recipe.js';

export const INT8_MASK: RuleParameter = {
  name: 'int8_mask',
  scope: 'global',
  kind: 'flag',
  default: 0,
  meaning: 'taken for the sake of mergekit recipes; changes nothing',
};
