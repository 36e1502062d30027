/** `tributary rules [NAME]`: what can stand after merge_method, and what it means. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { RuleDescription, RuleParameter } from '../../shared/recipe/recipe.js';
import { findRule, RULES } from '../../shared/recipe/rules.js';
import { suggest } from '../../shared/recipe/suggest.js';
import type { LocalContext } from './local-context.js';
import { table } from './table.js';

export async function showRules(context: LocalContext, name: string | undefined): Promise<void> {
  if (name === undefined) {
    const rules: readonly RuleDescription[] = Object.values(RULES);
    context.io.result(
      rules,
      table(
        ['rule', 'result'],
        rules.map((rule) => [rule.name, rule.formula]),
      ),
    );
    return;
  }
  const rule = findRule(name);
  if (rule === undefined) {
    const near = suggest(name, Object.keys(RULES));
    const fix = near === undefined ? '`tributary rules` lists them.' : `Did you mean ${near}?`;
    throw new TributaryError('USAGE', { what: `There is no rule named ${name}`, expected: Object.keys(RULES).join(', '), got: name, fix });
  }
  context.io.result(rule, ruleText(rule));
}

function ruleText(rule: RuleDescription): string {
  const { composition } = rule;
  const lines = [
    `rule     ${rule.name}`,
    `result   ${rule.formula}`,
    `source   ${rule.source}`,
    `needs    ${rule.needs.length === 0 ? 'nothing but the models' : rule.needs.join(', ')}`,
    `made of  weighting ${composition.weighting}, combine ${composition.combine} of ${composition.of.replace('_', ' ')}`,
  ];
  if (rule.parameters.length === 0) return lines.join('\n');
  const value = (parameter: RuleParameter): string => {
    if (parameter.default === undefined) return parameter.required === true ? 'required' : '';
    return parameter.kind === 'flag' ? `${parameter.default === 1}` : `${parameter.default}`;
  };
  const rows = rule.parameters.map((parameter) => [parameter.name, parameter.scope === 'model' ? 'per model' : 'global', value(parameter)]);
  return `${lines.join('\n')}\n\n${table(['parameter', 'scope', 'default'], rows)}`;
}
