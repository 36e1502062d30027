/**
 * Links between a quadratic and a metric (MAP, arXiv 2406.07529, section 3.2): sigmoid for metrics between two bounds, softplus for metrics
 * with one, identity for any. All are increasing in q, but softplus down from an upper bound, which is upper - softplus(-q), is increasing too.
 */
import type { LinkName } from './study.js';

export interface Bounds {
  readonly lower?: number | undefined;
  readonly upper?: number | undefined;
}

const sigmoid = (q: number): number => (q >= 0 ? 1 / (1 + Math.exp(-q)) : Math.exp(q) / (1 + Math.exp(q)));

/** log(1 + exp(q)) without overflow. */
const softplus = (q: number): number => Math.max(q, 0) + Math.log1p(Math.exp(-Math.abs(q)));

/** The metric at q. */
export function linkValue(link: LinkName, { lower, upper }: Bounds, q: number): number {
  switch (link) {
    case 'identity':
      return q;
    case 'sigmoid': {
      const low = lower ?? 0;
      return low + ((upper ?? 1) - low) * sigmoid(q);
    }
    case 'softplus':
      return lower === undefined && upper !== undefined ? upper - softplus(-q) : (lower ?? 0) + softplus(q);
  }
}

/** d metric / d q. */
export function linkSlope(link: LinkName, { lower, upper }: Bounds, q: number): number {
  switch (link) {
    case 'identity':
      return 1;
    case 'sigmoid': {
      const s = sigmoid(q);
      return ((upper ?? 1) - (lower ?? 0)) * s * (1 - s);
    }
    case 'softplus':
      return lower === undefined && upper !== undefined ? sigmoid(-q) : sigmoid(q);
  }
}

/** The q whose metric is `value`, which must lie strictly inside of the bounds. */
export function linkInverse(link: LinkName, { lower, upper }: Bounds, value: number): number {
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
      return lower === undefined && upper !== undefined ? -inverseSoftplus(upper - value) : inverseSoftplus(value - (lower ?? 0));
  }
}
