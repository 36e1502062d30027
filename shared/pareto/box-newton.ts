/**
 * Minimises a scalar function of the objectives inside of the unit box by projected Newton steps (Bertsekas, SIAM J. Control Optim. 20(2),
 * 1982): coordinates that lie on a bound and want to leave the box are held, the others take a Newton step, the path is bent back into the
 * box until the value has fallen enough. Second derivatives are exact. Where the Hessian is not positive definite a multiple of the unit
 * matrix is added. Coordinates whose derivatives are not finite take no part in the step: when nothing else moves, they are searched
 * one by one, downhill as far as a derivative has a sign. It finds a local minimum; the value never rises.
 */
import { createCoordinateSearch } from './coordinate-search.js';
import { createExpansion, type Expansion, type SmoothProblem } from './objectives.js';

/** A function h of the objectives' values, to be minimised. */
export interface Scalarisation {
  readonly value: (values: Float64Array, at: number) => number;
  /**
   * Derivatives at `values`: d h / d value into slopes, and its second derivatives as diag(curvatures) - spread spread^T.
   * @returns the value
   */
  readonly expand: (values: Float64Array, slopes: Float64Array, curvatures: Float64Array, spread: Float64Array) => number;
}

export interface NewtonOptions {
  readonly iterations: number;
  /** Ends when a step promises less than this share of the value's size. */
  readonly tolerance: number;
}

/** Buffers for one problem, used again by every minimisation. */
export interface BoxNewton {
  /** @param x where to start; holds the minimum afterwards. @returns the value there */
  minimise(scalarisation: Scalarisation, x: Float64Array, options: NewtonOptions): number;
}

const ARMIJO = 1e-4;
const MOST_HALVINGS = 30;
/** What a Hessian of zeros gets on its diagonal: the step then ends on the bounds. */
const TINY = 1e-200;

/** A pivot below this share of its diagonal is nothing but rounding. */
const ROUNDING = 1e-13;

/** Lower triangle of a positive definite matrix into its Cholesky factor, in place. @returns false when it is not positive definite */
function factorise(H: Float64Array, n: number, stride: number): boolean {
  for (let i = 0; i < n; i++) {
    const least = ROUNDING * (H[i * stride + i] as number);
    for (let j = 0; j <= i; j++) {
      let sum = H[i * stride + j] as number;
      for (let k = 0; k < j; k++) sum -= (H[i * stride + k] as number) * (H[j * stride + k] as number);
      if (i !== j) H[i * stride + j] = sum / (H[j * stride + j] as number);
      else if (sum > 0 && sum >= least) H[i * stride + i] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

function solveFactored(L: Float64Array, n: number, stride: number, b: Float64Array): void {
  for (let i = 0; i < n; i++) {
    let sum = b[i] as number;
    for (let k = 0; k < i; k++) sum -= (L[i * stride + k] as number) * (b[k] as number);
    b[i] = sum / (L[i * stride + i] as number);
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i] as number;
    for (let k = i + 1; k < n; k++) sum -= (L[k * stride + i] as number) * (b[k] as number);
    b[i] = sum / (L[i * stride + i] as number);
  }
}

/** The Hessian of the scalarised function in the free coordinates, lower triangle: sum of a_t H_t + b_t g_t g_t^T, less s s^T. */
function assemble(
  { objectives, dimensions: n }: SmoothProblem,
  { slopes: linkSlopes, curvatures: linkCurvatures, gradients, hessians }: Expansion,
  outer: { readonly slopes: Float64Array; readonly curvatures: Float64Array; readonly spread: Float64Array },
  free: { readonly list: Int32Array; readonly count: number },
  spreadGradient: Float64Array,
  H: Float64Array,
): void {
  const { list, count } = free;
  for (let a = 0; a < count; a++) H.fill(0, a * n, a * n + a + 1);
  spreadGradient.fill(0);
  let spreads = false;
  for (let t = 0; t < objectives; t++) {
    const slope = outer.slopes[t] as number;
    const link = linkSlopes[t] as number;
    const first = slope * link;
    const second = slope * (linkCurvatures[t] as number) + (outer.curvatures[t] as number) * link * link;
    const spread = (outer.spread[t] as number) * link;
    if (first === 0 && second === 0 && spread === 0) continue;
    const ofTask = t * n;
    for (let a = 0; a < count; a++) {
      const i = list[a] as number;
      const gi = second * (gradients[ofTask + i] as number);
      const row = (ofTask + i) * n;
      for (let b = 0; b <= a; b++) {
        const j = list[b] as number;
        H[a * n + b] = (H[a * n + b] as number) + first * (hessians[row + j] as number) + gi * (gradients[ofTask + j] as number);
      }
    }
    if (spread === 0) continue;
    spreads = true;
    for (let a = 0; a < count; a++)
      spreadGradient[a] = (spreadGradient[a] as number) + spread * (gradients[ofTask + (list[a] as number)] as number);
  }
  if (!spreads) return;
  for (let a = 0; a < count; a++)
    for (let b = 0; b <= a; b++) H[a * n + b] = (H[a * n + b] as number) - (spreadGradient[a] as number) * (spreadGradient[b] as number);
}

export function createBoxNewton(problem: SmoothProblem): BoxNewton {
  const { dimensions: n, objectives } = problem;
  const expansion = createExpansion(problem);
  const outer = {
    slopes: new Float64Array(objectives),
    curvatures: new Float64Array(objectives),
    spread: new Float64Array(objectives),
  };
  const gradient = new Float64Array(n);
  const step = new Float64Array(n);
  const trial = new Float64Array(n);
  const values = new Float64Array(objectives);
  const hessian = new Float64Array(n * n);
  const factor = new Float64Array(n * n);
  const spreadGradient = new Float64Array(n);
  const search = createCoordinateSearch(problem);
  const list = new Int32Array(n);
  const held = new Uint8Array(n);
  /** Coordinates that derivatives say too little of. */
  const singular = new Uint8Array(n);

  const listFree = (): number => {
    let count = 0;
    for (let i = 0; i < n; i++) if (held[i] === 0) list[count++] = i;
    return count;
  };

  const hold = (i: number): void => {
    held[i] = 1;
    singular[i] = 1;
  };

  /**
   * Holds free coordinates with second derivatives that are not finite, which is so too when the first is not: `assemble` multiplies by it.
   * With mixed ones one of both coordinates is enough.
   */
  const holdSingular = (count: number): number => {
    for (let a = 0; a < count; a++) if (!Number.isFinite(hessian[a * n + a])) hold(list[a] as number);
    for (let a = 0; a < count; a++)
      for (let b = 0; b < a; b++)
        if (held[list[a] as number] === 0 && held[list[b] as number] === 0 && !Number.isFinite(hessian[a * n + b])) hold(list[a] as number);
    return listFree();
  };

  /** The Newton step of the free coordinates into `step`. @returns how many of them are free still */
  const solve = (free: number): number => {
    assemble(problem, expansion, outer, { list, count: free }, spreadGradient, hessian);
    let count = free;
    let largest = 0;
    for (let a = 0; a < count; a++) for (let b = 0; b <= a; b++) largest = Math.max(largest, Math.abs(hessian[a * n + b] as number));
    if (!(largest < Infinity)) {
      count = holdSingular(count);
      return count === 0 ? 0 : solve(count);
    }
    let shift = 0;
    for (;;) {
      for (let a = 0; a < count; a++) {
        for (let b = 0; b < a; b++) factor[a * n + b] = hessian[a * n + b] as number;
        factor[a * n + a] = (hessian[a * n + a] as number) + shift;
      }
      if (factorise(factor, count, n)) break;
      shift = shift === 0 ? Math.max(1e-3 * largest, TINY) : shift * 8;
    }
    for (let a = 0; a < count; a++) step[a] = -(gradient[list[a] as number] as number);
    solveFactored(factor, count, n, step);
    return count;
  };

  /** @returns whether coordinates on a bound were to be pushed out of the box by the step; they are held now */
  const holdOutgoing = (x: Float64Array, count: number): boolean => {
    let found = false;
    for (let a = 0; a < count; a++) {
      const i = list[a] as number;
      const outgoing = (x[i] === 0 && (step[a] as number) < 0) || (x[i] === 1 && (step[a] as number) > 0);
      if (!outgoing) continue;
      held[i] = 1;
      found = true;
    }
    return found;
  };

  /** Expands at x and holds what cannot move. @returns the value there */
  const look = (scalarisation: Scalarisation, x: Float64Array): number => {
    problem.expand(x, expansion);
    const value = scalarisation.expand(expansion.values, outer.slopes, outer.curvatures, outer.spread);
    gradient.fill(0);
    for (let t = 0; t < objectives; t++) {
      const weight = (outer.slopes[t] as number) * (expansion.slopes[t] as number);
      if (weight === 0) continue;
      for (let i = 0; i < n; i++) gradient[i] = (gradient[i] as number) + weight * (expansion.gradients[t * n + i] as number);
    }
    singular.fill(0);
    for (let i = 0; i < n; i++) {
      const g = gradient[i] as number;
      held[i] = (x[i] === 0 && g >= 0) || (x[i] === 1 && g <= 0) ? 1 : 0;
    }
    return value;
  };

  /** One step from x, where the value is `value`. @returns the value where it ends; `value` when no step is worth it */
  const advance = (scalarisation: Scalarisation, x: Float64Array, value: number, tolerance: number): number => {
    let count = listFree();
    if (count > 0) count = solve(count);
    if (count > 0 && holdOutgoing(x, count)) {
      count = listFree();
      if (count > 0) count = solve(count);
    }
    let promised = 0;
    for (let a = 0; a < count; a++) promised -= (step[a] as number) * (gradient[list[a] as number] as number);
    if (!(promised > tolerance * (Math.abs(value) + tolerance))) return value;
    for (let halving = 0, length = 1; halving < MOST_HALVINGS; halving++, length /= 2) {
      trial.set(x);
      let expected = 0;
      for (let a = 0; a < count; a++) {
        const i = list[a] as number;
        const to = Math.min(1, Math.max(0, (x[i] as number) + length * (step[a] as number)));
        expected += (gradient[i] as number) * (to - (x[i] as number));
        trial[i] = to;
      }
      problem.evaluate(trial, 0, values, 0);
      const reached = scalarisation.value(values, 0);
      if (!(expected < 0 && reached <= value + ARMIJO * expected && reached < value && reached > -Infinity)) continue;
      x.set(trial);
      return reached;
    }
    return value;
  };

  const minimise = (scalarisation: Scalarisation, x: Float64Array, { iterations, tolerance }: NewtonOptions): number => {
    let value = Infinity;
    for (let iteration = 0; iteration < iterations; iteration++) {
      const before = look(scalarisation, x);
      value = advance(scalarisation, x, before, tolerance);
      if (value < before) continue;
      value = singular.includes(1) ? search.descend(scalarisation, x, before, gradient, singular) : before;
      if (!(value < before)) return value;
    }
    return value;
  };
  return { minimise };
}
