/** Optimisers of the server over rounds (Reddi et al., arXiv 2003.00295; momentum: arXiv 1909.06335), one step from a given state. */
import { at, combination, plus, scaled, type Vector } from './vectors.js';

export interface AdaptiveOptions {
  readonly serverLr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly tau: number;
  /** Number of the round, from 1, for Flower's bias correction; undefined: none. */
  readonly biasCorrectionRound?: number;
}

export interface AdaptiveState {
  readonly m: Vector;
  readonly v: Vector;
}

/** The task vectors' mean, Delta, is the pseudo-gradient. Returns what is added to the weights, and the next state. */
export function fedAdaptive(
  kind: 'fedadam' | 'fedyogi',
  delta: Vector,
  state: AdaptiveState,
  { serverLr, beta1, beta2, tau, biasCorrectionRound }: AdaptiveOptions,
): { update: Vector; state: AdaptiveState } {
  const m = combination([state.m, delta], [beta1, 1 - beta1]);
  const squares = delta.map((value) => value * value);
  const v =
    kind === 'fedadam'
      ? combination([state.v, squares], [beta2, 1 - beta2])
      : state.v.map((old, index) => old - (1 - beta2) * at(squares, index) * Math.sign(old - at(squares, index)));
  const power = (biasCorrectionRound ?? 0) + 1;
  const correction = biasCorrectionRound === undefined ? 1 : Math.sqrt(1 - beta2 ** power) / (1 - beta1 ** power);
  return { update: m.map((value, index) => (serverLr * correction * value) / (Math.sqrt(at(v, index)) + tau)), state: { m, v } };
}

/** m <- momentum m + Delta; the weights move by server_lr m. */
export function fedavgm(delta: Vector, m: Vector, serverLr: number, momentum: number): { update: Vector; m: Vector } {
  const next = plus(scaled(m, momentum), delta);
  return { update: scaled(next, serverLr), m: next };
}
