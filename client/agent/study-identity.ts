/**
 * What makes a study this one and no other: a round of the same name, at another coordinator or after its data was lost, has other candidates under the
 * same numbers.
 */
import { createHash } from 'node:crypto';
import type { EvaluationLease, Study } from '../../shared/generated/tributary/v1/evaluations.js';

const digestOf = (facts: unknown): string => createHash('sha256').update(JSON.stringify(facts)).digest('hex');

export function studyIdentity({ round, recipe, baseDigest, contributions, dimensions, createdAt }: Study): string {
  const inputs = contributions.map(({ contributor, weightsDigest, samples, steps }) => [
    contributor,
    weightsDigest,
    `${samples}`,
    `${steps}`,
  ]);
  return digestOf([round, recipe, baseDigest, inputs, dimensions, createdAt?.getTime()]);
}

/** Equal digests, equal weights. */
export const candidateDigest = (study: string, { candidate, coefficients }: Pick<EvaluationLease, 'candidate' | 'coefficients'>): string =>
  digestOf([study, candidate, coefficients]);
