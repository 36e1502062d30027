/**
 * Levenberg-Marquardt on the weighted squared error of the metric itself plus the ridge, from the closed form on; it only ever takes steps
 * that lower both together. The matrix is factorised anew only where the last factor does not serve.
 */
import { factorise, solveFactorised, timesRows, timesVector, weightedGram } from './dense.js';
import type { FitInput } from './fit-link.js';
import { linkSlope, linkValue } from './links.js';
import type { StandardTerms } from './standard-terms.js';
import type { LinkName } from './study.js';

const MOST_STEPS = 30;
/** A factor of the matrix serves again for the next step as long as each step gains less than this share of what the one before did. */
const SLOW = 0.2;
/** How far beyond what the measurements ask for the quadratic may go at a measured point, on its own scale. */
const REACH = 3;

/** A fit on its way. */
export interface PolishedFit {
  readonly parameters: Float64Array;
  /** The quadratic at the points. */
  readonly q: Float64Array;
  readonly objective: number;
}

export function polish(
  standard: StandardTerms,
  input: FitInput,
  link: LinkName,
  start: Float64Array,
  penalty: number,
  targets: Float64Array,
): PolishedFit {
  const { size, rows } = standard;
  const { values, precisions, bounds } = input;
  const count = values.length;
  let low = Infinity;
  let high = -Infinity;
  for (const target of targets) {
    low = Math.min(low, target);
    high = Math.max(high, target);
  }
  const reach = high - low + REACH;
  /** Undefined: the quadratic leaves what the measurements can tell apart. */
  const evaluate = (parameters: Float64Array, free: boolean): PolishedFit | undefined => {
    const q = timesVector(rows, size, parameters);
    let objective = 0;
    for (let row = 0; row < count; row++) {
      const sum = q[row] as number;
      if (!free && (sum < low - reach || sum > high + reach)) return undefined;
      const residual = (values[row] as number) - linkValue(link, bounds, sum);
      objective += (precisions[row] as number) * residual * residual;
    }
    for (let term = 0; term + 1 < size; term++) objective += penalty * (parameters[term] as number) * (parameters[term] as number);
    return { parameters, q, objective };
  };

  let state = evaluate(start, true) as PolishedFit;
  let scale = 0;
  for (let row = 0; row < count; row++) scale += (precisions[row] as number) * (values[row] as number) * (values[row] as number);
  /** Where the factor leads from the state, where that is better. */
  const tryFactor = (factor: Float64Array, gradient: Float64Array): PolishedFit | undefined => {
    const move = gradient.slice();
    solveFactorised(factor, size, move);
    for (let term = 0; term < size; term++) move[term] = (move[term] as number) + (state.parameters[term] as number);
    const tried = evaluate(move, false);
    return tried !== undefined && tried.objective < state.objective ? tried : undefined;
  };
  let damping = 1e-10;
  let kept: Float64Array | undefined;
  let before = Infinity;
  const steps = link !== 'identity' ? MOST_STEPS : penalty > 0 ? 0 : 2;
  for (let step = 0; step < steps && state.objective > 1e-30 * scale; step++) {
    const { weights, gradient } = slopesAt(standard, input, link, state, penalty);
    let next = kept === undefined ? undefined : tryFactor(kept, gradient);
    const again = next !== undefined;
    if (next === undefined) {
      const curvature = curvatureOf(standard, weights, penalty);
      for (; damping < 1e8 && next === undefined; damping *= 100) {
        kept = curvature.slice();
        for (let term = 0; term < size; term++) kept[term * size + term] = (kept[term * size + term] as number) * (1 + damping);
        next = factorise(kept, size) ? tryFactor(kept, gradient) : undefined;
      }
      damping /= 100;
    }
    if (next === undefined) break;
    const gain = state.objective - next.objective;
    const small = gain < 1e-9 * state.objective;
    const slow = gain > SLOW * before;
    state = next;
    before = gain;
    if (small && !(again && slow)) break;
    if (slow) kept = undefined;
    if (!again) damping = Math.max(damping / 100, 1e-12);
  }
  return state;
}

/** Precisions in the quadratic, and minus half of the objective's gradient. */
export function slopesAt(
  { size, rows }: StandardTerms,
  { values, precisions, bounds }: FitInput,
  link: LinkName,
  { parameters, q }: PolishedFit,
  penalty: number,
): { readonly weights: Float64Array; readonly gradient: Float64Array } {
  const weights = new Float64Array(values.length);
  const pulls = new Float64Array(values.length);
  for (let row = 0; row < values.length; row++) {
    const slope = linkSlope(link, bounds, q[row] as number);
    const precision = precisions[row] as number;
    weights[row] = precision * slope * slope;
    pulls[row] = precision * slope * ((values[row] as number) - linkValue(link, bounds, q[row] as number));
  }
  const gradient = timesRows(rows, size, pulls);
  for (let term = 0; term + 1 < size; term++) gradient[term] = (gradient[term] as number) - penalty * (parameters[term] as number);
  return { weights, gradient };
}

/** Gauss-Newton's matrix. A term without influence gets 1 on the diagonal: it stays where it is. */
export function curvatureOf({ size, rows }: StandardTerms, weights: Float64Array, penalty: number): Float64Array {
  const curvature = weightedGram(rows, weights, size);
  for (let term = 0; term < size; term++) {
    const at = term * size + term;
    if (term + 1 < size) curvature[at] = (curvature[at] as number) + penalty;
    if (curvature[at] === 0) curvature[at] = 1;
  }
  return curvature;
}
