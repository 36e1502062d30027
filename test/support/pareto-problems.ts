/**
 * Problems with known fronts and exact derivatives, over the unit box: ZDT (Zitzler, Deb & Thiele, Evolutionary Computation 8(2), 2000) and
 * DTLZ (Deb, Thiele, Laumanns & Zitzler, 2002). Everything is minimised. A link would be of no use: q is the value itself.
 */
import type { Expansion, SmoothProblem } from '../../shared/pareto/objectives.js';

export interface KnownProblem extends SmoothProblem {
  readonly name: string;
  /** So many points of the exact front, spread over all of it. */
  readonly front: (count: number) => number[][];
}

const grid = (count: number): number[] => Array.from({ length: count }, (_, k) => k / (count - 1));

/** A function of two variables: value, both first derivatives, then uu, uv, vv. */
type Shape = readonly [number, number, number, number, number, number];

function withoutLinks({ slopes, curvatures }: Expansion): void {
  slopes.fill(1);
  curvatures.fill(0);
}

/** f1 is the first variable u, f2 a function of u and g, and g rises from 1 to 10 with the sum of the others. */
function zdt(name: string, shape: (u: number, g: number) => Shape, front: KnownProblem['front']): KnownProblem {
  const dimensions = 30;
  const rise = 9 / (dimensions - 1);
  const shapeAt = (x: Float64Array, xAt: number): Shape => {
    let sum = 0;
    for (let i = 1; i < dimensions; i++) sum += x[xAt + i] as number;
    return shape(x[xAt] as number, 1 + rise * sum);
  };
  return {
    name,
    dimensions,
    objectives: 2,
    front,
    evaluate(x, xAt, values, at) {
      values[at] = x[xAt] as number;
      values[at + 1] = shapeAt(x, xAt)[0];
    },
    expand(x, into) {
      const { values, gradients, hessians } = into;
      const [value, u, g, uu, ug, gg] = shapeAt(x, 0);
      withoutLinks(into);
      values[0] = x[0] as number;
      values[1] = value;
      gradients.fill(0);
      gradients[0] = 1;
      hessians.fill(0);
      for (let i = 0; i < dimensions; i++) {
        gradients[dimensions + i] = i === 0 ? u : g * rise;
        for (let j = 0; j < dimensions; j++) {
          const second = i === 0 && j === 0 ? uu : i === 0 || j === 0 ? ug * rise : gg * rise * rise;
          hessians[(dimensions + i) * dimensions + j] = second;
        }
      }
    },
  };
}

/** g - sqrt(u g). At u = 0 it falls infinitely fast, and that is what its derivatives say. */
const root = (u: number, g: number): Shape => [
  g - Math.sqrt(u * g),
  -0.5 * Math.sqrt(g / u),
  1 - 0.5 * Math.sqrt(u / g),
  (0.25 * Math.sqrt(g / u)) / u,
  -0.25 / Math.sqrt(u * g),
  (0.25 * Math.sqrt(u / g)) / g,
];

export const ZDT1 = zdt('ZDT1', root, (count) => grid(count).map((f1) => [f1, 1 - Math.sqrt(f1)]));

export const ZDT2 = zdt(
  'ZDT2',
  (u, g) => [g - (u * u) / g, (-2 * u) / g, 1 + (u / g) ** 2, -2 / g, (2 * u) / g ** 2, (-2 * u * u) / g ** 3],
  (count) => grid(count).map((f1) => [f1, 1 - f1 * f1]),
);

const WAVES = 10 * Math.PI;

/** Its front is the five falling parts of a curve. */
export const ZDT3 = zdt(
  'ZDT3',
  (u, g) => {
    const [value, first, ofG, second, mixed, ofGG] = root(u, g);
    const [sin, cos] = [Math.sin(WAVES * u), WAVES * Math.cos(WAVES * u)];
    return [value - u * sin, first - sin - u * cos, ofG, second - 2 * cos + u * WAVES * WAVES * sin, mixed, ofGG];
  },
  (count) => {
    let least = Infinity;
    return grid(4 * count).flatMap((f1) => {
      const f2 = 1 - Math.sqrt(f1) - f1 * Math.sin(WAVES * f1);
      if (f2 >= least) return [];
      least = f2;
      return [[f1, f2]];
    });
  },
);

/** Points of the unit simplex or sphere of three objectives. */
function simplexGrid(count: number): number[][] {
  const divisions = Math.ceil(Math.sqrt(2 * count));
  return grid(divisions + 1).flatMap((a, i) => grid(divisions + 1 - i || 1).map((_, k) => [a, k / divisions, 1 - a - k / divisions]));
}

interface Dtlz {
  readonly name: string;
  readonly dimensions: number;
  /** What a variable that is so far from the middle adds to the distance, and its first two derivatives. */
  readonly away: (distance: number) => readonly [number, number, number];
  /** Where on the front, in the first two variables. */
  readonly shapes: (u: number, v: number) => readonly [Shape, Shape, Shape];
  readonly front: KnownProblem['front'];
}

/** Every objective is 1 + the sum of the distances of all variables but two, times its shape. */
function dtlz({ name, dimensions, away, shapes, front }: Dtlz): KnownProblem {
  const scaleAt = (x: Float64Array, xAt: number): number => {
    let scale = 1;
    for (let i = 2; i < dimensions; i++) scale += away((x[xAt + i] as number) - 0.5)[0];
    return scale;
  };
  return {
    name,
    dimensions,
    objectives: 3,
    front,
    evaluate(x, xAt, values, at) {
      const scale = scaleAt(x, xAt);
      for (const [t, [value]] of shapes(x[xAt] as number, x[xAt + 1] as number).entries()) values[at + t] = scale * value;
    },
    expand(x, into) {
      const { values, gradients, hessians } = into;
      const scale = scaleAt(x, 0);
      withoutLinks(into);
      hessians.fill(0);
      for (const [t, [value, u, v, uu, uv, vv]] of shapes(x[0] as number, x[1] as number).entries()) {
        const row = t * dimensions;
        const set = (i: number, j: number, second: number): void => {
          hessians[(row + i) * dimensions + j] = hessians[(row + j) * dimensions + i] = second;
        };
        values[t] = scale * value;
        gradients[row] = scale * u;
        gradients[row + 1] = scale * v;
        set(0, 0, scale * uu);
        set(0, 1, scale * uv);
        set(1, 1, scale * vv);
        for (let i = 2; i < dimensions; i++) {
          const [, slope, curvature] = away((x[i] as number) - 0.5);
          gradients[row + i] = value * slope;
          set(0, i, u * slope);
          set(1, i, v * slope);
          set(i, i, value * curvature);
        }
      }
    },
  };
}

/** The front is the simplex of sum 1/2. There are 11^5 valleys. */
export const DTLZ1 = dtlz({
  name: 'DTLZ1',
  dimensions: 7,
  away: (d) => {
    const [cos, sin] = [Math.cos(2 * WAVES * d), Math.sin(2 * WAVES * d)];
    return [100 * (1 + d * d - cos), 100 * (2 * d + 2 * WAVES * sin), 100 * (2 + 4 * WAVES * WAVES * cos)];
  },
  shapes: (u, v) => [
    [0.5 * u * v, 0.5 * v, 0.5 * u, 0, 0.5, 0],
    [0.5 * u * (1 - v), 0.5 * (1 - v), -0.5 * u, 0, -0.5, 0],
    [0.5 * (1 - u), -0.5, 0, 0, 0, 0],
  ],
  front: (count) => simplexGrid(count).map((point) => point.map((value) => value / 2)),
});

/** The front is the part of the unit sphere where nothing is negative. */
export const DTLZ2 = dtlz({
  name: 'DTLZ2',
  dimensions: 12,
  away: (d) => [d * d, 2 * d, 2],
  shapes: (u, v) => {
    const turn = 0.5 * Math.PI;
    const [a, da] = [Math.cos(turn * u), -turn * Math.sin(turn * u)];
    const [b, db] = [Math.cos(turn * v), -turn * Math.sin(turn * v)];
    const [c, dc] = [Math.sin(turn * v), turn * Math.cos(turn * v)];
    const bend = -turn * turn;
    return [
      [a * b, da * b, a * db, bend * a * b, da * db, bend * a * b],
      [a * c, da * c, a * dc, bend * a * c, da * dc, bend * a * c],
      [Math.sin(turn * u), turn * a, 0, bend * Math.sin(turn * u), 0, 0],
    ];
  },
  front: (count) => simplexGrid(count).map((point) => point.map((value) => value / Math.hypot(...point))),
});

/** How far a variable is moved at the middle of the box. */
const MOVED = 0.1;

/**
 * The same front from other points of the box: variables are bent, and every other one is turned around. Fronts of these problems begin in
 * corners and in the middle of the box, where a search may begin too; those of moved ones do not.
 */
export function moved(problem: KnownProblem): KnownProblem {
  const { dimensions: n, objectives } = problem;
  const turned = (i: number): boolean => i % 2 === 0;
  const from = new Float64Array(n);
  const slopes = new Float64Array(n);
  const move = (x: Float64Array, xAt: number): void => {
    for (let i = 0; i < n; i++) {
      const own = x[xAt + i] as number;
      const bent = own + 4 * MOVED * own * (1 - own);
      const slope = 1 + 4 * MOVED * (1 - 2 * own);
      from[i] = turned(i) ? 1 - bent : bent;
      slopes[i] = turned(i) ? -slope : slope;
    }
  };
  return {
    ...problem,
    name: `${problem.name}, moved`,
    evaluate(x, xAt, values, at) {
      move(x, xAt);
      problem.evaluate(from, 0, values, at);
    },
    expand(x, into) {
      move(x, 0);
      problem.expand(from, into);
      const { gradients, hessians } = into;
      for (let at = 0; at < objectives * n; at++) {
        const i = at % n;
        for (let j = 0; j < n; j++) hessians[at * n + j] = (hessians[at * n + j] as number) * (slopes[i] as number) * (slopes[j] as number);
        const bend = turned(i) ? 8 * MOVED : -8 * MOVED;
        hessians[at * n + i] = (hessians[at * n + i] as number) + bend * (gradients[at] as number);
        gradients[at] = (gradients[at] as number) * (slopes[i] as number);
      }
    },
  };
}
