/**
 * The greedy soup (Wortsman et al., arXiv 2203.05482, recipe 1): contributions in the order of how good each is alone; each joins the average if
 * that does not make it worse. Good is the weighted mean of normalised metrics. It comes on top of the budget: at most one candidate
 * less than there are contributors, and its result.
 */
import type { Proposal, StudySpec } from '../study.js';
import { type MeasuredBook, resultOf } from './measured-book.js';
import type { Objective } from './objective.js';
import { averageOf, weightedContributors } from './points.js';

export const GREEDY_SOUP = 'greedy_soup';

/** To be asked once the reference points are measured. Contributions whose own model could not be measured do not take part. */
export function soupBatch(spec: StudySpec, book: MeasuredBook, objective: Objective): Proposal[] {
  const { dimensions } = spec;
  const alone = weightedContributors(spec)
    .map((name) => ({ name, score: objective.complete(book.at(averageOf(dimensions, [name]))) }))
    .filter((one): one is { name: string; score: number } => one.score !== undefined)
    .sort((a, b) => b.score - a.score);
  const [best, ...others] = alone;
  if (best === undefined) return [];
  let members = [best.name];
  let { score } = best;
  for (const { name } of others) {
    const tried = [...members, name];
    const proposal: Proposal = { kind: 'soup', coefficients: averageOf(dimensions, tried) };
    if (!book.wasAsked(proposal)) return [proposal];
    const reached = objective.complete(book.at(proposal.coefficients));
    if (reached === undefined || reached < score) continue;
    members = tried;
    score = reached;
  }
  return resultOf(book, GREEDY_SOUP, averageOf(dimensions, members));
}
