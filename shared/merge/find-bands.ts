/**
 * Finds the borders of bands in the order of magnitudes: sorted at once in small tensors, listed within brackets in large ones, counted by halves of the
 * magnitudes' bits where brackets fail. Exact in every case, and ties are known unit by unit.
 */
import { LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { LOW_TABLES } from '../workers/looks.js';
import { type GatherRange, numberIndex, STATISTIC, UNIT_INDEX_FIELDS } from '../workers/program-job.js';
import { SELECTED } from '../workers/select-lists.js';
import { countHigh, findBrackets, type OpenBand } from './brackets.js';
import { type LookRequest, type LookResult, type Looks, NO_ROOM, type TaskStatistics } from './look-requests.js';
import { type Band, UNIT_ELEMENTS } from './program.js';
import {
  type BandBorders,
  type Border,
  bandBorders,
  borderFrom,
  borderInSorted,
  borderPositions,
  EMPTY_BAND,
  placeOf,
} from './selection.js';

/** Magnitudes of tensors up to this size are sorted at once: counting would touch more memory than they have. */
export const SORTED_UP_TO = 4096;

export function setBorders({ task, statistics }: TaskStatistics, stage: number, use: number, borders: BandBorders): void {
  for (const field of ['low', 'lowFrom', 'lowTo', 'high', 'highTo'] as const)
    statistics.numbers[numberIndex(task, stage, use, STATISTIC[field])] = borders[field];
}

/** Bands by input; a band of the variance stage belongs to no input in particular and stands at 0. */
export function* findBands(of: TaskStatistics, stage: number, bands: readonly (Band | undefined)[]): Looks {
  const { task } = of;
  const { count } = task;
  const wanted = bands.flatMap((band, use) => (band === undefined ? [] : [{ use, band, ...borderPositions(band, count) }]));
  const open = wanted.filter(({ use, band }) => {
    if (band.from < band.to) return true;
    setBorders(of, stage, use, EMPTY_BAND);
    return false;
  });
  if (open.every(({ lower, upper }) => lower === undefined && upper === undefined)) return;
  if (count <= SORTED_UP_TO) {
    const { keys } = yield {
      room: { ...NO_ROOM, keys: count * task.uses.length },
      look: (at) => ({ kind: 'keys', stage, keysAt: at.keys }),
    };
    for (const { use, band, lower, upper } of open) {
      const sorted = keys.slice(use * count, (use + 1) * count).sort();
      const borderAt = (position: number | undefined): Border | undefined =>
        position === undefined ? undefined : borderInSorted(sorted, position);
      setBorders(of, stage, use, bandBorders(band, borderAt(lower), borderAt(upper)));
    }
    return;
  }
  yield* findByCounting(of, stage, open);
}

/** One table of upper halves an input, then one of lower halves for each border: for any number of tensors together. */
export function* findBorders(inputs: number, stage: number, open: readonly OpenBand[]): Generator<LookRequest, BandBorders[], LookResult> {
  const counts = yield* countHigh(inputs, stage, false);
  const places = open.map(({ use, lower, upper }) =>
    [lower, upper].flatMap((position) => (position === undefined ? [] : [{ position, place: placeOf(counts[use] ?? [], position) }])),
  );
  const highs: number[][] = Array.from({ length: inputs }, () => []);
  open.forEach(({ use }, index) => {
    highs[use] = [...new Set(places[index]?.map(({ place }) => place.bin))];
  });
  const low = yield {
    room: { ...NO_ROOM, tables: LOW_TABLES * LOW_TABLE_ENTRIES * inputs },
    look: (at) => ({ kind: 'low', stage, tables: at.tables, highs }),
  };
  return open.map(({ use, band, lower, upper }, index) => {
    const borders = (places[index] ?? []).map(({ position, place }) => {
      const table = (use * LOW_TABLES + (highs[use] ?? []).indexOf(place.bin)) * LOW_TABLE_ENTRIES;
      return borderFrom(place, low.tables.subarray(table, table + LOW_TABLE_ENTRIES), position);
    });
    return bandBorders(band, lower === undefined ? undefined : borders[0], upper === undefined ? undefined : borders.at(-1));
  });
}

export function* findByCounting(of: TaskStatistics, stage: number, open: readonly OpenBand[]): Looks {
  const { task } = of;
  if (task.count > UNIT_ELEMENTS && (yield* findByListing(of, stage, open))) return;
  const borders = yield* findBorders(task.uses.length, stage, open);
  borders.forEach((one, index) => setBorders(of, stage, open[index]?.use ?? 0, one));
  if (task.count <= UNIT_ELEMENTS || !borders.some((one) => one.splitsTies)) return;
  yield { room: NO_ROOM, look: () => ({ kind: 'ties', stage }) };
  for (let use = 0; use < task.uses.length; use++) for (let border = 0; border < 2; border++) tiesToRunningSums(of, stage, use, border);
}

/**
 * A sample tells between which magnitudes each border lies; one pass lists those, unit by unit, and counts the smaller ones: the border follows,
 * and the ties before each unit. False, with nothing changed, when a sample was not typical: then all have to be counted.
 */
function* findByListing(of: TaskStatistics, stage: number, open: readonly OpenBand[]): Generator<LookRequest, boolean, LookResult> {
  const { task, statistics } = of;
  const inputs = task.uses.length;
  const units = Math.ceil(task.count / UNIT_ELEMENTS);
  const brackets = yield* findBrackets(of, stage, open);
  if (brackets === undefined) return false;
  const indexSize = 1 + units * UNIT_INDEX_FIELDS;
  let end = 0;
  const placed = brackets.map(({ open: one, position, parts }) => ({
    position,
    ranges: parts.map(({ low, high, room }): GatherRange => {
      const indexAt = end;
      end += indexSize + room;
      return { use: open[one]?.use ?? 0, low, high, room, indexAt, listAt: indexAt + indexSize };
    }),
  }));
  const rangesAt = (keysAt: number): GatherRange[] =>
    placed.flatMap(({ ranges }) => ranges.map((range) => ({ ...range, indexAt: range.indexAt + keysAt, listAt: range.listAt + keysAt })));
  const gathered = yield { room: { ...NO_ROOM, keys: end }, look: (at) => ({ kind: 'gather', stage, ranges: rangesAt(at.keys) }) };
  const { sums, keys: ties } = yield {
    room: { ...NO_ROOM, sums: brackets.length * SELECTED.fields, keys: brackets.length * units },
    look: (at) => ({ kind: 'select', stage, borders: placed, keys: gathered.keys, units, sumsAt: at.sums, tiesAt: at.keys }),
  };
  const selected = (index: number, field: number): number => sums[index * SELECTED.fields + field] ?? 0;
  if (brackets.some((_, index) => selected(index, SELECTED.found) === 0)) return false;
  open.forEach(({ use, band }, index) => {
    const own = (upper: boolean): number => brackets.findIndex((bracket) => bracket.open === index && bracket.upper === upper);
    const borderOf = (bracket: number): Border | undefined =>
      bracket < 0
        ? undefined
        : {
            key: selected(bracket, SELECTED.key),
            below: selected(bracket, SELECTED.below),
            equal: selected(bracket, SELECTED.equal),
          };
    const found = bandBorders(band, borderOf(own(false)), borderOf(own(true)));
    setBorders(of, stage, use, found);
    if (!found.splitsTies) return;
    for (const upper of [false, true]) {
      const bracket = own(upper);
      if (bracket < 0) continue;
      const first = task.tiesAt + (stage * inputs + use) * units * 2 + (upper ? 1 : 0);
      for (let unit = 0; unit < units; unit++) statistics.ties[first + unit * 2] = ties[bracket * units + unit] ?? 0;
      tiesToRunningSums(of, stage, use, upper ? 1 : 0);
    }
  });
  return true;
}

function tiesToRunningSums({ task, statistics }: TaskStatistics, stage: number, use: number, border: number): void {
  const units = Math.ceil(task.count / UNIT_ELEMENTS);
  toRunningSums(statistics.ties, task.tiesAt + (stage * task.uses.length + use) * units * 2 + border, units, 2);
}

function toRunningSums(numbers: Uint32Array, first: number, count: number, step: number): void {
  let sum = 0;
  for (let at = first; at < first + count * step; at += step) {
    const own = numbers[at] ?? 0;
    numbers[at] = sum;
    sum += own;
  }
}
