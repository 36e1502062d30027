/** Distances, win rates, hypervolumes and reference directions against values worked out by hand. */
import { describe, expect, it } from 'vitest';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { generationalDistance, invertedGenerationalDistance, winRate } from '../../shared/pareto/indicators.js';
import { dasDennis, dasDennisSize, referenceDirections } from '../../shared/pareto/reference-directions.js';
import type { Direction } from '../../shared/pareto/study.js';

const up: readonly Direction[] = ['maximize', 'maximize'];

describe('indicators', () => {
  it('takes mean Euclidean distances, each way', () => {
    const front = [
      [0, 0],
      [3, 4],
    ];
    const reference = [
      [0, 0],
      [0, 1],
    ];
    expect(generationalDistance(front, reference)).toBeCloseTo((0 + Math.hypot(3, 3)) / 2, 12);
    expect(invertedGenerationalDistance(front, reference)).toBeCloseTo((0 + 1) / 2, 12);
  });

  it('counts wins over pairs and tasks, in the direction of each task', () => {
    const a = [
      [0.9, 0.5],
      [0.7, 0.7],
    ];
    const b = [
      [0.8, 0.6],
      [0.6, 0.65],
    ];
    expect(winRate(a, b, up)).toBe(5 / 8);
    expect(winRate(b, a, up)).toBe(3 / 8);
    expect(winRate(a, b, ['minimize', 'minimize'])).toBe(3 / 8);
    expect(winRate(a, a, up)).toBe(2 / 8);
  });
});

describe('hypervolume', () => {
  it('is the area under stairs, whatever is dominated, equal or beyond the reference point', () => {
    const points = [
      [3, 1],
      [1, 3],
      [2, 2],
      [2, 2],
      [1, 1],
      [-1, 9],
    ];
    expect(hypervolume(points, [0, 0], up)).toEqual({ value: 6, method: 'exact', standardError: 0 });
    expect(hypervolume([[3, 2]], [1, 1], up).value).toBe(2);
    expect(hypervolume([[1, 2]], [3, 1], ['minimize', 'maximize']).value).toBe(2);
    expect(hypervolume([], [0, 0], up).value).toBe(0);
    expect(hypervolume([[2], [5]], [1], ['maximize']).value).toBe(4);
  });

  it('adds boxes in three and five tasks', () => {
    const three = [
      [2, 1, 1],
      [1, 2, 1],
      [1, 1, 2],
    ];
    expect(hypervolume(three, [0, 0, 0], ['maximize', 'maximize', 'maximize']).value).toBe(4);
    const five = Array.from({ length: 5 }, (_, t) => Array.from({ length: 5 }, (__, i) => (i === t ? 3 : 1)));
    const directions = five.map((): Direction => 'maximize');
    expect(hypervolume(five, [0, 0, 0, 0, 0], directions)).toEqual({ value: 11, method: 'exact', standardError: 0 });
    const sampled = hypervolume(five, [0, 0, 0, 0, 0], directions, { method: 'sampled' });
    expect(Math.abs(sampled.value - 11)).toBeLessThan(5 * sampled.standardError);
    expect(sampled.standardError).toBeLessThan(0.11);
  });

  it('samples where exact takes too long, and says so', () => {
    const tasks = 9;
    const points = Array.from({ length: tasks }, (_, t) => Array.from({ length: tasks }, (__, i) => (i === t ? 2 : 1)));
    const directions = points.map((): Direction => 'maximize');
    const reference = points.map(() => 0);
    const { value, method, standardError } = hypervolume(points, reference, directions);
    expect(method).toBe('sampled');
    expect(standardError).toBeGreaterThan(0);
    expect(Math.abs(value - (tasks + 1))).toBeLessThan(5 * standardError);
    expect(hypervolume(points, reference, directions, { method: 'exact' }).value).toBe(tasks + 1);
  });
});

describe('reference directions', () => {
  it('has every multiple that adds up to one', () => {
    expect(dasDennis(2, 2)).toEqual([
      [0, 1],
      [0.5, 0.5],
      [1, 0],
    ]);
    expect(dasDennis(3, 12)).toHaveLength(91);
    expect(dasDennisSize(16, 2)).toBe(136);
  });

  it.each([1, 2, 3, 4, 5, 6, 8, 10, 16, 30])('has a sensible number for %i objectives, all different and on the simplex', (objectives) => {
    const rows = referenceDirections(objectives, 200);
    expect(rows.length).toBeLessThanOrEqual(200);
    expect(rows.length).toBeGreaterThanOrEqual(objectives === 1 ? 1 : 60);
    for (const row of rows) {
      expect(row).toHaveLength(objectives);
      expect(row.reduce((sum, part) => sum + part, 0)).toBeCloseTo(1, 12);
      expect(Math.min(...row)).toBeGreaterThanOrEqual(0);
    }
    expect(new Set(rows.map((row) => row.map((part) => part.toFixed(9)).join())).size).toBe(rows.length);
  });

  it('has the corners at least', () => {
    expect(referenceDirections(5, 2)).toHaveLength(5);
  });
});
