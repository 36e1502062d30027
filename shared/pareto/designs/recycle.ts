/**
 * The best linear combination of many checkpoints, also of those that are good at nothing alone (arXiv 2412.04144): CMA-ES over the box, downhill
 * from the best reference point, one population a batch. Good is the weighted mean of normalised metrics. It ends with the centre
 * of the last distribution, measured, and the best of everything as its result.
 */
import type { Proposal, StudySpec } from '../study.js';
import { budgetOf, totalOf } from './budget.js';
import { drawGeneration, populationOf, startCma, updateCma } from './cma-es.js';
import { candidatesFor } from './map.js';
import { type MeasuredBook, resultOf, unasked } from './measured-book.js';
import type { Objective } from './objective.js';
import { averageOf, type Coefficients, clampToBox, fromUnit, keyOf, toUnit, weightedContributors } from './points.js';
import { randomStream } from './random.js';
import { referencePoints } from './reference-points.js';

export const RECYCLE = 'recycle';

const PURPOSE = 4;
const FIRST_SIGMA = 0.3;
/** Steps below this share of the box are no news. */
const LEAST_SIGMA = 1e-4;

/** To be asked once the reference points are measured. */
export function recycleBatch(spec: StudySpec, book: MeasuredBook, objective: Objective): Proposal[] {
  const { dimensions } = spec;
  const references = referencePoints(spec);
  const minutes = budgetOf(spec).kind === 'minutes';
  // The centre and the result come last.
  const draws = minutes ? Infinity : Math.max(0, candidatesFor(spec, totalOf(spec)) - references.length - 2);
  const population = populationOf(dimensions.length);

  let best: Coefficients = clampToBox(dimensions, averageOf(dimensions, weightedContributors(spec)));
  let most = -Infinity;
  const consider = (coefficients: Coefficients): number => {
    const score = objective.complete(book.at(coefficients)) ?? -Infinity;
    if (score > most) [best, most] = [coefficients, score];
    return score;
  };
  for (const { coefficients } of references)
    if (keyOf(clampToBox(dimensions, coefficients)) === keyOf(coefficients)) consider(coefficients);

  let state = startCma(toUnit(dimensions, best), FIRST_SIGMA);
  for (let drawn = 0, generation = 0; drawn < draws && state.sigma > LEAST_SIGMA; generation++) {
    const points = drawGeneration(state, Math.min(population, draws - drawn), randomStream(spec.seed, PURPOSE, generation)).map((unit) =>
      fromUnit(dimensions, unit),
    );
    const missing = unasked(
      book,
      points.map((coefficients) => ({ kind: 'adaptive', coefficients })),
    );
    if (missing.length > 0) return missing;
    drawn += points.length;
    const scored = points.map((coefficients) => ({ coefficients, score: consider(coefficients) }));
    // What could not be measured teaches nothing; a rump of a generation neither.
    const known = scored.filter(({ score }) => score > -Infinity).sort((a, b) => b.score - a.score);
    if (known.length >= 4)
      state = updateCma(
        state,
        known.map(({ coefficients }) => toUnit(dimensions, coefficients)),
      );
  }
  const centre = clampToBox(dimensions, fromUnit(dimensions, [...state.mean]));
  const last = unasked(book, draws > 0 ? [{ kind: 'adaptive', coefficients: centre }] : []);
  if (last.length > 0) return last;
  if (draws > 0) consider(centre);
  return resultOf(book, RECYCLE, best);
}
