/**
 * Shapley values of a quadratic game behind a link, and their standard errors. Three ways: in closed form for the identity, over all sets
 * of players for up to 16 of them, over random orders beyond (Castro, Gomez & Tejada 2009).
 */
import { linkSlope, linkValue } from './links.js';
import type { QuadraticGame } from './quadratic-game.js';
import { seededRandom, shuffle } from './seeded-random.js';
import type { Surrogate } from './study.js';

export interface Shapley {
  /** By player. */
  readonly values: Float64Array;
  readonly standardErrors: Float64Array;
}

export const MOST_EXACT_PLAYERS = 16;
/** Each order is also played backwards. */
const ORDERS = 2000;

/** Variance of a value with this derivative by parameter; 0 when the covariance is not known. */
function varianceOf({ covariance }: Surrogate, derivative: Float64Array): number {
  const size = derivative.length;
  if (covariance.length !== size * size) return 0;
  let variance = 0;
  for (let row = 0; row < size; row++) {
    const weight = derivative[row] as number;
    if (weight === 0) continue;
    let sum = 0;
    for (let column = 0; column < size; column++) sum += (covariance[row * size + column] as number) * (derivative[column] as number);
    variance += weight * sum;
  }
  return Math.max(variance, 0);
}

/**
 * Each player's own part and half of every pair it is in: with q(S) a sum of parts that need one or two players, the Shapley value is
 * linear in the parts, and who is needed for one shares it equally.
 */
export function identityShapley(surrogate: Surrogate, { players, own, pairs, terms, first, second }: QuadraticGame): Shapley {
  const values = Float64Array.from(own);
  const standardErrors = new Float64Array(players);
  const derivative = new Float64Array(terms.length);
  for (let i = 0; i < players; i++) {
    for (let j = 0; j < players; j++) values[i] = (values[i] as number) + 0.5 * (pairs[i * players + j] as number);
    for (let p = 0; p < terms.length; p++) {
      const alone = (first[p] as number) < 0;
      const share = alone ? (second[p] === i ? 1 : 0) : first[p] === i || second[p] === i ? 0.5 : 0;
      derivative[p] = share * (terms[p] as number);
    }
    standardErrors[i] = Math.sqrt(varianceOf(surrogate, derivative));
  }
  return { values, standardErrors };
}

/** q of every set of players; bit i of the index: player i is in. */
function quadraticOfSets({ players, constant, own, pairs }: QuadraticGame): Float64Array {
  const q = new Float64Array(1 << players);
  // Pairs of the lowest player of a set with the others of it, by the set of the others: built up one player at a time.
  const withOthers = new Float64Array(1 << Math.max(players - 1, 0));
  q[0] = constant;
  for (let low = players - 1; low >= 0; low--) {
    const others = players - 1 - low;
    withOthers[0] = 0;
    for (let bit = 0; bit < others; bit++) {
      const pair = pairs[low * players + low + 1 + bit] as number;
      for (let set = 0; set < 1 << bit; set++) withOthers[set + (1 << bit)] = (withOthers[set] as number) + pair;
    }
    for (let set = 0; set < 1 << others; set++) {
      const rest = set << (low + 1);
      q[rest + (1 << low)] = (q[rest] as number) + (own[low] as number) + (withOthers[set] as number);
    }
  }
  return q;
}

/** sums[S] becomes the sum over all sets that hold S. */
function sumOverSupersets(sums: Float64Array, players: number): void {
  for (let i = 0; i < players; i++) {
    const bit = 1 << i;
    for (let set = 0; set < sums.length; set++) if ((set & bit) === 0) sums[set] = (sums[set] as number) + (sums[set + bit] as number);
  }
}

/**
 * The definition: over all sets S without i, |S|! (n - |S| - 1)! / n! (v(S with i) - v(S)). The derivative by a parameter that needs
 * players a and b is the same sum of link slopes over the sets that hold a and b; sums over all supersets give them for every i, a and b at
 * once.
 */
export function exactShapley(surrogate: Surrogate, game: QuadraticGame): Shapley {
  const { link, parameters: _parameters, covariance, ...bounds } = surrogate;
  const { players, terms, first, second } = game;
  const values = new Float64Array(players);
  const standardErrors = new Float64Array(players);
  if (players === 0) return { values, standardErrors };
  const q = quadraticOfSets(game);
  const sets = q.length;
  /** By number of players in S: |S|! (n - |S| - 1)! / n!. */
  const weights = new Float64Array(players + 1);
  weights[0] = 1 / players;
  for (let size = 1; size < players; size++) weights[size] = ((weights[size - 1] as number) * size) / (players - size);
  const sizes = new Uint8Array(sets);
  for (let set = 1; set < sets; set++) sizes[set] = (sizes[set >> 1] as number) + (set & 1);
  const value = Float64Array.from(q, (own) => linkValue(link, bounds, own));
  for (let i = 0; i < players; i++) {
    const bit = 1 << i;
    let sum = 0;
    for (let set = 0; set < sets; set++)
      if ((set & bit) === 0) sum += (weights[sizes[set] as number] as number) * ((value[set + bit] as number) - (value[set] as number));
    values[i] = sum;
  }
  if (covariance.length !== terms.length * terms.length) return { values, standardErrors };
  /** What the slope at S counts as the set without i, and (together with the former) as the set with i. */
  const without = new Float64Array(sets);
  const both = new Float64Array(sets);
  for (let set = 0; set < sets; set++) {
    const slope = linkSlope(link, bounds, q[set] as number);
    const size = sizes[set] as number;
    without[set] = slope * (weights[size] as number);
    both[set] = (without[set] as number) + (size === 0 ? 0 : slope * (weights[size - 1] as number));
  }
  sumOverSupersets(without, players);
  sumOverSupersets(both, players);
  const derivative = new Float64Array(terms.length);
  for (let i = 0; i < players; i++) {
    for (let p = 0; p < terms.length; p++) {
      const needed =
        ((first[p] as number) < 0 ? 0 : 1 << (first[p] as number)) | ((second[p] as number) < 0 ? 0 : 1 << (second[p] as number));
      derivative[p] = (terms[p] as number) * ((both[needed | (1 << i)] as number) - (without[needed] as number));
    }
    standardErrors[i] = Math.sqrt(varianceOf(surrogate, derivative));
  }
  return { values, standardErrors };
}

/** The mean of what a player adds when it joins, over random orders and their reverses. */
export function sampledShapley(surrogate: Surrogate, game: QuadraticGame, seed: number, orders = ORDERS): Shapley {
  const { link, parameters: _parameters, covariance, ...bounds } = surrogate;
  const { players, constant, own, pairs, terms, first, second } = game;
  const random = seededRandom(seed);
  const order = Int32Array.from({ length: players }, (_, i) => i);
  const place = new Int32Array(players);
  const values = new Float64Array(players);
  const squares = new Float64Array(players);
  const added = new Float64Array(players);
  const slopes = new Float64Array(players + 1);
  const size = terms.length;
  const known = covariance.length === size * size;
  const derivatives = new Float64Array(known ? players * size : 0);

  const play = (): void => {
    let q = constant;
    let before = linkValue(link, bounds, q);
    slopes[0] = linkSlope(link, bounds, q);
    for (let at = 0; at < players; at++) {
      const i = order[at] as number;
      place[i] = at;
      q += own[i] as number;
      for (let earlier = 0; earlier < at; earlier++) q += pairs[i * players + (order[earlier] as number)] as number;
      const after = linkValue(link, bounds, q);
      slopes[at + 1] = linkSlope(link, bounds, q);
      added[i] = (added[i] as number) + 0.5 * (after - before);
      before = after;
    }
    if (!known) return;
    // A parameter counts from when the last player it needs has joined: for that player with the slope then, for later ones with what it
    // changes by.
    for (let p = 0; p < size; p++) {
      const a = first[p] as number;
      const b = second[p] as number;
      const from = Math.max(a < 0 ? -1 : (place[a] as number), b < 0 ? -1 : (place[b] as number));
      if (from >= 0) {
        const last = (order[from] as number) * size + p;
        derivatives[last] = (derivatives[last] as number) + 0.5 * (slopes[from + 1] as number);
      }
      for (let at = from + 1; at < players; at++) {
        const later = (order[at] as number) * size + p;
        derivatives[later] = (derivatives[later] as number) + 0.5 * ((slopes[at + 1] as number) - (slopes[at] as number));
      }
    }
  };

  for (let round = 1; round <= orders; round++) {
    shuffle(order, random);
    added.fill(0);
    play();
    order.reverse();
    play();
    for (let i = 0; i < players; i++) {
      const delta = (added[i] as number) - (values[i] as number);
      values[i] = (values[i] as number) + delta / round;
      squares[i] = (squares[i] as number) + delta * ((added[i] as number) - (values[i] as number));
    }
  }
  const standardErrors = new Float64Array(players);
  for (let i = 0; i < players; i++) {
    const derivative = derivatives.slice(i * size, known ? (i + 1) * size : 0).map((sum, p) => (sum / orders) * (terms[p] as number));
    const sampling = (squares[i] as number) / Math.max(orders - 1, 1) / orders;
    standardErrors[i] = Math.sqrt(sampling + (known ? varianceOf(surrogate, derivative) : 0));
  }
  return { values, standardErrors };
}
