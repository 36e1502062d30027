/** The oracles of MAP (arXiv 2406.07529) that can be worked out by hand: the segment c1 + c2 = 1 and its front. */
import { describe, expect, it } from 'vitest';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { winRate } from '../../shared/pareto/indicators.js';
import { choose } from '../../shared/pareto/queries.js';
import type { Question } from '../../shared/pareto/question.js';
import { searchFront } from '../../shared/pareto/search-front.js';
import { SEGMENT } from '../support/surrogates.js';

const { tasks, surrogates } = SEGMENT;
const front = searchFront(SEGMENT, surrogates);
const directions = tasks.map(({ direction }) => direction);

const preference = (first: number, second: number): Question => ({
  by: 'preference',
  weights: [
    { task: 'task-0', weight: first },
    { task: 'task-1', weight: second },
  ],
  scalarisation: 'linear',
});

describe('the segment of MAP', () => {
  it('has its front, (1 - 2 (1 - t)^2, 1 - 2 t^2), to 99.9 % of the hypervolume 10/3', () => {
    const { value } = hypervolume(
      front.points.map(({ predicted }) => predicted),
      [-1, -1],
      directions,
    );
    expect(value).toBeLessThanOrEqual(10 / 3);
    expect(value).toBeGreaterThan((0.999 * 10) / 3);
    for (const { coefficients, predicted } of front.points) {
      const [t = 0, other = 0] = coefficients;
      expect(t + other).toBeCloseTo(1, 3);
      expect(predicted[0]).toBeCloseTo(1 - 2 * (1 - t) ** 2, 3);
      expect(predicted[1]).toBeCloseTo(1 - 2 * t ** 2, 3);
    }
  });

  it('tells both hypervolumes, and serves the larger', () => {
    expect(front.hypervolume[front.solver]).toBe(Math.max(front.hypervolume.gradient, front.hypervolume.nsga3));
    expect(front.hypervolume.nsga3).toBeGreaterThan(0.98 * front.hypervolume.gradient);
    expect(
      hypervolume(
        front.points.map(({ predicted }) => predicted),
        front.referencePoint,
        directions,
      ).value,
    ).toBeCloseTo(front.hypervolume[front.solver], 9);
  });

  it('answers preference (1, 1) with the middle and (3, 1) with t = 3/4', () => {
    const context = { ...SEGMENT, front };
    const even = choose(preference(1, 1), context);
    expect(even.point.coefficients[0]).toBeCloseTo(0.5, 6);
    expect(even.point.coefficients[1]).toBeCloseTo(0.5, 6);
    expect(even.point.predicted[0]).toBeCloseTo(0.5, 6);
    expect(even.score).toBeCloseTo(Math.SQRT1_2, 9);
    const three = choose(preference(3, 1), context);
    expect(three.point.coefficients[0]).toBeCloseTo(0.75, 6);
    expect(three.point.coefficients[1]).toBeCloseTo(0.25, 6);
    expect(three.point.predicted[0]).toBeCloseTo(0.875, 6);
    expect(three.point.predicted[1]).toBeCloseTo(-0.125, 6);
    expect(three.score).toBeCloseTo((3 * 0.875 - 0.125) / Math.sqrt(10), 9);
    expect(choose(preference(6, 2), context).point.coefficients[0]).toBeCloseTo(0.75, 6);
  });

  it('has a win rate of 5/8', () => {
    const a = [
      [0.9, 0.5],
      [0.7, 0.7],
    ];
    const b = [
      [0.8, 0.6],
      [0.6, 0.65],
    ];
    expect(winRate(a, b, directions)).toBe(5 / 8);
  });
});
