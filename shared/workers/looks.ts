/** What each kind of look does with one block of a tensor's vectors. Counts go into this thread's tables, sums and ties into shared arrays. */
import { UNIT_ELEMENTS } from '../merge/program.js';
import { weighImportance } from './importance.js';
import { type Look, type LookBuffers, type ProgramStatistics, STATISTIC, type TensorTask } from './program-job.js';
import type { RowDraw } from './row-draw.js';
import { observeSpecial, type SpecialBench } from './special-looks.js';
import type { Vectors } from './vectors.js';

export const HIGH_BINS = 32_768;
export const LOW_BINS = 65_536;
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
  /** Address of this thread's tables: HIGH_BINS, or LOW_TABLES x LOW_BINS, for each input. */
  readonly tables: number;
  /** Room for the keys of a block. */
  readonly keyTable: number;
  /** Bytes of the kernels' memory. */
  bytes(pointer: number, length: number): Uint8Array;
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
    bench.vectors.v.histogramHigh(vector, block.size, bench.tables + use * HIGH_BINS * 4);
}

function low(bench: Bench, block: Block, look: LookOf<'low'>): void {
  for (const [use, vector] of counted(bench, block, look)) {
    (look.highs[use] ?? []).forEach((one, index) =>
      bench.vectors.v.histogramLow(vector, block.size, one, bench.tables + (use * LOW_TABLES + index) * LOW_BINS * 4),
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

/** A block is a row here. */
function draw(bench: Bench, { task, unit, start, at, size }: Block, look: LookOf<'draw'>): void {
  const { vectors, buffers, rowDraw, statistics } = bench;
  const stage = task.program.stages[look.stage];
  if (stage?.kind !== 'della') throw new Error('only della draws by rank');
  const first = look.sumsAt + unit * task.uses.length * 2;
  const bytesPerUse = Math.ceil(task.count / 8);
  for (const [use, vector] of vectors.pointers.entries()) {
    add(buffers.sums, first + use * 2, vectors.sumAbs(vector, size));
    rowDraw.draw(vectors.v, stage, use, vector, start + at, size);
    add(buffers.sums, first + use * 2 + 1, vectors.sumAbs(vector, size));
    vectors.storeMask(vector, size, statistics.bits, task.bitsAt + use * bytesPerUse, start + at);
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
  // Reductions read whole groups of eight.
  v.clear(spare, Math.ceil(size / 8) * 8 * v.sizeBytes);
  for (const pointer of pointers) v.add(spare, pointer, size);
  add(buffers.sums, look.sumsAt + unit, v.signBalance(spare, size));
}

export function observe(bench: Bench, block: Block, look: Look): void {
  switch (look.kind) {
    case 'high':
      return high(bench, block, look);
    case 'low':
      return low(bench, block, look);
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
