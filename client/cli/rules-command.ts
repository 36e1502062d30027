/** `tributary rules` and `tributary rules show NAME`: what can stand after merge_method, and what it means. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { compositionText } from '../../shared/recipe/composition.js';
import type { RuleDescription, RuleParameter } from '../../shared/recipe/recipe.js';
import { ruleYaml } from '../../shared/recipe/rule-yaml.js';
import { findRule, RULES } from '../../shared/recipe/rules.js';
import { suggest } from '../../shared/util/suggest.js';
import type { LocalContext } from './local-context.js';
import { table } from './table.js';

const document = ({ fixed, ...rule }: RuleDescription): object => ({ ...rule, fixed: Object.fromEntries(fixed) });

export async function showRules({ io, yaml }: LocalContext, name: string | undefined): Promise<void> {
  if (name === undefined) {
    if (yaml) throw new TributaryError('USAGE', { what: 'One rule at a time', expected: 'tributary rules show NAME --format yaml' });
    const rules = Object.values(RULES);
    const rows = rules.map(({ name: rule, family, needs, secureAggregation }) => [
      rule,
      family,
      needs.join(', '),
      secureAggregation.works ? 'yes' : 'no',
    ]);
    io.result(
      rules.map(document),
      `${table(['rule', 'family', 'needs', 'secure aggregation'], rows)}\n\ntributary rules show NAME explains one; with --format yaml as a composition to change.`,
    );
    return;
  }
  const rule = findRule(name);
  if (rule === undefined) {
    const near = suggest(name, Object.keys(RULES));
    const fix = near === undefined ? '`tributary rules` lists them.' : `Did you mean ${near}?`;
    throw new TributaryError('USAGE', { what: `There is no rule named ${name}`, expected: Object.keys(RULES).join(', '), got: name, fix });
  }
  io.result(document(rule), yaml ? ruleYaml(rule) : ruleText(rule));
}

/** `how many models`, the base not counted. */
function countText({ minModels = 1, maxModels = Infinity }: RuleDescription): string {
  const plural = (count: number): string => `${count} model${count === 1 ? '' : 's'}`;
  if (minModels === maxModels) return plural(minModels);
  return maxModels === Infinity ? `${plural(minModels)} or more` : `${minModels} to ${plural(maxModels)}`;
}

function defaultText({ default: value, kind, required }: RuleParameter): string {
  if (value === undefined) return required === true ? 'required' : '';
  return kind === 'flag' ? `${value === 1}` : `${value}`;
}

function valuesText({ kind, choices = [], words = [], flags, min, max, integer }: RuleParameter): string {
  if (kind === 'flag') return 'true, false';
  if (kind === 'choice') return [...choices, ...(flags === undefined ? [] : [`true = ${flags.true}`])].join(', ');
  const range = min === undefined ? '' : max === undefined ? ` >= ${min}` : ` ${min} to ${max}`;
  return [`${integer === true ? 'whole number' : 'number'}${range}`, ...words].join(', ');
}

function ruleText(rule: RuleDescription): string {
  const { needs, secureAggregation } = rule;
  const lines = [
    `rule     ${rule.name} (${rule.family})`,
    `result   ${rule.formula}`,
    `source   ${rule.source}`,
    `needs    ${[...needs, countText(rule)].join(', ')}`,
    `made of  ${compositionText(rule.composition)}`,
    `secure   ${secureAggregation.works ? 'works under secure aggregation' : 'not under secure aggregation'}: ${secureAggregation.why}`,
    ...(rule.perTask === true ? ['gives    one model for each contribution'] : []),
    ...(rule.acrossRounds === true ? ['where    in rounds only: the coordinator keeps its state'] : []),
  ];
  if (rule.parameters.length === 0) return lines.join('\n');
  const rows = rule.parameters.map((parameter) => [
    parameter.name,
    parameter.scope === 'model' ? 'per model' : 'global',
    defaultText(parameter),
    valuesText(parameter),
    parameter.meaning,
  ]);
  return `${lines.join('\n')}\n\n${table(['parameter', 'scope', 'default', 'values', 'meaning'], rows)}`;
}
