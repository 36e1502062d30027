/**
 * Links between a quadratic and a metric (MAP, arXiv 2406.07529, section 3.2): sigmoid for metrics between two bounds, softplus for metrics
 * with one, identity for any. Ours besides: exp for metrics with one bound that are known as powers, such as perplexity, the exponential of a
 * loss; unlike softplus it knows no unit. All are increasing in q: down from an upper bound they are upper - softplus(-q) and upper - exp(-q).
 */
import type { LinkName } from './study.js';

export interface Bounds {
  readonly lower?: number | undefined;
  readonly upper?: number | undefined;
}

const sigmoid = (q: number): number => (q >= 0 ? 1 / (1 + Math.exp(-q)) : Math.exp(q) / (1 + Math.exp(q)));

/** log(1 + exp(q)) without overflow. */
const softplus = (q: number): number => Math.max(q, 0) + Math.log1p(Math.exp(-Math.abs(q)));

/** Whether a metric comes down from its only bound instead of going up from it. */
export const comesDown = ({ lower, upper }: Bounds): boolean => lower === undefined && upper !== undefined;

/** The metric at q. */
export function linkValue(link: LinkName, bounds: Bounds, q: number): number {
  const { lower, upper } = bounds;
  switch (link) {
    case 'identity':
      return q;
    case 'sigmoid': {
      const low = lower ?? 0;
      return low + ((upper ?? 1) - low) * sigmoid(q);
    }
    case 'softplus':
      return comesDown(bounds) ? (upper ?? 0) - softplus(-q) : (lower ?? 0) + softplus(q);
    case 'exp':
      return comesDown(bounds) ? (upper ?? 0) - Math.exp(-q) : (lower ?? 0) + Math.exp(q);
  }
}

/** d metric / d q. */
export function linkSlope(link: LinkName, bounds: Bounds, q: number): number {
  const { lower, upper } = bounds;
  switch (link) {
    case 'identity':
      return 1;
    case 'sigmoid': {
      const s = sigmoid(q);
      return ((upper ?? 1) - (lower ?? 0)) * s * (1 - s);
    }
    case 'softplus':
      return comesDown(bounds) ? sigmoid(-q) : sigmoid(q);
    case 'exp':
      return comesDown(bounds) ? Math.exp(-q) : Math.exp(q);
  }
}

/** The q whose metric is `value`, which must lie strictly inside of the bounds. */
export function linkInverse(link: LinkName, bounds: Bounds, value: number): number {
  const { lower, upper } = bounds;
  // log(exp(x) - 1) = x + log(1 - exp(-x))
  const inverseSoftplus = (x: number): number => x + Math.log(-Math.expm1(-x));
  switch (link) {
    case 'identity':
      return value;
    case 'sigmoid': {
      const low = lower ?? 0;
      const share = (value - low) / ((upper ?? 1) - low);
      return Math.log(share) - Math.log1p(-share);
    }
    case 'softplus':
      return comesDown(bounds) ? -inverseSoftplus((upper ?? 0) - value) : inverseSoftplus(value - (lower ?? 0));
    case 'exp':
      return comesDown(bounds) ? -Math.log((upper ?? 0) - value) : Math.log(value - (lower ?? 0));
  }
}
