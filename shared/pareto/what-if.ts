/** The front of a study as if some of its contributions had never come: their weights are 0, everything else is searched anew. */
import { TributaryError } from '../errors/tributary-error.js';
import { quadraticSize } from './quadratic.js';
import { type SearchOptions, searchFront } from './search-front.js';
import type { PredictedFront, StudySpec, Surrogate } from './study.js';

/** Numbers of the parameters, in the order of quadratic.ts, that are left when only the kept coordinates are not 0. */
function keptParameters(kept: readonly number[], dimensions: number): number[] {
  const squares = [...kept];
  const cross: number[] = [];
  for (const [at, i] of kept.entries())
    for (const j of kept.slice(at + 1)) cross.push(dimensions + i * dimensions - (i * (i + 1)) / 2 + (j - i - 1));
  const linear = dimensions + (dimensions * (dimensions - 1)) / 2;
  return [...squares, ...cross, ...kept.map((i) => linear + i), linear + dimensions];
}

function restrict(surrogate: Surrogate, kept: readonly number[], dimensions: number): Surrogate {
  const size = quadraticSize(dimensions);
  const parameters = keptParameters(kept, dimensions);
  const { covariance } = surrogate;
  return {
    ...surrogate,
    parameters: parameters.map((p) => surrogate.parameters[p] ?? 0),
    covariance:
      covariance.length === size * size
        ? parameters.flatMap((row) => parameters.map((column) => covariance[row * size + column] ?? 0))
        : [],
  };
}

/**
 * @param without names of contributors
 * @returns points with as many coefficients as the study has dimensions, those of the left out being 0
 * @throws CONTRIBUTION_NOT_FOUND for a contributor who takes no part
 */
export function whatIf(
  spec: Pick<StudySpec, 'tasks' | 'contributors' | 'dimensions' | 'seed'>,
  surrogates: readonly Surrogate[],
  without: readonly string[],
  options: SearchOptions = {},
): PredictedFront {
  const { contributors, dimensions } = spec;
  for (const name of without)
    if (!contributors.includes(name))
      throw new TributaryError('CONTRIBUTION_NOT_FOUND', {
        what: `${name} takes no part in this study`,
        expected: contributors.join(', '),
        got: name,
      });
  const kept = [...dimensions.keys()].filter((i) => {
    const contributor = dimensions[i]?.contributor;
    return contributor === undefined || !without.includes(contributor);
  });
  const front = searchFront(
    { ...spec, dimensions: dimensions.filter((_, i) => kept.includes(i)) },
    surrogates.map((surrogate) => restrict(surrogate, kept, dimensions.length)),
    options,
  );
  const places = dimensions.map((_, i) => kept.indexOf(i));
  return {
    ...front,
    points: front.points.map((point) => ({ ...point, coefficients: places.map((at) => (at < 0 ? 0 : (point.coefficients[at] ?? 0))) })),
  };
}
