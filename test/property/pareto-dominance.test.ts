/** Dominance and hypervolumes against brute force. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nonDominated, sortByDominance } from '../../shared/pareto/dominance.js';
import { dominatingSets } from '../../shared/pareto/dominating-sets.js';
import { hypervolume } from '../../shared/pareto/hypervolume.js';
import { createPointSet } from '../../shared/pareto/point-set.js';
import type { Direction } from '../../shared/pareto/study.js';
import { thinFront } from '../../shared/pareto/thin-front.js';

const direction = fc.constantFrom<Direction>('maximize', 'minimize');

/** Few different values, so that equal points and equal metrics are common. */
const cases = (mostTasks: number, mostPoints: number) =>
  fc.integer({ min: 1, max: mostTasks }).chain((tasks) =>
    fc.record({
      directions: fc.array(direction, { minLength: tasks, maxLength: tasks }),
      points: fc.array(fc.array(fc.integer({ min: 0, max: 5 }), { minLength: tasks, maxLength: tasks }), { maxLength: mostPoints }),
    }),
  );

function dominates(a: readonly number[], b: readonly number[], directions: readonly Direction[]): boolean {
  const gains = directions.map((way, t) => (way === 'maximize' ? 1 : -1) * ((a[t] ?? 0) - (b[t] ?? 0)));
  return gains.every((gain) => gain >= 0) && gains.some((gain) => gain > 0);
}

/** Counts the unit cells between the points and the reference point. */
function countCells(points: readonly (readonly number[])[], directions: readonly Direction[]): number {
  const corner = (cell: number): number[] => directions.map((_, t) => Math.floor(cell / 6 ** t) % 6);
  let cells = 0;
  for (let cell = 0; cell < 6 ** directions.length; cell++) {
    const at = corner(cell);
    // Cell k of a maximised task is [k - 1, k] over the reference -1; of a minimised one [k, k + 1] under the reference 6.
    if (
      points.some((point) =>
        directions.every((way, t) => (way === 'maximize' ? (at[t] ?? 0) <= (point[t] ?? 0) : (at[t] ?? 0) >= (point[t] ?? 0))),
      )
    )
      cells++;
  }
  return cells;
}

const referenceOf = (directions: readonly Direction[]): number[] => directions.map((way) => (way === 'maximize' ? -1 : 6));

describe('dominance', () => {
  it('keeps exactly what nothing dominates', () => {
    fc.assert(
      fc.property(cases(5, 30), ({ points, directions }) => {
        const expected = [...points.keys()].filter((b) => !points.some((a) => dominates(a, points[b] ?? [], directions)));
        expect(nonDominated(points, directions)).toEqual(expected);
      }),
    );
  });

  it('sorts into levels by peeling', () => {
    fc.assert(
      fc.property(cases(4, 30), ({ points, directions }) => {
        const levels: number[][] = [];
        let left = [...points.keys()];
        while (left.length > 0) {
          const level = left.filter((b) => !left.some((a) => dominates(points[a] ?? [], points[b] ?? [], directions)));
          levels.push(level);
          left = left.filter((row) => !level.includes(row));
        }
        expect(sortByDominance(points, directions)).toEqual(levels);
      }),
    );
  });

  it('finds the rows that dominate a place', () => {
    fc.assert(
      fc.property(cases(4, 70), ({ points, directions }) => {
        const width = directions.length;
        const sets = dominatingSets(Float64Array.from(points.flat()), width, points.length);
        const set = new Int32Array(sets.words);
        for (const place of [[0, 0, 0, 0], [5, 5, 5, 5], [2, 3, 4, 1], ...points]) {
          const expected = [...points.keys()].filter((row) => (points[row] ?? []).every((value, t) => value <= (place[t] ?? 0)));
          const count = sets.of(Float64Array.from(place), set);
          expect([...points.keys()].filter((row) => (((set[row >> 5] ?? 0) >> (row & 31)) & 1) === 1)).toEqual(expected);
          expect(count).toBe(expected.length);
        }
      }),
    );
  });

  it('thins a front to its best points and to no dominated or double one', () => {
    fc.assert(
      fc.property(cases(3, 60), fc.integer({ min: 3, max: 20 }), ({ points, directions }, most) => {
        const m = directions.length;
        const set = createPointSet({ dimensions: 1, objectives: m }, points.length + 1);
        set.values.set(points.flat());
        set.count = points.length;
        const down = directions.map((): Direction => 'minimize');
        const thin = thinFront(set, most);
        const rows = Array.from({ length: thin.count }, (_, row) => [...thin.values.subarray(row * m, (row + 1) * m)]);
        const front = nonDominated(points, down).map((row) => points[row] ?? []);
        const different = new Set(front.map(String));
        expect(rows).toHaveLength(Math.min(most, different.size));
        expect(new Set(rows.map(String)).size).toBe(rows.length);
        for (const row of rows) expect(different.has(String(row))).toBe(true);
        for (let t = 0; t < m && rows.length > 0; t++)
          expect(Math.min(...rows.map((row) => row[t] ?? 0))).toBe(Math.min(...points.map((point) => point[t] ?? 0)));
      }),
    );
  });
});

describe('hypervolume', () => {
  it('counts the cells of a grid', () => {
    fc.assert(
      fc.property(cases(5, 12), ({ points, directions }) => {
        const { value } = hypervolume(points, referenceOf(directions), directions, { method: 'exact' });
        expect(value).toBeCloseTo(countCells(points, directions), 6);
      }),
    );
  });

  it('is estimated within its error', () => {
    fc.assert(
      fc.property(cases(6, 40), ({ points, directions }) => {
        const exact = hypervolume(points, referenceOf(directions), directions, { method: 'exact' }).value;
        const sampled = hypervolume(points, referenceOf(directions), directions, { method: 'sampled', samples: 2048 });
        // Eight shifts make an uncertain standard error, so a floor under it.
        expect(Math.abs(sampled.value - exact)).toBeLessThanOrEqual(8 * sampled.standardError + 0.01 * exact);
      }),
    );
  });
});
