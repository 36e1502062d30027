/**
 * Fewer points of a front, so that what they stand for is kept: the best of every objective, then points far from one another, then those
 * that dominate the most volume that no other chosen one does.
 */
import { nonDominatedRows } from './dominance.js';
import { greatestVolumes } from './hypervolume-choice.js';
import { type PointSet, selectPoints, valueRanges } from './point-set.js';

/** Differences below this share of an objective's range do not make two points. */
const SAME = 1e-9;
/** Of the points: chosen to be far apart, before volume decides. With two objectives all are: on a line that comes to the same. */
const SPREAD_SHARE = 0.25;
/** How much worse than the worst point the reference point is, as a share of the range. */
const REFERENCE_MARGIN = 0.1;

/** Rows one after the other, each time the one that is farthest from all before (Gonzalez 1985), in objectives scaled by their ranges. */
interface Spreader {
  readonly chosen: number[];
  readonly choose: (row: number) => void;
  /** @returns false when every row is the same as a chosen one */
  readonly chooseFarthest: () => boolean;
  readonly isNew: (row: number) => boolean;
}

function createSpreader(set: PointSet): Spreader {
  const { objectives: m, count, values } = set;
  const { least, most } = valueRanges(set);
  const scaled = new Float64Array(count * m);
  for (let row = 0, at = 0; row < count; row++)
    for (let t = 0; t < m; t++, at++) {
      const range = (most[t] as number) - (least[t] as number);
      scaled[at] = range > 0 ? ((values[at] as number) - (least[t] as number)) / range : 0;
    }
  const away = new Float64Array(count).fill(Infinity);
  const chosen: number[] = [];
  const choose = (row: number): void => {
    chosen.push(row);
    for (let other = 0, at = 0; other < count; other++) {
      let sum = 0;
      for (let t = 0, own = row * m; t < m; t++, at++, own++) sum += ((scaled[own] as number) - (scaled[at] as number)) ** 2;
      if (sum < (away[other] as number)) away[other] = sum;
    }
  };
  const isNew = (row: number): boolean => (away[row] as number) > SAME * SAME;
  const chooseFarthest = (): boolean => {
    let farthest = 0;
    for (let row = 1; row < count; row++) if ((away[row] as number) > (away[farthest] as number)) farthest = row;
    if (count === 0 || !isNew(farthest)) return false;
    choose(farthest);
    return true;
  };
  for (let t = 0; t < m && count > 0; t++) {
    let best = 0;
    for (let row = 1; row < count; row++) if ((scaled[row * m + t] as number) < (scaled[best * m + t] as number)) best = row;
    if (isNew(best)) choose(best);
  }
  return { chosen, choose, chooseFarthest, isNew };
}

/** At most `most` of points that do not dominate one another, far apart; the best of each objective first. */
export function spreadPoints(set: PointSet, most: number): PointSet {
  const { chosen, chooseFarthest } = createSpreader(set);
  while (chosen.length < most && chooseFarthest());
  return selectPoints(set, chosen.slice(0, most));
}

/** Worse than every point, in values to be minimised: a tenth of the range, and something where there is no range. */
export function referencePointOf(set: PointSet): Float64Array {
  const { least, most } = valueRanges(set);
  return most.map((worst, t) => {
    const range = worst - (least[t] as number);
    return worst + (range > SAME * Math.abs(worst) ? REFERENCE_MARGIN * range : Math.max(1e-3, 1e-3 * Math.abs(worst)));
  });
}

/** At most `most` of the points that no other dominates, one of those that are the same. */
export function thinFront(set: PointSet, most: number): PointSet {
  const front = selectPoints(set, nonDominatedRows(set.values, set.objectives, set.count));
  const { chosen, choose, chooseFarthest, isNew } = createSpreader(front);
  if (front.count <= most) {
    while (chooseFarthest());
    return selectPoints(front, chosen);
  }
  const share = front.objectives <= 2 ? 1 : SPREAD_SHARE;
  while (chosen.length < most * share && chooseFarthest());
  for (const row of share === 1 ? [] : greatestVolumes(front, referencePointOf(front), chosen)) {
    if (chosen.length >= most) break;
    if (isNew(row)) choose(row);
  }
  while (chosen.length < most && chooseFarthest());
  return selectPoints(front, chosen.slice(0, most));
}
