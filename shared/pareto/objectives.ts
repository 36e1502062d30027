/**
 * What solvers see of a study: functions to be minimised over the unit box. Metrics that are maximised are turned around, the box of the
 * dimensions is scaled to [0, 1] (in the quadratics themselves), so no solver knows of units, directions or ranges.
 */
import { signOf } from './dominance.js';
import { type Bounds, comesDown } from './links.js';
import type { Dimension, LinkName, Surrogate, Task } from './study.js';

/** Any functions of a point of the unit box. */
export interface Problem {
  readonly dimensions: number;
  readonly objectives: number;
  /** Values to be minimised of the point at x[xAt...], into values[at...]. */
  evaluate(x: Float64Array, xAt: number, values: Float64Array, at: number): void;
}

/** What Newton's method needs of one point. All per objective, of the minimised function link(q). */
export interface Expansion {
  readonly values: Float64Array;
  /** d value / d q. */
  readonly slopes: Float64Array;
  /** d2 value / d q2. */
  readonly curvatures: Float64Array;
  /** d q / d x, objectives x dimensions. */
  readonly gradients: Float64Array;
  /** d2 q / d x2, objectives x dimensions x dimensions. */
  readonly hessians: Float64Array;
}

/** What is the same everywhere when every q is a quadratic. */
export interface Quadratics {
  readonly hessians: Float64Array;
  /** By objective: 1 when its minimised value rises with q, -1 when it falls. */
  readonly signs: Float64Array;
}

/**
 * Functions that can be differentiated twice. Who has no use for a link between q and the value says q = value: slopes are 1 and curvatures
 * 0. Where a derivative does not exist it may be infinite, with the sign that it has nearby, or NaN.
 */
export interface SmoothProblem extends Problem {
  /** Undefined when second derivatives of some q differ from point to point. */
  readonly quadratics?: Quadratics | undefined;
  /** Values and derivatives at x. Of an expansion made for `quadratics` the hessians must be left alone: they are there already. */
  expand(x: Float64Array, into: Expansion): void;
}

export interface SurrogateProblem extends SmoothProblem {
  readonly quadratics: Quadratics;
  /** From the unit box to coefficients, inside of their bounds. */
  toCoefficients(x: Float64Array, xAt?: number): number[];
  fromCoefficients(coefficients: readonly number[]): Float64Array;
}

/** Room for one expansion; hessians that are the same everywhere are shared, not copied. */
export function createExpansion({ objectives, dimensions, quadratics }: SmoothProblem): Expansion {
  return {
    values: new Float64Array(objectives),
    slopes: new Float64Array(objectives),
    curvatures: new Float64Array(objectives),
    gradients: new Float64Array(objectives * dimensions),
    hessians: quadratics?.hessians ?? new Float64Array(objectives * dimensions * dimensions),
  };
}

/** Value, slope and curvature of a link in one go, for metrics to be minimised: value = sign x metric. */
interface CompiledLink {
  readonly kind: 'identity' | 'sigmoid' | 'softplus' | 'softminus' | 'exp';
  readonly sign: number;
  readonly base: number;
  /** Of exp: 1 up from the base, -1 down from it. */
  readonly scale: number;
}

function compileLink(link: LinkName, bounds: Bounds, sign: number): CompiledLink {
  const { lower, upper } = bounds;
  if (link === 'identity') return { kind: 'identity', sign, base: 0, scale: 1 };
  if (link === 'sigmoid') return { kind: 'sigmoid', sign, base: lower ?? 0, scale: (upper ?? 1) - (lower ?? 0) };
  const down = comesDown(bounds);
  const base = (down ? upper : lower) ?? 0;
  if (link === 'exp') return { kind: 'exp', sign, base, scale: down ? -1 : 1 };
  return { kind: down ? 'softminus' : 'softplus', sign, base, scale: 1 };
}

function linkedValue({ kind, sign, base, scale }: CompiledLink, q: number): number {
  switch (kind) {
    case 'identity':
      return sign * q;
    case 'sigmoid':
      return sign * (base + scale / (1 + Math.exp(-q)));
    case 'softplus':
      return sign * (base + Math.max(q, 0) + Math.log1p(Math.exp(-Math.abs(q))));
    case 'softminus':
      return sign * (base - Math.max(-q, 0) - Math.log1p(Math.exp(-Math.abs(q))));
    case 'exp':
      return sign * (base + scale * Math.exp(scale * q));
  }
}

function linkInto(link: CompiledLink, q: number, t: number, { values, slopes, curvatures }: Expansion): void {
  const { kind, sign, scale } = link;
  values[t] = linkedValue(link, q);
  if (kind === 'identity') {
    slopes[t] = sign;
    curvatures[t] = 0;
    return;
  }
  if (kind === 'exp') {
    slopes[t] = sign * Math.exp(scale * q);
    curvatures[t] = scale * (slopes[t] as number);
    return;
  }
  const small = Math.exp(-Math.abs(q));
  const share = q >= 0 ? 1 / (1 + small) : small / (1 + small);
  const product = small / ((1 + small) * (1 + small));
  slopes[t] = sign * (kind === 'sigmoid' ? scale * product : kind === 'softplus' ? share : 1 - share);
  curvatures[t] = sign * (kind === 'sigmoid' ? scale * product * (1 - 2 * share) : kind === 'softplus' ? product : -product);
}

/**
 * The quadratics with x in place of c = lower + width x: hessian H with H_ii = 2 a_ii width_i^2 and H_ij = a_ij width_i width_j, gradient
 * and value at x = 0 of what c = lower gives.
 */
function substitute(
  parameters: readonly number[],
  dimensions: readonly Dimension[],
): { H: Float64Array; g: Float64Array; constant: number } {
  const n = dimensions.length;
  const H = new Float64Array(n * n);
  const g = new Float64Array(n);
  let cross = n;
  const linear = n + (n * (n - 1)) / 2;
  for (let i = 0; i < n; i++) {
    H[i * n + i] = 2 * (parameters[i] ?? 0);
    for (let j = i + 1; j < n; j++) H[i * n + j] = H[j * n + i] = parameters[cross++] ?? 0;
  }
  let constant = parameters[linear + n] ?? 0;
  for (let i = 0; i < n; i++) {
    let half = 0;
    for (let j = 0; j < n; j++) half += 0.5 * (H[i * n + j] as number) * (dimensions[j]?.lower ?? 0);
    const slope = parameters[linear + i] ?? 0;
    constant += (dimensions[i]?.lower ?? 0) * (slope + half);
    g[i] = slope + 2 * half;
  }
  const widths = dimensions.map(({ lower, upper }) => upper - lower);
  for (let i = 0; i < n; i++) {
    g[i] = (g[i] as number) * (widths[i] ?? 0);
    for (let j = 0; j < n; j++) H[i * n + j] = (H[i * n + j] as number) * (widths[i] ?? 0) * (widths[j] ?? 0);
  }
  return { H, g, constant };
}

/** @param surrogates one a task */
export function surrogateProblem(
  tasks: readonly Pick<Task, 'direction'>[],
  dimensions: readonly Dimension[],
  surrogates: readonly Surrogate[],
): SurrogateProblem {
  const n = dimensions.length;
  const count = tasks.length;
  const hessians = new Float64Array(count * n * n);
  const linears = new Float64Array(count * n);
  const constants = new Float64Array(count);
  const links: CompiledLink[] = [];
  for (const [t, { direction }] of tasks.entries()) {
    const { link, parameters = [], ...bounds } = surrogates[t] ?? { link: 'identity' as const };
    const { H, g, constant } = substitute(parameters, dimensions);
    hessians.set(H, t * n * n);
    linears.set(g, t * n);
    constants[t] = constant;
    links.push(compileLink(link, bounds, signOf(direction)));
  }
  const bounds = dimensions.map(({ lower, upper }) => ({ lower, upper }));
  return {
    dimensions: n,
    objectives: count,
    quadratics: { hessians, signs: Float64Array.from(links, ({ sign }) => sign) },
    evaluate(x, xAt, values, at) {
      for (let t = 0; t < count; t++) {
        let q = constants[t] as number;
        for (let i = 0; i < n; i++) {
          const row = (t * n + i) * n;
          let sum = (linears[t * n + i] as number) + 0.5 * (hessians[row + i] as number) * (x[xAt + i] as number);
          for (let j = i + 1; j < n; j++) sum += (hessians[row + j] as number) * (x[xAt + j] as number);
          q += sum * (x[xAt + i] as number);
        }
        values[at + t] = linkedValue(links[t] as CompiledLink, q);
      }
    },
    expand(x, into) {
      const { gradients } = into;
      for (let t = 0; t < count; t++) {
        let q = constants[t] as number;
        for (let i = 0; i < n; i++) {
          const row = (t * n + i) * n;
          let sum = 0;
          for (let j = 0; j < n; j++) sum += (hessians[row + j] as number) * (x[j] as number);
          const slope = linears[t * n + i] as number;
          q += (slope + 0.5 * sum) * (x[i] as number);
          gradients[t * n + i] = slope + sum;
        }
        linkInto(links[t] as CompiledLink, q, t, into);
      }
    },
    toCoefficients: (x, xAt = 0) =>
      bounds.map(({ lower, upper }, i) => Math.min(upper, Math.max(lower, lower + (upper - lower) * (x[xAt + i] as number)))),
    fromCoefficients: (coefficients) =>
      Float64Array.from(bounds, ({ lower, upper }, i) => Math.min(1, Math.max(0, ((coefficients[i] ?? lower) - lower) / (upper - lower)))),
  };
}
