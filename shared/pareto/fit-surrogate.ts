/**
 * A surrogate of one task from its measurements: which link, how precise each measurement is, and whether the result may be served.
 * Everything is arithmetic on the input in a fixed order: the same measurements give the same surrogate.
 */
import { type FitInput, fitLink, type LinkFit } from './fit-link.js';
import { type Bounds, linkInverse } from './links.js';
import { clipOf, type MeasuredPoint, meanOf, observe } from './observations.js';
import { quadraticSize } from './quadratic.js';
import type { LinkName, Surrogate, SurrogateQuality, SurrogateSettings, Task } from './study.js';

/** Another link has to be better by so much before the one that the metric's bounds ask for is given up. */
const NEAR_TIE = 0.95;
/** Precisions that differ by less are not worth a second fit. */
const EVEN = 1.1;

/** Precisions of mean 1. */
function scaled(precisions: Float64Array): Float64Array {
  const mean = meanOf(precisions);
  return precisions.map((precision) => precision / mean);
}

/** The link that the metric's bounds ask for, then what else they allow. */
function linksOf({ lower, upper }: Task, { link }: SurrogateSettings): readonly [LinkName, ...LinkName[]] {
  if (link !== 'auto') return [link];
  if (lower !== undefined && upper !== undefined) return ['sigmoid', 'identity'];
  return lower !== undefined || upper !== undefined ? ['softplus', 'identity', 'exp'] : ['identity'];
}

/** Standard errors leave out that the surface is no quadratic; what residuals show beyond them is added (DerSimonian and Laird, 1986). */
function withSpread(standardErrors: Float64Array, { variance }: LinkFit): { readonly precisions: Float64Array; readonly variance: number } {
  const squares = standardErrors.map((error) => error * error);
  const spread = Number.isFinite(variance) ? Math.max(0, variance - meanOf(squares)) : 0;
  const precisions = squares.map((square) => 1 / (square + spread));
  return { precisions: scaled(precisions), variance: 1 / meanOf(precisions) };
}

function isUneven(precisions: Float64Array): boolean {
  let low = Infinity;
  let high = 0;
  for (const precision of precisions) {
    low = Math.min(low, precision);
    high = Math.max(high, precision);
  }
  return high > EVEN * low;
}

/** 1: as measured; 0: no better than the mean. */
function explained(values: Float64Array, predicted: Float64Array): number {
  const mean = meanOf(values);
  let total = 0;
  let left = 0;
  for (let row = 0; row < values.length; row++) {
    const [value, guess] = [values[row] as number, predicted[row] as number];
    total += (value - mean) * (value - mean);
    left += (value - guess) * (value - guess);
  }
  return 1 - left / total;
}

/** To within rounding. */
function isConstant(values: Float64Array): boolean {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high - low <= Math.max(1e-13 * Math.max(Math.abs(low), Math.abs(high)), 1e-150);
}

const bounded = ({ lower, upper }: Task): Bounds => ({
  ...(lower === undefined ? {} : { lower }),
  ...(upper === undefined ? {} : { upper }),
});

/** What never changes has no slope to find: the constant is the truth. Nothing at all is the middle of what is possible. */
function constantSurrogate(
  task: Task,
  link: LinkName,
  dimensions: number,
  value: number | undefined,
  quality: SurrogateQuality,
): Surrogate {
  const bounds = bounded(task);
  const { lower, upper } = bounds;
  const guess = value ?? (lower !== undefined && upper !== undefined ? (lower + upper) / 2 : (lower ?? upper ?? 0));
  const parameters = Array.from({ length: quadraticSize(dimensions) }, () => 0);
  const clip = 1e-9 * (lower !== undefined && upper !== undefined ? upper - lower : Math.max(1, Math.abs(guess)));
  let inside = guess;
  if (link !== 'identity') {
    if (lower !== undefined) inside = Math.max(inside, lower + clip);
    if (upper !== undefined) inside = Math.min(inside, upper - clip);
  }
  parameters[parameters.length - 1] = linkInverse(link, bounds, inside);
  return { link, ...bounds, parameters, covariance: [], quality };
}

/** Array.from takes twenty times as long. */
function plainArray(values: Float64Array): number[] {
  const plain: number[] = [];
  for (let at = 0; at < values.length; at++) plain.push(values[at] as number);
  return plain;
}

/** A distinct point, its (mean) value, and what the fit without it says; in units of the metric. */
export interface LeftOutPoint {
  readonly coefficients: readonly number[];
  readonly value: number;
  readonly leftOut: number;
}

export interface DetailedFit {
  readonly surrogate: Surrogate;
  readonly points: readonly LeftOutPoint[];
}

/**
 * @param points with `dimensions` coefficients each; those whose value is not finite do not count
 * @returns always a surrogate; `quality.usable` says whether it may be served, and `quality.reason` why not
 */
export function fitSurrogate(task: Task, settings: SurrogateSettings, dimensions: number, points: readonly MeasuredPoint[]): Surrogate {
  return fitInDetail(task, settings, dimensions, points).surrogate;
}

/** The same, with what each measured point looked like to a fit without it. */
export function fitInDetail(task: Task, settings: SurrogateSettings, dimensions: number, points: readonly MeasuredPoint[]): DetailedFit {
  const seen = observe(points);
  const { values, counts, standardErrors } = seen;
  const measurements = values.length;
  const least = dimensions + 2;
  const tooFew = measurements < least ? `${measurements} distinct points are measured, and a fit needs ${least}` : undefined;
  const [first] = values;
  if (first === undefined || isConstant(values)) {
    const quality = { r2: 1, heldOutR2: 1, heldOutRmse: 0, measurements, ridge: 0, usable: tooFew === undefined, reason: tooFew };
    const link = settings.link === 'auto' ? 'identity' : settings.link;
    const surrogate = constantSurrogate(task, link, dimensions, first, first === undefined ? { ...quality, r2: 0, heldOutR2: 0 } : quality);
    return { surrogate, points: seen.points.map((coefficients) => ({ coefficients, value: first ?? 0, leftOut: first ?? 0 })) };
  }

  const bounds = bounded(task);
  const even = new Float64Array(measurements).fill(1);
  let input: FitInput = {
    dimensions,
    points: seen.points,
    values,
    precisions: counts === undefined || standardErrors !== undefined ? even : scaled(counts),
    bounds,
    clip: clipOf(bounds, seen),
    ridge: settings.ridge,
  };
  const [own, ...others] = linksOf(task, settings);
  let fit = fitLink(input, own);
  const nearTie = NEAR_TIE * fit.leftOutRmse;
  for (const link of others) {
    const other = fitLink(input, link);
    if (other.leftOutRmse < Math.min(nearTie, fit.leftOutRmse)) fit = other;
  }
  let { variance } = fit;
  if (standardErrors !== undefined) {
    const weighed = withSpread(standardErrors, fit);
    ({ variance } = weighed);
    if (isUneven(weighed.precisions)) {
      input = { ...input, precisions: weighed.precisions };
      fit = fitLink(input, fit.link);
    }
  }

  const heldOutR2 = explained(values, fit.leftOut);
  const explainsNothing =
    heldOutR2 < settings.minR2
      ? `held-out R2 is ${heldOutR2.toFixed(3)}, below ${settings.minR2}: the surrogate does not explain this metric`
      : undefined;
  const reason = tooFew ?? explainsNothing;
  const surrogate: Surrogate = {
    link: fit.link,
    ...bounds,
    parameters: [...fit.parameters],
    covariance: Number.isFinite(variance) ? plainArray(fit.covarianceAt(variance)) : [],
    quality: {
      r2: explained(values, fit.fitted),
      heldOutR2,
      heldOutRmse: fit.leftOutRmse,
      measurements,
      ridge: fit.ridge,
      usable: reason === undefined,
      reason,
    },
  };
  const left = seen.points.map((coefficients, row) => ({
    coefficients,
    value: values[row] as number,
    leftOut: fit.leftOut[row] as number,
  }));
  return { surrogate, points: left };
}
