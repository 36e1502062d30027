/**
 * Which statistics a program needs, in which order, and what is made of them: a generator for each tensor asks for one look after another and
 * writes what it learned where the next look and the last pass find it.
 */

import { LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { unitElementsOf } from '../workers/look-tiles.js';
import { LOW_TABLES } from '../workers/looks.js';
import { numberIndex, STATISTIC } from '../workers/program-job.js';
import { findBands, findByCounting, SORTED_UP_TO, setBorders } from './find-bands.js';
import { type Looks, NO_ROOM, type TaskStatistics, total } from './look-requests.js';
import { type Band, type Stage, UNIT_ELEMENTS } from './program.js';
import { roundTo } from './rounding.js';
import { bandBorders, borderInSorted, borderPositions, EMPTY_BAND } from './selection.js';

/** Below it mergekit takes a 1-norm for zero and does not rescale. */
const MERGEKIT_SMALLEST_NORM = 1e-7;

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
    room: { ...NO_ROOM, tables: LOW_TABLES * LOW_TABLE_ENTRIES * uses.length },
    look: (at) => ({ kind: 'low', stage, tables: at.tables, highs: [[0]] }),
  };
  const zeros = tables[0] ?? 0;
  const band = bandOf(count - zeros);
  if (band.from >= count) setBorders(of, stage, 0, EMPTY_BAND);
  else yield* findByCounting(of, stage, [{ use: 0, band, ...borderPositions(band, count) }]);
}

/** All looks at one tensor. Bands over whole models are found before (measure-model.ts). */
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
