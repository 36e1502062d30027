/** Statistics of rules that go by rows or columns: quantiles of importance, angles of columns. */

import { HIGH_TABLE_ENTRIES, LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { LOW_TABLES } from '../workers/looks.js';
import { numberIndex, STATISTIC } from '../workers/program-job.js';
import { SORTED_UP_TO } from './find-bands.js';
import { type LookRequest, type LookResult, type Looks, NO_ROOM, type TaskStatistics } from './look-requests.js';
import { looksOf } from './looks-of-task.js';
import { COLUMN_PRODUCTS, extrasAt, rowsOf, rowsOfGroup } from './program-numbers.js';
import { borderFrom, placeOf } from './selection.js';
import { nuslerpCoefficients } from './sphere.js';

const words = new Uint32Array(1);
const float = new Float32Array(words.buffer);
const OFTEN = 1.5;

/** The magnitude that has a key. */
export function valueOfKey(key: number): number {
  words[0] = key;
  return float[0] ?? 0;
}

/** The smallest key of a magnitude that reaches a threshold. */
function keyReaching(threshold: number): number {
  if (!(threshold > 0)) return 0;
  float[0] = threshold;
  const key = words[0] ?? 0;
  return valueOfKey(key) < threshold ? key + 1 : key;
}

/** Magnitudes at positions of the ascending order of all, of the one vector that a stage measures. */
function* magnitudesAt(count: number, stage: number, positions: readonly number[]): Generator<LookRequest, number[], LookResult> {
  if (count <= SORTED_UP_TO) {
    const { keys } = yield { room: { ...NO_ROOM, keys: count }, look: (at) => ({ kind: 'keys', stage, keysAt: at.keys }) };
    const sorted = keys.slice().sort();
    return positions.map((position) => valueOfKey(sorted[position] ?? 0));
  }
  const { tables } = yield { room: { ...NO_ROOM, tables: HIGH_TABLE_ENTRIES }, look: (at) => ({ kind: 'high', stage, tables: at.tables }) };
  const places = positions.map((position) => placeOf(tables, position));
  const bins = [...new Set(places.map(({ bin }) => bin))];
  const found = new Map<number, Uint32Array>();
  for (let from = 0; from < bins.length; from += LOW_TABLES) {
    const some = bins.slice(from, from + LOW_TABLES);
    const low = yield {
      room: { ...NO_ROOM, tables: LOW_TABLES * LOW_TABLE_ENTRIES },
      look: (at) => ({ kind: 'low', stage, tables: at.tables, highs: [some] }),
    };
    some.forEach((bin, index) => found.set(bin, low.tables.slice(index * LOW_TABLE_ENTRIES, (index + 1) * LOW_TABLE_ENTRIES)));
  }
  return places.map((place, index) => valueOfKey(borderFrom(place, found.get(place.bin) ?? [], positions[index] ?? 0).key));
}

/** Quantiles of a stage's vector, linear between the two nearest values, from counts of all elements: no sample is drawn. */
function* quantiles(count: number, stage: number, shares: readonly number[]): Generator<LookRequest, number[], LookResult> {
  const places = shares.map((share) => (count - 1) * share);
  const positions = places.flatMap((place) => [Math.floor(place), Math.min(count - 1, Math.floor(place) + 1)]);
  const values = yield* magnitudesAt(count, stage, positions);
  return places.map((place, index) => {
    const below = values[2 * index] ?? 0;
    return below + ((values[2 * index + 1] ?? below) - below) * (place - Math.floor(place));
  });
}

/** The divergences of all rows, then what importance has to reach: median + 1.5 interquartile ranges. */
function* importanceLooks({ task, statistics }: TaskStatistics, stage: number): Looks {
  const { program, count } = task;
  const rows = rowsOf(program, count);
  const { sums } = yield { room: { ...NO_ROOM, sums: rows }, look: (at) => ({ kind: 'divergence', sumsAt: at.sums }) };
  statistics.numbers.set(sums, extrasAt(task));
  const [lower = 0, median = 0, upper = 0] = yield* quantiles(count, stage, [0.25, 0.5, 0.75]);
  const key = keyReaching(median + OFTEN * (upper - lower));
  statistics.numbers[numberIndex(task, stage, 0, STATISTIC.low)] = key - 1;
  statistics.numbers[numberIndex(task, stage, 0, STATISTIC.lowTo)] = 0;
}

/** Coefficients for each column of two matrices, from products added up group by group. */
function* columnLooks({ task, statistics }: TaskStatistics, t: number): Looks {
  const { program, count } = task;
  const { columns } = program;
  const groups = Math.ceil(rowsOf(program, count) / rowsOfGroup(program, count));
  const size = COLUMN_PRODUCTS * columns;
  const { sums } = yield { room: { ...NO_ROOM, sums: groups * size }, look: (at) => ({ kind: 'columns', sumsAt: at.sums }) };
  const first = extrasAt(task);
  for (let column = 0; column < columns; column++) {
    const [aa, ab, bb] = [0, 1, 2].map((product) => {
      let sum = 0;
      for (let group = 0; group < groups; group++) sum += sums[group * size + product * columns + column] ?? 0;
      return sum;
    }) as [number, number, number];
    const [ofA = 0, ofB = 0] = nuslerpCoefficients(
      [
        [aa, ab],
        [ab, bb],
      ],
      t,
    );
    statistics.numbers[first + column] = ofA;
    statistics.numbers[first + columns + column] = ofB;
  }
}

/** All looks at one tensor: what stages need, and then what the combination needs. */
export function* allLooksOf(of: TaskStatistics): Looks {
  const { combine, stages } = of.task.program;
  const important = stages.findIndex((stage) => stage.kind === 'importance');
  if (important >= 0) yield* importanceLooks(of, important);
  yield* looksOf(of);
  if (combine.kind === 'column_slerp') yield* columnLooks(of, combine.t);
}
