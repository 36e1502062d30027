import { describe, expect, it } from 'vitest';
import { binOf, deviationOfMeans, fromPolar, probabilities, scoreBins, toPolar } from '../../shared/pareto/designs/angles.js';
import { levelsOf, pairUp, type Side } from '../../shared/pareto/designs/nested-tree.js';
import { nextBatch, plannedCandidates } from '../../shared/pareto/designs/next-batch.js';
import { randomStream } from '../../shared/pareto/designs/random.js';
import { sampleBox } from '../../shared/pareto/designs/sample-box.js';
import { SOBOL_DIMENSIONS, sobolPoint } from '../../shared/pareto/designs/sobol.js';
import type { Dimension, StudySpec } from '../../shared/pareto/study.js';
import { accuracyTask, measureBatch, playStudy, studyOf } from '../support/pareto-study.js';

describe('oracles of Bayesian MAP', () => {
  it('angles', () => {
    const flat = toPolar([3, 4]);
    expect(flat.radius).toBe(5);
    expect(flat.angles[0]).toBeCloseTo(0.927295, 6);
    const diagonal = toPolar([1, 1, 1]);
    expect(diagonal.radius).toBeCloseTo(1.732051, 6);
    expect(diagonal.angles[0]).toBeCloseTo(0.955317, 6);
    expect(diagonal.angles[1]).toBeCloseTo(0.785398, 6);
    for (const [index, value] of fromPolar(toPolar([0.2, 0, 0.7, 0.1])).entries())
      expect(value).toBeCloseTo([0.2, 0, 0.7, 0.1][index] as number, 14);
  });

  it('bins', () => {
    const bins = [0.1, 0.1, 0.5, 0.9, 1.3].map((angle) => binOf([angle], 4));
    const scored = scoreBins(bins, [0.04, 0.02, 0.01, 0.09, 0], 0, randomStream(1));
    const scores = scored.map(({ score }) => score);
    for (const [index, expected] of [0.03, 0.01, 0.09, 0].entries()) expect(scores[index]).toBeCloseTo(expected, 12);
    const shares = probabilities(scores, 0.07);
    for (const [index, expected] of [0.2101, 0.1579, 0.4951, 0.1369].entries()) expect(shares[index]).toBeCloseTo(expected, 4);
  });

  it('deviations of subset means do not shrink from call to call', () => {
    const random = randomStream(5);
    const values = Array.from({ length: 20 }, (_, index) => index);
    const deviations = Array.from({ length: 40 }, () => deviationOfMeans(values, random));
    // Means of 16 of 20 values without replacement: sqrt(35 / 16 * 4 / 20) of 0 ... 19.
    const expected = Math.sqrt((35 / 16) * (4 / 20));
    for (const half of [deviations.slice(0, 20), deviations.slice(20)]) {
      const mean = half.reduce((sum, value) => sum + value, 0) / half.length;
      expect(Math.abs(mean / expected - 1)).toBeLessThan(0.15);
    }
    expect(deviationOfMeans([3], random)).toBe(0);
  });
});

describe('the Sobol sequence', () => {
  it('has one point in every slice of every coordinate', () => {
    expect(SOBOL_DIMENSIONS).toBe(100);
    for (const seed of [0, 1, 99]) {
      const points = Array.from({ length: 64 }, (_, index) => sobolPoint(index, SOBOL_DIMENSIONS, seed));
      for (let dimension = 0; dimension < SOBOL_DIMENSIONS; dimension++) {
        const slices = new Set(points.map((point) => Math.floor(64 * (point[dimension] as number))));
        expect(slices.size).toBe(64);
      }
    }
  });

  it('fills squares of the first two coordinates, one point each', () => {
    const points = Array.from({ length: 64 }, (_, index) => sobolPoint(index, 2, 3));
    for (const [across, down] of [
      [8, 8],
      [16, 4],
      [2, 32],
    ] as const) {
      const cells = new Set(points.map(([x = 0, y = 0]) => `${Math.floor(across * x)} ${Math.floor(down * y)}`));
      expect(cells.size).toBe(64);
    }
  });

  it('differs by seed and goes beyond its table', () => {
    expect(sobolPoint(5, 3, 1)).not.toEqual(sobolPoint(5, 3, 2));
    const far = Array.from({ length: 200 }, (_, index) => sobolPoint(index, SOBOL_DIMENSIONS + 3, 1).at(-1) as number);
    expect(new Set(far).size).toBe(200);
    expect(Math.abs(far.reduce((sum, value) => sum + value, 0) / 200 - 0.5)).toBeLessThan(0.1);
  });

  it('integrates better than uniform draws', () => {
    const integrand = (point: readonly number[]): number => point.reduce((product, value) => product * (1 + 0.5 * (value - 0.5)), 1);
    const errorOf = (sampler: StudySpec['sampler']): number => {
      let squares = 0;
      for (let seed = 0; seed < 20; seed++) {
        const points = sampleBox({ ...studyOf(6), sampler, seed }, 128, new Set(), 0);
        squares += (points.reduce((sum, point) => sum + integrand(point), 0) / 128 - 1) ** 2;
      }
      return Math.sqrt(squares / 20);
    };
    expect(errorOf('sobol')).toBeLessThan(0.2 * errorOf('uniform'));
  });
});

describe('the first batch', () => {
  it('has the base, every single and the average, then samples, (N + 1)(N + 2) in all', () => {
    const spec = studyOf(3);
    const batch = nextBatch(spec, []);
    expect(batch.map(({ kind }) => kind)).toEqual([
      'base',
      'single',
      'single',
      'single',
      'average',
      ...Array.from({ length: 15 }, () => 'sample'),
    ]);
    expect(batch[2]).toEqual({ kind: 'single', label: 'b', coefficients: [0, 1, 0] });
    expect(batch[4]?.coefficients).toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect(plannedCandidates(spec)).toBe(20);
    expect(
      nextBatch(
        spec,
        measureBatch(spec, batch, () => 0.5, 0, 0),
      ),
    ).toEqual([]);
  });

  it('covers anchors and parameters, also where the box does not hold 1', () => {
    const dimensions: Dimension[] = [
      ...['a', 'b'].flatMap((contributor) =>
        [0, 1].map((anchor) => ({ name: `${contributor}[${anchor}]`, contributor, anchor, lower: 0, upper: 0.7, neutral: 1 })),
      ),
      { name: 'lambda', lower: 0.5, upper: 1.5, neutral: 0.8 },
    ];
    const batch = nextBatch(studyOf(2, { dimensions, budget: { kind: 'evaluations', evaluations: 17 } }), []);
    expect(batch.slice(0, 4).map(({ coefficients }) => coefficients)).toEqual([
      [0, 0, 0, 0, 0.8],
      [1, 1, 0, 0, 0.8],
      [0, 0, 1, 1, 0.8],
      [0.5, 0.5, 0.5, 0.5, 0.8],
    ]);
    expect(batch).toHaveLength(8);
  });

  it('has one reference point where only parameters vary, and where there is one contributor no average of its own', () => {
    const lambda: Dimension = { name: 'lambda', lower: 0.5, upper: 1.5, neutral: 1 };
    expect(nextBatch(studyOf(2, { dimensions: [lambda] }), [])[0]).toEqual({ kind: 'average', coefficients: [1] });
    expect(
      nextBatch(studyOf(1), [])
        .slice(0, 3)
        .map(({ kind }) => kind),
    ).toEqual(['base', 'single', 'sample']);
  });
});

describe('the greedy soup', () => {
  /** Each contribution has a worth; a soup is as good as the mean of its members', a little better for being a soup. */
  const worths = [0.7, 0.9, 0.2, 0.85];
  const soupy = (coefficients: readonly number[]): number => {
    const members = coefficients.filter((value) => value > 0).length;
    return coefficients.reduce((sum, value, index) => sum + value * (worths[index] as number), 0) + 0.04 * Math.max(members - 1, 0);
  };

  it('takes contributions by how good they are alone, and only those that do not harm', () => {
    const spec = studyOf(4, { greedySoup: true, tasks: [accuracyTask('t')], budget: { kind: 'candidates', candidates: 10 } });
    const history = playStudy(spec, soupy);
    const soups = history.filter(({ kind }) => kind === 'soup').map(({ coefficients }) => coefficients);
    // b; with d 0.875 + 0.04 is better; with a 0.8167 + 0.08 is not; with c neither.
    expect(soups).toEqual([
      [0, 0.5, 0, 0.5],
      [1 / 3, 1 / 3, 0, 1 / 3],
      [0, 1 / 3, 1 / 3, 1 / 3],
    ]);
    expect(history.filter(({ kind }) => kind === 'result')).toMatchObject([{ label: 'greedy_soup', coefficients: [0, 0.5, 0, 0.5] }]);
    expect(history.filter(({ kind }) => kind !== 'soup' && kind !== 'result')).toHaveLength(10);
  });

  it('goes on without what could not be measured', () => {
    const spec = studyOf(4, { greedySoup: true, tasks: [accuracyTask('t')] });
    const history = playStudy(spec, (c) => (c[1] === 1 || c.filter((value) => value > 0).length === 2 ? undefined : soupy(c)));
    // b's own model is unknown, and so is every pair: d stays alone.
    expect(history.find(({ label }) => label === 'greedy_soup')?.coefficients).toEqual([0, 0, 0, 1]);
  });
});

describe('nested pairs', () => {
  const side = (tasks: number[], score?: number): Side => ({ direction: [], tasks, score });

  it('joins those most alike, and gives sides without tasks to others first', () => {
    const [a, b, c, d] = [side([0], 0.9), side([1], 0.5), side([2], 0.55), side([3], 0.8)];
    expect(pairUp([a, b, c, d])).toEqual({
      pairs: [
        { left: b, right: c },
        { left: a, right: d },
      ],
      waiting: [],
    });
    const idle = side([]);
    expect(pairUp([idle, b, c])).toEqual({ pairs: [{ left: b, right: idle }], waiting: [c] });
    expect(pairUp([a, b, c]).waiting).toEqual([a]);
  });

  it('knows how many levels there are', () => {
    expect([1, 2, 3, 4, 5, 8, 9].map((sides) => levelsOf(sides, 0))).toEqual([0, 1, 2, 2, 3, 3, 4]);
    expect(levelsOf(4, 3)).toBe(3);
    expect(levelsOf(4, 2)).toBe(2);
  });
});
