/**
 * Which candidates come next: a pure function of the study and of what is known. The history holds complete batches only; asking again with the
 * same history gives the same proposals. A candidate whose measurement was given up counts as asked for, so nothing waits for it.
 */
import type { MeasuredCandidate, Proposal, StudySpec } from '../study.js';
import { adamergingBatch, entropyTasks } from './adamerging.js';
import { bayesianBatch } from './bayesian.js';
import { budgetOf, leftOf, totalOf } from './budget.js';
import { soupBatch } from './greedy-soup.js';
import { candidatesFor, mapBatch } from './map.js';
import { type MeasuredBook, openBook, unasked } from './measured-book.js';
import { nestedBatch, pointsPerPair } from './nested.js';
import { levelsOf } from './nested-tree.js';
import { createObjective, type Objective } from './objective.js';
import { keyOf, weightedContributors } from './points.js';
import { recycleBatch } from './recycle.js';
import { referencePoints } from './reference-points.js';

function methodBatch(spec: StudySpec, book: MeasuredBook, left: number, objective: Objective): Proposal[] {
  if (spec.method === 'map') return mapBatch(spec, book, left);
  if (spec.method === 'bayesian') return bayesianBatch(spec, book, left);
  // The others start from measured reference points.
  const references = unasked(book, referencePoints(spec));
  if (references.length > 0) return references;
  if (spec.method === 'nested') return nestedBatch(spec, book, objective);
  return spec.method === 'adamerging' ? adamergingBatch(spec, book, objective) : recycleBatch(spec, book, objective);
}

/** @returns in the order in which they should be numbered; empty: the study is complete */
export function nextBatch(spec: StudySpec, history: readonly MeasuredCandidate[]): readonly Proposal[] {
  const book = openBook(spec, history);
  const objective = createObjective(spec, book);
  const proposals = methodBatch(spec, book, leftOf(spec, book.candidates), objective);
  if (!spec.greedySoup || unasked(book, referencePoints(spec)).length > 0) return proposals;
  // Where both want the same point, it is the soup's: that one is measured in all tasks.
  const soups = soupBatch(spec, book, objective);
  const asked = new Set(soups.filter(({ kind }) => kind === 'soup').map(({ coefficients }) => keyOf(coefficients)));
  return [...proposals.filter(({ kind, coefficients }) => kind === 'result' || !asked.has(keyOf(coefficients))), ...soups];
}

function plannedByMethod(spec: StudySpec): number {
  const references = referencePoints(spec).length;
  const total = totalOf(spec);
  const sides = weightedContributors(spec).length;
  if (spec.method === 'nested') return references + Math.max(sides - 1, 0) * pointsPerPair(spec, sides, levelsOf(sides, 0)) + 1;
  if (spec.method !== 'adamerging' || budgetOf(spec).kind === 'candidates') return Math.max(candidatesFor(spec, total), references);
  const onTheWay = Math.floor((total - (references + 1) * spec.tasks.length) / entropyTasks(spec).length);
  return references + Math.max(onTheWay, 0) + 1;
}

/** About how many candidates there will be, soups included (they may be fewer); undefined for a budget in minutes. */
export function plannedCandidates(spec: StudySpec): number | undefined {
  if (budgetOf(spec).kind === 'minutes') return undefined;
  return plannedByMethod(spec) + (spec.greedySoup ? weightedContributors(spec).length : 0);
}
