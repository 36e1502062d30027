/** Every non-dominated point a search has seen, as far as there is room: when it is full, those stay that lie farthest apart. */
import type { Problem } from './objectives.js';
import { createPointSet, type PointSet } from './point-set.js';
import { spreadPoints, thinFront } from './thin-front.js';

export interface Archive {
  /** Offers the points of a set from row `from` on. */
  offer(points: PointSet, from: number, to: number): void;
  /** At most `most` points that do not dominate one another. */
  front(): PointSet;
}

/** Room beyond what is asked for: thinning takes time, so it is done seldom. */
const ROOM = 2;

/** -1: a point of the archive is at least as good; otherwise how many of its points are left, dominated ones removed. */
function makeWay(kept: PointSet, values: Float64Array, at: number): number {
  const { objectives: m, dimensions: n } = kept;
  let count = kept.count;
  for (let row = 0; row < count; ) {
    let worse = true;
    let better = true;
    for (let t = 0, own = row * m; t < m && (worse || better); t++) {
      const difference = (values[at + t] as number) - (kept.values[own + t] as number);
      if (difference < 0) worse = false;
      else if (difference > 0) better = false;
    }
    if (worse) return -1;
    if (!better) row++;
    else {
      count--;
      kept.values.copyWithin(row * m, count * m, (count + 1) * m);
      kept.x.copyWithin(row * n, count * n, (count + 1) * n);
    }
  }
  return count;
}

export function createArchive(problem: Pick<Problem, 'dimensions' | 'objectives'>, most: number): Archive {
  const room = ROOM * most;
  let kept = createPointSet(problem, room + 1);
  return {
    offer(points, from, to) {
      const { objectives: m, dimensions: n } = points;
      for (let row = from; row < to; row++) {
        const count = makeWay(kept, points.values, row * m);
        if (count < 0) continue;
        for (let t = 0; t < m; t++) kept.values[count * m + t] = points.values[row * m + t] as number;
        for (let i = 0; i < n; i++) kept.x[count * n + i] = points.x[row * n + i] as number;
        kept.count = count + 1;
        if (kept.count <= room) continue;
        const thinned = spreadPoints(kept, most);
        const next = createPointSet(problem, room + 1);
        next.values.set(thinned.values.subarray(0, thinned.count * m));
        next.x.set(thinned.x.subarray(0, thinned.count * n));
        next.count = thinned.count;
        kept = next;
      }
    },
    front: () => thinFront(kept, most),
  };
}
