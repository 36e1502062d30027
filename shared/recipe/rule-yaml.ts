/** A rule as the composition it stands for, in the words of `rule:`; reading it back gives the same composition. */
import type { CombineStep, RuleDescription, RuleParameter } from './recipe.js';
import { COMBINES } from './steps/combines.js';
import { POSTS } from './steps/posts.js';
import { TRANSFORMS } from './steps/transforms.js';
import { WEIGHTINGS } from './steps/weightings.js';

/** Stands where a value is required and only the user knows it. */
const PLACEHOLDER: Readonly<Record<string, number>> = { t: 0.5 };

function valueText(parameter: RuleParameter, value: number | string): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return parameter.kind === 'flag' ? `${value !== 0}` : `${value}`;
}

/** `{name: {option: value}}` with the rule's own defaults; a weight has no place in it, it stands beside the models. */
function stepText(rule: RuleDescription, name: string, parameters: readonly RuleParameter[], more: readonly string[] = []): string {
  const options = parameters.flatMap((parameter) => {
    const { name: option } = parameter;
    if (option === 'weight' || option === 'normalize') return [];
    const fixed = rule.fixed.get(option);
    if (fixed !== undefined) return fixed === parameter.default ? [] : [`${option}: ${valueText(parameter, fixed)}`];
    const value = rule.parameters.find((one) => one.name === option)?.default ?? (PLACEHOLDER[option] || 1);
    return [`${option}: ${valueText(parameter, value)}`];
  });
  return `{${name}: {${[...more, ...options].join(', ')}}}`;
}

function combineText(rule: RuleDescription): string {
  const { combine, of, weighting } = rule.composition;
  const { parameters } = COMBINES[combine];
  // Shares of samples are a mean already.
  const fixed = weighting === 'samples' ? undefined : rule.fixed.get('normalize');
  const normalize = fixed ?? rule.parameters.find((parameter) => parameter.name === 'normalize')?.default;
  const ofText = of === COMBINES[combine].of[0] ? [] : [`of: ${of}`];
  if (combine === 'sum') return stepText(rule, normalize === 1 ? 'mean' : 'sum', [], ofText);
  const normalizeText = normalize === 1 ? ['normalize: true'] : [];
  return stepText(rule, combine satisfies CombineStep, parameters, [...ofText, ...normalizeText]);
}

export function ruleYaml(rule: RuleDescription): string {
  const { transforms, weighting, post } = rule.composition;
  const required = rule.parameters.filter((parameter) => parameter.required === true && parameter.name !== 'weight');
  const list = (steps: readonly string[]): string => (steps.length === 0 ? '[]' : `[${steps.join(', ')}]`);
  return [
    `# ${rule.name}: ${rule.formula}`,
    ...required.map(({ name, meaning }) => `# ${name} is required (${meaning}); write your value`),
    'rule:',
    `  transform: ${list(transforms.map((step) => stepText(rule, step, TRANSFORMS[step].parameters)))}`,
    `  weighting: ${stepText(rule, weighting, WEIGHTINGS[weighting].parameters)}`,
    `  combine: ${combineText(rule)}`,
    `  post: ${list(post.map((step) => stepText(rule, step, POSTS[step].parameters)))}`,
  ].join('\n');
}
