/** What every study measures first: the base, every contribution alone (unless that is withheld) and the plain average, whether or not they lie in the box. */
import type { Proposal, StudySpec } from '../study.js';
import { averageOf, fromWeights, keyOf, weightedContributors } from './points.js';

/** No two have the same coefficients. Without weights there is one: plain merging. */
export function referencePoints(spec: StudySpec): Proposal[] {
  const { dimensions } = spec;
  const contributors = weightedContributors(spec);
  const all: Proposal[] =
    contributors.length === 0
      ? [{ kind: 'average', coefficients: averageOf(dimensions, []) }]
      : [
          { kind: 'base', coefficients: fromWeights(dimensions, () => 0) },
          ...(spec.withoutSingles === true ? [] : contributors).map(
            (label): Proposal => ({ kind: 'single', label, coefficients: fromWeights(dimensions, (name) => (name === label ? 1 : 0)) }),
          ),
          { kind: 'average', coefficients: averageOf(dimensions, contributors) },
        ];
  const seen = new Set<string>();
  return all.filter(({ coefficients }) => {
    const key = keyOf(coefficients);
    return !seen.has(key) && seen.add(key);
  });
}
