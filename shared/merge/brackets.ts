/**
 * Between which magnitudes a border lies, by what a sample of the tensor says. A bracket may turn out wrong, for elements are not independent; whoever
 * uses it counts what is in it and what is below, and so finds out.
 */
import { HIGH_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { sampledElements } from '../workers/look-tiles.js';
import { UNIT_INDEX_FIELDS } from '../workers/program-job.js';
import { type LookRequest, type LookResult, NO_ROOM, type TaskStatistics } from './look-requests.js';
import { type Band, UNIT_ELEMENTS } from './program.js';
import { type Border, borderInList, type Place, placeOf } from './selection.js';

/** A band whose borders are looked for, and their positions. */
export interface OpenBand {
  readonly use: number;
  readonly band: Band;
  readonly lower?: number;
  readonly upper?: number;
}

/** Counts of the upper halves of magnitudes, a table an input: of all elements, or of a sample. */
export function* countHigh(inputs: number, stage: number, sampled: boolean): Generator<LookRequest, readonly Uint32Array[], LookResult> {
  const { tables } = yield {
    room: { ...NO_ROOM, tables: HIGH_TABLE_ENTRIES * inputs },
    look: (at) => ({ kind: 'high', stage, tables: at.tables, sampled }),
  };
  return Array.from({ length: inputs }, (_, use) => tables.subarray(use * HIGH_TABLE_ENTRIES, (use + 1) * HIGH_TABLE_ENTRIES));
}

export interface Bracket {
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
export function* findBrackets(
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
