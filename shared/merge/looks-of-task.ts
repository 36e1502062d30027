/**
 * Which statistics a program needs, in which order, and what is made of them: a generator for each tensor asks for one look after another and
 * writes what it learned where the next look and the last pass find it.
 */

import { sampledElements, unitElementsOf } from '../workers/look-tiles.js';
import { HIGH_BINS, LOW_BINS, LOW_TABLES } from '../workers/looks.js';
import {
  type GatherRange,
  type Look,
  type ProgramStatistics,
  STATISTIC,
  type TensorTask,
  UNIT_INDEX_FIELDS,
} from '../workers/program-job.js';
import { SELECTED } from '../workers/select-lists.js';
import { type Band, type Stage, UNIT_ELEMENTS } from './program.js';
import { roundTo } from './rounding.js';
import {
  type BandBorders,
  type Border,
  bandBorders,
  borderFrom,
  borderInList,
  borderInSorted,
  borderPositions,
  EMPTY_BAND,
  type Place,
  placeOf,
} from './selection.js';

/** Places in the shared buffers of a pass. */
export interface LookRoom {
  readonly tables: number;
  readonly sums: number;
  readonly keys: number;
}

export interface LookRequest {
  /** Numbers wanted in each buffer. */
  readonly room: LookRoom;
  readonly look: (at: LookRoom) => Look;
}

/** What the pass left in the places that were asked for. */
export interface LookResult {
  readonly tables: Uint32Array;
  readonly sums: Float64Array;
  readonly keys: Uint32Array;
}

export type Looks = Generator<LookRequest, void, LookResult>;

/** Magnitudes of tensors up to this size are sorted at once: counting would touch more memory than they have. */
export const SORTED_UP_TO = 4096;
/** Below it mergekit takes a 1-norm for zero and does not rescale. */
const MERGEKIT_SMALLEST_NORM = 1e-7;
export const NO_ROOM: LookRoom = { tables: 0, sums: 0, keys: 0 };

export interface TaskStatistics {
  readonly task: TensorTask;
  readonly statistics: ProgramStatistics;
}

/** Index in `numbers` of a stage's statistic for an input; the stage after the last is the combination. */
export function numberIndex({ numbersAt, uses }: TensorTask, stage: number, use: number, field: number): number {
  return numbersAt + (stage * uses.length + use) * STATISTIC.fields + field;
}

function setBorders({ task, statistics }: TaskStatistics, stage: number, use: number, borders: BandBorders): void {
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

interface OpenBand {
  readonly use: number;
  readonly band: Band;
  readonly lower?: number;
  readonly upper?: number;
}

interface FoundPlaces {
  /** For each open band the places of its borders in the upper halves. */
  readonly places: readonly (readonly { readonly position: number; readonly place: Place }[])[];
  /** For each input the upper halves of interest: none, one or two. */
  readonly highs: readonly (readonly number[])[];
}

function* countHigh(inputs: number, stage: number, sampled: boolean): Generator<LookRequest, readonly Uint32Array[], LookResult> {
  const { tables } = yield {
    room: { ...NO_ROOM, tables: HIGH_BINS * inputs },
    look: (at) => ({ kind: 'high', stage, tables: at.tables, sampled }),
  };
  return Array.from({ length: inputs }, (_, use) => tables.subarray(use * HIGH_BINS, (use + 1) * HIGH_BINS));
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
  const found: FoundPlaces = { places, highs };
  const low = yield {
    room: { ...NO_ROOM, tables: LOW_TABLES * LOW_BINS * inputs },
    look: (at) => ({ kind: 'low', stage, tables: at.tables, highs: found.highs }),
  };
  return open.map(({ use, band, lower, upper }, index) => {
    const borders = (found.places[index] ?? []).map(({ position, place }) => {
      const table = (use * LOW_TABLES + (found.highs[use] ?? []).indexOf(place.bin)) * LOW_BINS;
      return borderFrom(place, low.tables.subarray(table, table + LOW_BINS), position);
    });
    return bandBorders(band, lower === undefined ? undefined : borders[0], upper === undefined ? undefined : borders.at(-1));
  });
}

function* findByCounting(of: TaskStatistics, stage: number, open: readonly OpenBand[]): Looks {
  const { task } = of;
  if (task.count > UNIT_ELEMENTS && (yield* findByListing(of, stage, open))) return;
  const borders = yield* findBorders(task.uses.length, stage, open);
  borders.forEach((one, index) => setBorders(of, stage, open[index]?.use ?? 0, one));
  if (task.count <= UNIT_ELEMENTS || !borders.some((one) => one.splitsTies)) return;
  yield { room: NO_ROOM, look: () => ({ kind: 'ties', stage }) };
  for (let use = 0; use < task.uses.length; use++) for (let border = 0; border < 2; border++) tiesToRunningSums(of, stage, use, border);
}

interface Bracket {
  /** Number of the band, and whether it is the band's upper border. */
  readonly open: number;
  readonly upper: boolean;
  readonly position: number;
  /** Ascending, without a gap between them. */
  readonly parts: readonly BracketPart[];
}

/** Magnitudes [low, high]; one alone is counted, several are listed, at most `room`. */
interface BracketPart {
  readonly low: number;
  readonly high: number;
  readonly room: number;
}

/** More of all elements than this share is not listed. */
const LISTED_SHARE = 1 / 8;
/** From this share on it pays to look at the sample more closely: listing costs more than counting. */
const CROWDED_SHARE = 0.04;
/** A sample's quantile is trusted within so many standard deviations, and a little for elements that are not independent. */
const DEVIATIONS = 5;
const SLACK = 0.002;

/** Sample positions around a border's, and where they fall among the upper halves. */
interface SampledBorder {
  readonly low: Place;
  readonly high: Place;
  readonly lowPosition: number;
  readonly highPosition: number;
  readonly sampled: number;
}

function sampledBorder(counts: Uint32Array, count: number, position: number): SampledBorder {
  const sampled = sampledElements(count);
  const share = position / count;
  const margin = DEVIATIONS * Math.sqrt((share * (1 - share)) / sampled) + SLACK;
  const at = (quantile: number): number => Math.min(sampled - 1, Math.max(0, Math.floor(quantile * sampled)));
  const [lowPosition, highPosition] = [at(share - margin), at(share + margin)];
  return { low: placeOf(counts, lowPosition), high: placeOf(counts, highPosition), lowPosition, highPosition, sampled };
}

/** Magnitudes between which a border lies, by what a sample says; undefined when they are too many to list. */
function bracketOf({ low, high, sampled }: SampledBorder, count: number): BracketPart[] | undefined {
  const inside = (high.below + high.inBin - low.below) / sampled;
  return inside > CROWDED_SHARE ? undefined : [listedPart(low.bin * 65_536, high.bin * 65_536 + 65_535, inside, count)];
}

const listedPart = (low: number, high: number, share: number, count: number): BracketPart => ({
  low,
  high,
  room: Math.ceil((share * 1.25 + SLACK) * count) + 4096,
});
const countedPart = (key: number): BracketPart => ({ low: key, high: key, room: 0 });

/**
 * The same by all bits of the sample's magnitudes: where few magnitudes are shared by many elements (differences of 16-bit numbers), the bracket's
 * ends are counted without being listed.
 * @param keys of the sample, those from the bin of `low` to that of `high`
 */
function narrowBracket(
  { low, high, lowPosition, highPosition, sampled }: SampledBorder,
  count: number,
  keys: Uint32Array,
): BracketPart[] | undefined {
  const at = (position: number): Border => borderInList(keys, low.bin * 65_536, high.bin * 65_536 + 65_535, position - low.below);
  const [first, last] = [at(lowPosition), at(highPosition)];
  if (first.key === last.key) return [countedPart(first.key)];
  const between = (last.below - first.below - first.equal) / sampled;
  if (between > LISTED_SHARE) return undefined;
  const gap = last.key - first.key > 1 ? [listedPart(first.key + 1, last.key - 1, between, count)] : [];
  return [countedPart(first.key), ...gap, countedPart(last.key)];
}

/** Brackets of all borders; undefined when one has too many magnitudes in it. */
function* findBrackets(
  of: TaskStatistics,
  stage: number,
  open: readonly OpenBand[],
): Generator<LookRequest, Bracket[] | undefined, LookResult> {
  const { count, uses } = of.task;
  const samples = yield* countHigh(uses.length, stage, true);
  const wanted = open.flatMap(({ use, lower, upper }, index) =>
    [
      { position: lower, isUpper: false },
      { position: upper, isUpper: true },
    ].flatMap(({ position, isUpper }) => {
      const counts = samples[use];
      if (position === undefined || counts === undefined) return [];
      const border = sampledBorder(counts, count, position);
      return [{ use, open: index, upper: isUpper, position, border, coarse: bracketOf(border, count) }];
    }),
  );
  const crowded = wanted.filter(({ coarse }) => coarse === undefined);
  const lists = new Map<(typeof wanted)[number], Uint32Array>();
  if (crowded.length > 0) {
    const indexSize = 1 + Math.ceil(count / UNIT_ELEMENTS) * UNIT_INDEX_FIELDS;
    const room = sampledElements(count);
    const { keys } = yield {
      room: { ...NO_ROOM, keys: crowded.length * (indexSize + room) },
      look: (at) => ({
        kind: 'gather',
        stage,
        sampled: true,
        ranges: crowded.map(({ use, border: { low, high } }, index) => {
          const indexAt = at.keys + index * (indexSize + room);
          return { use, low: low.bin * 65_536, high: high.bin * 65_536 + 65_535, indexAt, listAt: indexAt + indexSize, room };
        }),
      }),
    };
    crowded.forEach((one, index) => {
      const indexAt = index * (indexSize + room);
      lists.set(one, keys.subarray(indexAt + indexSize, indexAt + indexSize + (keys[indexAt] ?? 0)));
    });
  }
  const brackets: Bracket[] = [];
  for (const one of wanted) {
    const parts = one.coarse ?? narrowBracket(one.border, count, lists.get(one) ?? new Uint32Array());
    if (parts === undefined) return undefined;
    brackets.push({ open: one.open, upper: one.upper, position: one.position, parts });
  }
  return brackets;
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

/** Sums over units, in the order of the units: `step` numbers each. */
export function total(sums: Float64Array, index: number, step: number): number {
  let sum = 0;
  for (let at = index; at < sums.length; at += step) sum += sums[at] ?? 0;
  return sum;
}

function* findRescale(of: TaskStatistics, stage: number, kind: 'sums' | 'draw'): Looks {
  const { task, statistics } = of;
  const units = Math.ceil(task.count / unitElementsOf({ kind, stage, sumsAt: 0 }, task));
  const step = task.uses.length * 2;
  const { sums } = yield { room: { ...NO_ROOM, sums: units * step }, look: (at) => ({ kind, stage, sumsAt: at.sums }) };
  const smallest = task.program.quirks ? MERGEKIT_SMALLEST_NORM : Number.MIN_VALUE;
  const one = task.program.stages[stage];
  if (one === undefined || !('rescale' in one) || one.rescale !== 'l1') return;
  task.uses.forEach((_, use) => {
    const before = total(sums, use * 2, step);
    const after = total(sums, use * 2 + 1, step);
    if (before >= smallest && after >= smallest) statistics.numbers[numberIndex(task, stage, use, STATISTIC.factor)] = before / after;
  });
}

function* stageLooks(of: TaskStatistics, stage: Stage, index: number): Looks {
  switch (stage.kind) {
    case 'band':
      if (stage.scope === 'tensor') yield* findBands(of, index, stage.bands);
      if (stage.rescale === 'l1') yield* findRescale(of, index, 'sums');
      return;
    case 'drop':
      if (stage.rescale === 'l1' && stage.densities.some((density) => density < 1)) yield* findRescale(of, index, 'sums');
      return;
    case 'della':
      if (stage.rescale !== 'probability' && stage.densities.some((density) => density < 1)) yield* findRescale(of, index, 'draw');
      return;
    case 'scale':
    case 'importance':
    case 'mask':
      return;
    case 'variance':
      yield* findVarying(of, index, stage.topk);
  }
}

/** The share of the elements that vary at all: how many those are is only known once they are counted. */
function* findVarying(of: TaskStatistics, stage: number, topk: number): Looks {
  const { count, uses } = of.task;
  const bandOf = (varying: number): Band => ({ from: count - Math.trunc(varying * topk), to: count, ties: 'first' });
  if (count <= SORTED_UP_TO) {
    const { keys } = yield { room: { ...NO_ROOM, keys: count * uses.length }, look: (at) => ({ kind: 'keys', stage, keysAt: at.keys }) };
    const sorted = keys.slice(0, count).sort();
    const zeros = sorted.findIndex((key) => key > 0);
    const band = bandOf(zeros < 0 ? 0 : count - zeros);
    setBorders(
      of,
      stage,
      0,
      band.from >= count ? EMPTY_BAND : bandBorders(band, band.from > 0 ? borderInSorted(sorted, band.from) : undefined, undefined),
    );
    return;
  }
  const { tables } = yield {
    room: { ...NO_ROOM, tables: LOW_TABLES * LOW_BINS * uses.length },
    look: (at) => ({ kind: 'low', stage, tables: at.tables, highs: [[0]] }),
  };
  const zeros = tables[0] ?? 0;
  const band = bandOf(count - zeros);
  if (band.from >= count) setBorders(of, stage, 0, EMPTY_BAND);
  else yield* findByCounting(of, stage, [{ use: 0, band, ...borderPositions(band, count) }]);
}

/** All looks at one tensor. Bands over whole models are found before (model-statistics.ts). */
export function* looksOf(of: TaskStatistics): Looks {
  const { task, statistics } = of;
  for (const [index, stage] of task.program.stages.entries()) yield* stageLooks(of, stage, index);
  const { combine, stages } = task.program;
  if (combine.kind !== 'energy') return;
  const step = task.uses.length;
  const { sums } = yield {
    room: { ...NO_ROOM, sums: Math.ceil(task.count / UNIT_ELEMENTS) * step },
    look: (at) => ({ kind: 'energy', sumsAt: at.sums }),
  };
  const held = (value: number): number => roundTo(task.program.rounding, value);
  const energies = task.uses.map((_, use) => held(total(sums, use, step) / task.count));
  const all = held(energies.reduce((sum, one) => sum + one, 0));
  const uniform = task.program.quirks ? all < combine.floor : all === 0;
  energies.forEach((one, use) => {
    statistics.numbers[numberIndex(task, stages.length, use, STATISTIC.factor)] = held(uniform ? 1 / step : one / all);
  });
}
