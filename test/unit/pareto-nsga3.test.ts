/** NSGA-III on problems whose fronts are known. */
import { describe, expect, it } from 'vitest';
import { generationalDistance, invertedGenerationalDistance } from '../../shared/pareto/indicators.js';
import { nsga3 } from '../../shared/pareto/nsga3.js';
import { referenceDirections } from '../../shared/pareto/reference-directions.js';
import { exactFront, rowsOf, shareOfVolume } from '../support/fronts.js';
import { DTLZ1, DTLZ2, type KnownProblem, ZDT1, ZDT2, ZDT3 } from '../support/pareto-problems.js';

const solve = (problem: KnownProblem, generations: number, seed = 1) =>
  nsga3(problem, { directions: referenceDirections(problem.objectives, 100), generations, seed, mostPoints: 200 });

interface Expected {
  readonly problem: KnownProblem;
  readonly generations: number;
  readonly distance: number;
  readonly inverted: number;
  /** Share of the hypervolume of the exact front. */
  readonly share: number;
  readonly reference: number;
}

const CASES: readonly Expected[] = [
  { problem: ZDT1, generations: 300, distance: 0.002, inverted: 0.008, share: 0.985, reference: 1.1 },
  { problem: ZDT2, generations: 300, distance: 0.002, inverted: 0.008, share: 0.98, reference: 1.1 },
  { problem: ZDT3, generations: 300, distance: 0.002, inverted: 0.015, share: 0.985, reference: 1.1 },
  { problem: DTLZ1, generations: 400, distance: 0.015, inverted: 0.03, share: 0.95, reference: 0.6 },
  { problem: DTLZ2, generations: 200, distance: 0.02, inverted: 0.07, share: 0.9, reference: 1.1 },
];

describe('NSGA-III', () => {
  it.each(CASES)('comes to the front of $problem.name and covers it', ({ problem, generations, distance, inverted, share, reference }) => {
    const front = exactFront(problem);
    const { population, archive } = solve(problem, generations);
    const rows = rowsOf(population);
    expect(generationalDistance(rows, front)).toBeLessThan(distance);
    expect(invertedGenerationalDistance(rows, front)).toBeLessThan(inverted);
    expect(shareOfVolume(problem, rows, reference)).toBeGreaterThan(share);
    expect(shareOfVolume(problem, rowsOf(archive), reference)).toBeGreaterThan(share);
    expect(archive.count).toBeLessThanOrEqual(200);
  });

  it('is the same run for the same seed, another for another, and stays in the box', () => {
    const [first, again, other] = [solve(DTLZ2, 20), solve(DTLZ2, 20), solve(DTLZ2, 20, 2)];
    expect(again.population.x).toEqual(first.population.x);
    expect(again.archive.values).toEqual(first.archive.values);
    expect(other.population.x).not.toEqual(first.population.x);
    for (const value of first.archive.x) expect(value >= 0 && value <= 1).toBe(true);
  });
});
