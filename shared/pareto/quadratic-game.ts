/**
 * A quadratic at one point as a game of its contributors: with the coordinates of a set S of players in place and those of the others at 0,
 * q(S) = constant + sum over S of own_i + sum over pairs in S of pair_ij. Every parameter belongs to one of these parts, times what it
 * multiplies.
 */
import { quadraticSize, quadraticTerms } from './quadratic.js';
import type { Surrogate } from './study.js';

export interface QuadraticGame {
  readonly players: number;
  readonly constant: number;
  /** By player. */
  readonly own: Float64Array;
  /** players x players, symmetric, 0 on the diagonal. */
  readonly pairs: Float64Array;
  /** What each parameter is multiplied with at the point. */
  readonly terms: Float64Array;
  /** By parameter: the players it takes (-1: one less), the smaller number first. */
  readonly first: Int32Array;
  readonly second: Int32Array;
}

/**
 * @param playerOf by coordinate: the player who owns it; -1: nobody, it always stays
 * @param coefficients the point
 */
export function quadraticGame(
  { parameters }: Pick<Surrogate, 'parameters'>,
  playerOf: readonly number[],
  players: number,
  coefficients: readonly number[],
): QuadraticGame {
  const n = playerOf.length;
  const size = quadraticSize(n);
  const terms = new Float64Array(size);
  quadraticTerms(coefficients, terms);
  const first = new Int32Array(size).fill(-1);
  const second = new Int32Array(size).fill(-1);
  let at = 0;
  const take = (i: number, j: number): void => {
    const a = Math.min(i, j);
    const b = Math.max(i, j);
    second[at] = b;
    first[at++] = a === b ? -1 : a;
  };
  const player = (i: number): number => playerOf[i] ?? -1;
  for (let i = 0; i < n; i++) take(player(i), player(i));
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) take(player(i), player(j));
  for (let i = 0; i < n; i++) take(player(i), player(i));
  const own = new Float64Array(players);
  const pairs = new Float64Array(players * players);
  let constant = 0;
  for (let p = 0; p < size; p++) {
    const part = (parameters[p] ?? 0) * (terms[p] as number);
    const a = first[p] as number;
    const b = second[p] as number;
    if (b < 0) constant += part;
    else if (a < 0) own[b] = (own[b] as number) + part;
    else {
      pairs[a * players + b] = (pairs[a * players + b] as number) + part;
      pairs[b * players + a] = (pairs[b * players + a] as number) + part;
    }
  }
  return { players, constant, own, pairs, terms, first, second };
}
