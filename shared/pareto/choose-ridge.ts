/**
 * Weighted linear least squares with a ridge that leave-one-out chooses. The leave-one-out residual of a linear smoother is r / (1 - h), h the
 * point's own weight in its fitted value (Allen's PRESS), so no fit is made twice; one reduction to tridiagonal form serves every ridge
 * (L. Elden, Algorithms for the regularization of ill-conditioned least squares problems, BIT 17, 1977).
 * A ridge is in units of measurements: 1 pulls on each standardised term as one measurement of average weight would. The constant is free.
 */
import { timesRows, timesVector, weightedGram } from './dense.js';
import type { StandardTerms } from './standard-terms.js';
import { factoriseShifted, shiftedForms, solveShifted, tridiagonalise } from './tridiagonal.js';

const SMALLEST = 1e-8;
const RIDGES: readonly number[] = [0, SMALLEST, 1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 2, 8, 30, 200, 1e4];
/** Then these times the best of those. */
const FINER: readonly number[] = [0.3, 0.5, 0.7, 1.4, 2, 3];

/** A system with a pivot below this share of its size is solved with a ridge only. */
const SINGULAR = 1e-11;

/** A point whose own weight is nearer to 1 decides a part of the fit alone: nothing tells what the fit would be without it. */
export const LEAST_SLACK = 1e-7;

export interface LinearFit {
  readonly ridge: number;
  /** Of the standard terms, the constant last. */
  readonly parameters: Float64Array;
  /** Of the leave-one-out predictions; Infinity: the ridge was given, or nothing tells. */
  readonly loss: number;
}

interface Reduced {
  readonly tridiagonal: ReturnType<typeof tridiagonalise>;
  /** Points x terms: the terms in the directions of the tridiagonal form. */
  readonly turned: Float64Array;
  readonly right: Float64Array;
  readonly mean: number;
}

/** The normal equations without the constant (the terms have mean 0), in tridiagonal form. */
function reduce({ size, rows }: StandardTerms, targets: Float64Array, weights: Float64Array): Reduced {
  const count = weights.length;
  const terms = size - 1;
  let mean = 0;
  for (let row = 0; row < count; row++) mean += (weights[row] as number) * (targets[row] as number);
  mean /= count;

  const turned = new Float64Array(count * terms);
  for (let row = 0; row < count; row++) turned.set(rows.subarray(row * size, row * size + terms), row * terms);
  const right = timesRows(
    turned,
    terms,
    targets.map((target, row) => (weights[row] as number) * (target - mean)),
  );
  const gram = weightedGram(turned, weights, terms);
  // A term that does not vary has a zero column; this keeps its parameter at 0 without a ridge too.
  for (let term = 0; term < terms; term++) if (gram[term * terms + term] === 0) gram[term * terms + term] = count;
  const tridiagonal = tridiagonalise(gram, terms);
  tridiagonal.rotate(turned);
  tridiagonal.rotate(right);
  return { tridiagonal, turned, right, mean };
}

/**
 * @param targets what the quadratic should be at each point
 * @param weights one a point, mean 1
 * @param loss of leave-one-out predictions of the quadratic, one a point
 * @param fixed the ridge, if it is not to be chosen
 */
export function chooseRidge(
  standard: StandardTerms,
  targets: Float64Array,
  weights: Float64Array,
  loss: (leftOut: Float64Array) => number,
  fixed?: number,
): LinearFit {
  const { tridiagonal, turned, right, mean } = reduce(standard, targets, weights);
  const count = weights.length;
  const terms = right.length;
  let norm = 0;
  for (let k = 0; k < terms; k++)
    norm = Math.max(norm, (tridiagonal.diagonal[k] as number) + 2 * Math.abs(k < terms - 1 ? (tridiagonal.beside[k] as number) : 0));

  /** The solution in the turned directions; undefined: there is none without a larger ridge. */
  const solve = (ridge: number): { readonly solution: Float64Array; readonly leftOut: Float64Array | undefined } | undefined => {
    const factor = factoriseShifted(tridiagonal, ridge, ridge > 0 ? 0 : SINGULAR * norm);
    if (factor === undefined) return undefined;
    const solution = right.slice();
    solveShifted(factor, solution);
    const forms = shiftedForms(factor, turned);
    const fitted = timesVector(turned, terms, solution);
    const leftOut = new Float64Array(count);
    for (let row = 0; row < count; row++) {
      const [weight, target] = [weights[row] as number, targets[row] as number];
      const slack = 1 - weight / count - weight * (forms[row] as number);
      if (slack < LEAST_SLACK) return { solution, leftOut: undefined };
      leftOut[row] = target - (target - mean - (fitted[row] as number)) / slack;
    }
    return { solution, leftOut };
  };

  let best: { readonly ridge: number; readonly loss: number; readonly solution: Float64Array } = {
    ridge: 0,
    loss: Infinity,
    solution: new Float64Array(terms),
  };
  if (fixed !== undefined) {
    const ridge = [fixed, ...RIDGES].find((candidate) => candidate >= fixed && solve(candidate) !== undefined) ?? fixed;
    best = { ...best, ridge, solution: solve(ridge)?.solution ?? best.solution };
  } else {
    let plain: Float64Array | undefined;
    const consider = (ridge: number): void => {
      const solved = solve(ridge);
      if (ridge === 0) plain = solved?.solution;
      if (solved?.leftOut === undefined) return;
      const value = loss(solved.leftOut);
      if (value < best.loss) best = { ridge, loss: value, solution: solved.solution };
    };
    for (const ridge of RIDGES) consider(ridge);
    const coarse = best.ridge;
    for (const factor of coarse > SMALLEST ? FINER : []) consider(factor * coarse);
    // Leave-one-out cannot judge a fit without a ridge where a point decides alone; where it wants next to none, none it is.
    if (best.ridge === SMALLEST && plain !== undefined) best = { ...best, ridge: 0, solution: plain };
  }
  const parameters = new Float64Array(terms + 1);
  parameters.set(best.solution);
  tridiagonal.rotateBack(parameters.subarray(0, terms));
  parameters[terms] = mean;
  return { ridge: best.ridge, parameters, loss: best.loss };
}
