/**
 * What each contribution adds to each task: Shapley values of the game in which a set of contributors is worth the predicted metric with
 * the weights of all others set to 0 (parameters of the rule stay as they are). They add up to the prediction minus the one without any
 * contribution. Standard errors are those of the fitted parameters (delta method), and of sampling where there are too many contributors to
 * go through all sets.
 */
import { type QuadraticGame, quadraticGame } from './quadratic-game.js';
import { exactShapley, identityShapley, MOST_EXACT_PLAYERS, type Shapley, sampledShapley } from './shapley.js';
import type { StudySpec, Surrogate } from './study.js';

export interface Attribution {
  readonly task: string;
  readonly contributor: string;
  /** In units of the metric. */
  readonly shapley: number;
  readonly standardError: number;
}

function shapleyOf(surrogate: Surrogate, game: QuadraticGame, seed: number): Shapley {
  if (surrogate.link === 'identity') return identityShapley(surrogate, game);
  return game.players <= MOST_EXACT_PLAYERS ? exactShapley(surrogate, game) : sampledShapley(surrogate, game, seed);
}

/**
 * @param surrogates one a task
 * @param coefficients where; one for each dimension
 * @returns by task, then by contributor, in the order of the study; a contributor without a weight among the dimensions adds 0
 */
export function attribute(
  { tasks, contributors, dimensions, seed }: Pick<StudySpec, 'tasks' | 'contributors' | 'dimensions' | 'seed'>,
  surrogates: readonly Surrogate[],
  coefficients: readonly number[],
): Attribution[] {
  const players = dimensions.map(({ contributor }) => (contributor === undefined ? -1 : contributors.indexOf(contributor)));
  return tasks.flatMap(({ name: task }, t) => {
    const surrogate = surrogates[t];
    if (surrogate === undefined) return [];
    const { values, standardErrors } = shapleyOf(surrogate, quadraticGame(surrogate, players, contributors.length, coefficients), seed);
    return contributors.map((contributor, i) => ({
      task,
      contributor,
      shapley: values[i] as number,
      standardError: standardErrors[i] as number,
    }));
  });
}
