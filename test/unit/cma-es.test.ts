import { describe, expect, it } from 'vitest';
import { drawGeneration, populationOf, startCma, updateCma } from '../../shared/pareto/designs/cma-es.js';
import { randomStream } from '../../shared/pareto/designs/random.js';

/** @returns the value at the centre after so many generations */
function descend(value: (x: readonly number[]) => number, size: number, generations: number): number {
  let state = startCma(
    Array.from({ length: size }, () => 0.5),
    0.3,
  );
  for (let generation = 0; generation < generations; generation++) {
    const points = drawGeneration(state, populationOf(size), randomStream(3, generation));
    for (const point of points) for (const part of point) expect(part >= 0 && part <= 1).toBe(true);
    state = updateCma(
      state,
      points
        .map((point) => ({ point, at: value(point) }))
        .sort((a, b) => a.at - b.at)
        .map(({ point }) => point),
    );
  }
  return value([...state.mean]);
}

describe('CMA-ES', () => {
  it('learns the shape of a narrow, turned valley', () => {
    const valley = (x: readonly number[]): number => {
      const [a = 0, b = 0, c = 0, d = 0] = x.map((part) => part - 0.4);
      return (a + b) ** 2 + 1e4 * (a - b) ** 2 + 10 * (c + d) ** 2 + 1e3 * (c - d + a) ** 2;
    };
    expect(descend(valley, 4, 250)).toBeLessThan(1e-10);
  });

  it('reaches a corner of the box', () => {
    expect(descend((x) => x.reduce((sum, part, index) => sum + (part - (index % 2)) ** 2, 0), 6, 120)).toBeLessThan(1e-4);
  });

  it('works with more coordinates than a full covariance would suit', () => {
    const size = 120;
    const start = Array.from({ length: size }, () => 0.5).reduce((sum, part) => sum + (part - 0.2) ** 2, 0);
    const value = (x: readonly number[]): number => x.reduce((sum, part) => sum + (part - 0.2) ** 2, 0);
    expect(descend(value, size, 300)).toBeLessThan(0.01 * start);
  });
});
