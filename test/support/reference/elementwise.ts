/** Rules that look at one coordinate of all contributions at a time, without transforms in front. */
import { across, at, mean, median, sum, type Vector } from './vectors.js';

/** FedGMA (arXiv 2411.18607): A = |sum of signs| / N; mask 1 where A >= rho, A elsewhere; mask x sum (or mean). */
export function fedgma(taus: readonly Vector[], rho: number, aggregate: 'sum' | 'mean' = 'sum'): Vector {
  return across(taus, (elements) => {
    const agreement = Math.abs(sum(elements.map(Math.sign))) / elements.length;
    const mask = agreement >= rho ? 1 : agreement;
    return mask * (aggregate === 'sum' ? sum(elements) : mean(elements));
  });
}

export function coordinateMedian(taus: readonly Vector[], even: 'mean' | 'lower' = 'mean'): Vector {
  return across(taus, (elements) => median(elements, even));
}

/** Mean without the floor(trim N) smallest and as many largest values (Yin et al., arXiv 1803.01498). */
export function trimmedMean(taus: readonly Vector[], trim: number): Vector {
  return across(taus, (elements) => {
    const drop = Math.floor(trim * elements.length);
    return mean(elements.toSorted((a, b) => a - b).slice(drop, elements.length - drop));
  });
}

/** base moved towards the other where they are near: q = clamp(t / max(|a - b|, 1e-6), 0, 1), out = q b + (1 - q) a. */
export function nearswap(a: Vector, b: Vector, t: number): Vector {
  return across([a, b], (elements) => {
    const [from, to] = [at(elements, 0), at(elements, 1)];
    const q = Math.min(1, Math.max(0, t / Math.max(Math.abs(from - to), 1e-6)));
    return q * to + (1 - q) * from;
  });
}
