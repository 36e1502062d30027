/**
 * Problems with known fronts, over the unit box: ZDT (Zitzler, Deb & Thiele, Evolutionary Computation 8(2), 2000) and DTLZ (Deb, Thiele,
 * Laumanns & Zitzler, 2002). Everything is minimised.
 */
import type { Problem } from '../../shared/pareto/objectives.js';

export interface KnownProblem extends Problem {
  readonly name: string;
  /** So many points of the exact front, spread over all of it. */
  readonly front: (count: number) => number[][];
}

const grid = (count: number): number[] => Array.from({ length: count }, (_, k) => k / (count - 1));

function zdt(name: string, shape: (f1: number, g: number) => number, front: KnownProblem['front']): KnownProblem {
  const dimensions = 30;
  return {
    name,
    dimensions,
    objectives: 2,
    front,
    evaluate(x, xAt, values, at) {
      let sum = 0;
      for (let i = 1; i < dimensions; i++) sum += x[xAt + i] as number;
      const g = 1 + (9 * sum) / (dimensions - 1);
      const f1 = x[xAt] as number;
      values[at] = f1;
      values[at + 1] = g * shape(f1, g);
    },
  };
}

const third = (f1: number): number => 1 - Math.sqrt(f1) - f1 * Math.sin(10 * Math.PI * f1);

export const ZDT1 = zdt(
  'ZDT1',
  (f1, g) => 1 - Math.sqrt(f1 / g),
  (count) => grid(count).map((f1) => [f1, 1 - Math.sqrt(f1)]),
);
export const ZDT2 = zdt(
  'ZDT2',
  (f1, g) => 1 - (f1 / g) ** 2,
  (count) => grid(count).map((f1) => [f1, 1 - f1 * f1]),
);
/** Its front is the five falling parts of a curve. */
export const ZDT3 = zdt(
  'ZDT3',
  (f1, g) => 1 - Math.sqrt(f1 / g) - (f1 / g) * Math.sin(10 * Math.PI * f1),
  (count) => {
    let least = Infinity;
    return grid(4 * count).flatMap((f1) => {
      const f2 = third(f1);
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

/** The front is the simplex of sum 1/2. */
export const DTLZ1: KnownProblem = {
  name: 'DTLZ1',
  dimensions: 7,
  objectives: 3,
  front: (count) => simplexGrid(count).map((point) => point.map((value) => value / 2)),
  evaluate(x, xAt, values, at) {
    let g = 5;
    for (let i = 2; i < 7; i++) {
      const away = (x[xAt + i] as number) - 0.5;
      g += away * away - Math.cos(20 * Math.PI * away);
    }
    const scale = 0.5 * (1 + 100 * g);
    const a = x[xAt] as number;
    const b = x[xAt + 1] as number;
    values[at] = scale * a * b;
    values[at + 1] = scale * a * (1 - b);
    values[at + 2] = scale * (1 - a);
  },
};

/** The front is the part of the unit sphere where nothing is negative. */
export const DTLZ2: KnownProblem = {
  name: 'DTLZ2',
  dimensions: 12,
  objectives: 3,
  front: (count) => simplexGrid(count).map((point) => point.map((value) => value / Math.hypot(...point))),
  evaluate(x, xAt, values, at) {
    let g = 0;
    for (let i = 2; i < 12; i++) g += ((x[xAt + i] as number) - 0.5) ** 2;
    const a = 0.5 * Math.PI * (x[xAt] as number);
    const b = 0.5 * Math.PI * (x[xAt + 1] as number);
    values[at] = (1 + g) * Math.cos(a) * Math.cos(b);
    values[at + 1] = (1 + g) * Math.cos(a) * Math.sin(b);
    values[at + 2] = (1 + g) * Math.sin(a);
  },
};
