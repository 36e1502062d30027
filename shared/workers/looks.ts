/** What each kind of look does with one block of a tensor's vectors. Counts go into this thread's tables, sums and ties into shared arrays. */
import { HIGH_TABLE_ENTRIES, LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { UNIT_ELEMENTS } from '../merge/program.js';
import { weighImportance } from './importance.js';
import { type Look, type LookBuffers, type ProgramStatistics, STATISTIC, type TensorTask, UNIT_INDEX_FIELDS } from './program-job.js';
import type { RowDraw } from './row-draw.js';
import { observeSpecial, type SpecialBench } from './special-looks.js';
import type { Vectors } from './vectors.js';

/** Upper halves of a band's two borders. */
export const LOW_TABLES = 2;

/** One block: elements [at, at + size) of a unit. */
export interface Block {
  readonly task: TensorTask;
  readonly unit: number;
  /** Index in the tensor of the unit's first element. */
  readonly start: number;
  readonly at: number;
  readonly size: number;
}

export interface Bench {
  readonly vectors: Vectors;
  readonly rowDraw: RowDraw;
  readonly statistics: ProgramStatistics;
  readonly buffers: LookBuffers;
  readonly special: SpecialBench;
  /** Address of this thread's tables: HIGH_TABLE_ENTRIES, or LOW_TABLES x LOW_TABLE_ENTRIES, for each input. */
  readonly tables: number;
  /** Room for the keys of a block. */
  readonly keyTable: number;
  /** Lists of the current unit: UNIT_ELEMENTS (u32) for each range; how many they hold, and how many are smaller; room for two u32. */
  readonly gathered: { address: number; readonly listed: number[]; readonly smaller: number[]; found: number };
  /** Bytes of the kernels' memory. */
  readonly bytes: (pointer: number, length: number) => Uint8Array;
}

type LookOf<K extends Look['kind']> = Extract<Look, { kind: K }>;

/** Number of stages that are applied before the look. */
export function stagesBefore(look: Look, task: TensorTask): number {
  if (look.kind === 'divergence' || look.kind === 'norms') return 0;
  if (look.kind === 'energy' || look.kind === 'signs' || look.kind === 'columns' || look.kind === 'sizes')
    return task.program.stages.length;
  return look.kind === 'gram' ? 0 : look.stage;
}

/** Stages of variance and importance measure one vector made of the inputs; the others each input that they thin out. */
function* measured(
  { vectors, statistics }: Bench,
  { task, start, at, size }: Block,
  stageIndex: number,
): Generator<[use: number, vector: number]> {
  const stage = task.program.stages[stageIndex];
  if (stage?.kind === 'variance') {
    vectors.v.variance(vectors.pointerList, vectors.pointers.length, vectors.spare, size);
    yield [0, vectors.spare];
    return;
  }
  if (stage?.kind === 'importance') {
    weighImportance(vectors.v, statistics, task, vectors.pointers[0] ?? 0, vectors.spare, start + at, size);
    yield [0, vectors.spare];
    return;
  }
  for (const [use, vector] of vectors.pointers.entries()) {
    if (stage?.kind === 'band' && stage.bands[use] === undefined) continue;
    yield [use, vector];
  }
}

const counted = (bench: Bench, block: Block, { scores, stage }: LookOf<'high' | 'low'>): Generator<[use: number, vector: number]> =>
  scores === true ? bench.special.competition.scores(block.task, block.size) : measured(bench, block, stage);

function add(sums: Float64Array, index: number, value: number): void {
  sums[index] = (sums[index] ?? 0) + value;
}

function high(bench: Bench, block: Block, look: LookOf<'high'>): void {
  for (const [use, vector] of counted(bench, block, look))
    bench.vectors.v.histogramHigh(vector, block.size, bench.tables + use * HIGH_TABLE_ENTRIES * 4);
}

function low(bench: Bench, block: Block, look: LookOf<'low'>): void {
  for (const [use, vector] of counted(bench, block, look)) {
    (look.highs[use] ?? []).forEach((one, index) =>
      bench.vectors.v.histogramLow(vector, block.size, one, bench.tables + (use * LOW_TABLES + index) * LOW_TABLE_ENTRIES * 4),
    );
  }
}

function keys(bench: Bench, block: Block, look: LookOf<'keys'>): void {
  for (const [use, vector] of measured(bench, block, look.stage)) {
    bench.vectors.v.keysOf(vector, block.size, bench.keyTable);
    const bytes = bench.bytes(bench.keyTable, block.size * 4);
    bench.buffers.keys.set(
      new Uint32Array(bytes.buffer, bytes.byteOffset, block.size),
      look.keysAt + use * block.task.count + block.start + block.at,
    );
  }
}

function gather(bench: Bench, block: Block, look: LookOf<'gather'>): void {
  const { gathered } = bench;
  const vectors = new Map(measured(bench, block, look.stage));
  look.ranges.forEach(({ use, low, high }, range) => {
    const have = gathered.listed[range] ?? 0;
    const to = gathered.address + (range * UNIT_ELEMENTS + have) * 4;
    bench.vectors.v.gatherKeys(vectors.get(use) ?? 0, block.size, low, high, to, gathered.found);
    const bytes = bench.bytes(gathered.found, 8);
    const [listed = 0, smaller = 0] = new Uint32Array(bytes.buffer, bytes.byteOffset, 2);
    gathered.listed[range] = have + listed;
    gathered.smaller[range] = (gathered.smaller[range] ?? 0) + smaller;
  });
}

/** Leaves what a unit gathered in the shared lists. */
export function leaveGathered({ gathered, buffers, bytes }: Bench, unit: number, look: LookOf<'gather'>): void {
  const { keys } = buffers;
  look.ranges.forEach(({ indexAt, listAt, room }, range) => {
    const count = gathered.listed[range] ?? 0;
    const at = Atomics.add(keys, indexAt, count);
    const own = bytes(gathered.address + range * UNIT_ELEMENTS * 4, count * 4);
    if (at + count <= room) keys.set(new Uint32Array(own.buffer, own.byteOffset, count), listAt + at);
    const entry = indexAt + 1 + unit * UNIT_INDEX_FIELDS;
    keys[entry] = at;
    keys[entry + 1] = count;
    keys[entry + 2] = gathered.smaller[range] ?? 0;
    gathered.listed[range] = 0;
    gathered.smaller[range] = 0;
  });
}

function ties(bench: Bench, block: Block, look: LookOf<'ties'>): void {
  const { task, unit, size } = block;
  const { numbers, ties: counts } = bench.statistics;
  const units = Math.ceil(task.count / UNIT_ELEMENTS);
  for (const [use, vector] of measured(bench, block, look.stage)) {
    const one = look.stage * task.uses.length + use;
    const numbersAt = task.numbersAt + one * STATISTIC.fields;
    const at = task.tiesAt + (one * units + unit) * 2;
    [STATISTIC.low, STATISTIC.high].forEach((field, border) => {
      const found = bench.vectors.v.countKey(vector, size, numbers[numbersAt + field] ?? 0);
      counts[at + border] = (counts[at + border] ?? 0) + found;
    });
  }
}

function sums(bench: Bench, { task, unit, at, size }: Block, look: LookOf<'sums'>): void {
  const { vectors, buffers } = bench;
  const first = look.sumsAt + unit * task.uses.length * 2;
  vectors.pointers.forEach((vector, use) => add(buffers.sums, first + use * 2, vectors.v.sumAbs(vector, size)));
  vectors.applyStage(look.stage, at, size);
  vectors.pointers.forEach((vector, use) => add(buffers.sums, first + use * 2 + 1, vectors.v.sumAbs(vector, size)));
}

/** A block is one or more whole rows here. */
function draw(bench: Bench, { task, unit, start, at, size }: Block, look: LookOf<'draw'>): void {
  const { vectors, buffers, rowDraw, statistics } = bench;
  const { columns, stages } = task.program;
  const stage = stages[look.stage];
  if (stage?.kind !== 'della') throw new Error('only della draws by rank');
  const first = look.sumsAt + unit * task.uses.length * 2;
  const bytesPerUse = Math.ceil(task.count / 8);
  for (const [use, vector] of vectors.pointers.entries()) {
    if ((stage.densities[use] ?? 1) >= 1) continue;
    add(buffers.sums, first + use * 2, vectors.sumAbs(vector, size));
    const mask = rowDraw.mask(vectors.v, stage, use, vector, start + at, size, columns);
    vectors.v.applyMask(vector, size, mask);
    add(buffers.sums, first + use * 2 + 1, vectors.sumAbs(vector, size));
    vectors.storeMask(mask, size, statistics.bits, task.bitsAt + use * bytesPerUse, start + at);
  }
}

function energy({ vectors, buffers }: Bench, { task, unit, size }: Block, look: LookOf<'energy'>): void {
  const first = look.sumsAt + unit * task.uses.length;
  vectors.pointers.forEach((vector, use) => add(buffers.sums, first + use, vectors.v.sumSquares(vector, size)));
}

function gram({ vectors, buffers }: Bench, { unit, size }: Block, look: LookOf<'gram'>): void {
  const { pointers, v } = vectors;
  const n = pointers.length;
  let at = look.sumsAt + unit * (look.pairs ? (n * (n + 1)) / 2 : n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < (look.pairs ? n : i + 1); j++) {
      add(buffers.sums, at, i === j ? v.sumSquares(pointers[i] ?? 0, size) : v.dot(pointers[i] ?? 0, pointers[j] ?? 0, size));
      at += 1;
    }
  }
}

function signs({ vectors, buffers }: Bench, { unit, size }: Block, look: LookOf<'signs'>): void {
  const { v, pointers, spare } = vectors;
  v.zero(spare, size);
  for (const pointer of pointers) v.add(spare, pointer, size);
  add(buffers.sums, look.sumsAt + unit, v.signBalance(spare, size));
}

export function observe(bench: Bench, block: Block, look: Look): void {
  switch (look.kind) {
    case 'high':
      return high(bench, block, look);
    case 'low':
      return low(bench, block, look);
    case 'gather':
      return gather(bench, block, look);
    case 'select':
      throw new Error('lists are looked at without vectors');
    case 'keys':
      return keys(bench, block, look);
    case 'ties':
      return ties(bench, block, look);
    case 'sums':
      return sums(bench, block, look);
    case 'draw':
      return draw(bench, block, look);
    case 'energy':
      return energy(bench, block, look);
    case 'gram':
      return gram(bench, block, look);
    case 'signs':
      return signs(bench, block, look);
    case 'columns':
    case 'divergence':
    case 'sizes':
    case 'norms':
      return observeSpecial(bench, block, look);
  }
}
