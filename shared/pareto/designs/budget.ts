/**
 * How much a study may spend. Reference points and the result of a method count, but are measured even if the budget is smaller; the greedy soup
 * and what people have materialised do not count. A budget in minutes is the coordinator's to watch: here it never ends.
 */
import type { Budget, MeasuredCandidate, Proposal, StudySpec } from '../study.js';
import { referencePoints } from './reference-points.js';

/** 20 points for each pair, as in the MAP paper. */
export const NESTED_POINTS = 20;

/** What the study says, or (N + 1)(N + 2) candidates, N coordinates; for nested, 20 for each pair. */
export function budgetOf(spec: StudySpec): Budget {
  if (spec.budget !== undefined) return spec.budget;
  const n = spec.dimensions.length;
  if (spec.method !== 'nested') return { kind: 'candidates', candidates: (n + 1) * (n + 2) };
  const references = referencePoints(spec).length;
  return { kind: 'candidates', candidates: references + NESTED_POINTS * Math.max(spec.contributors.length - 1, 0) + 1 };
}

/** What a proposal takes from the budget, in its unit. */
export function costOf(spec: StudySpec, { tasks }: Pick<Proposal, 'tasks'>): number {
  return budgetOf(spec).kind === 'evaluations' ? (tasks?.length ?? spec.tasks.length) : 1;
}

/** All of it, in units of `costOf`; Infinity for minutes. */
export function totalOf(spec: StudySpec): number {
  const budget = budgetOf(spec);
  if (budget.kind === 'minutes') return Infinity;
  return budget.kind === 'candidates' ? budget.candidates : budget.evaluations;
}

/** What counts in a history: everything but soups, their result, and what was materialised. */
export function counts({ kind, label }: Pick<Proposal, 'kind' | 'label'>): boolean {
  return kind !== 'soup' && kind !== 'materialised' && !(kind === 'result' && label === 'greedy_soup');
}

/** What is left; never below 0. */
export function leftOf(spec: StudySpec, history: readonly MeasuredCandidate[]): number {
  let spent = 0;
  for (const candidate of history) if (counts(candidate)) spent += costOf(spec, candidate);
  return Math.max(totalOf(spec) - spent, 0);
}

/** The first of them that the budget pays for. */
export function affordable(spec: StudySpec, left: number, proposals: readonly Proposal[]): Proposal[] {
  let rest = left;
  const taken: Proposal[] = [];
  for (const proposal of proposals) {
    rest -= costOf(spec, proposal);
    if (rest < 0) break;
    taken.push(proposal);
  }
  return taken;
}
