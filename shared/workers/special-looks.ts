/** Looks that take a tensor by rows or by columns: how they cut it, and what they do with a block. */
import type { Kernels } from '../kernels/kernels.js';
import { BLOCK_ELEMENTS, type TensorProgram } from '../merge/program.js';
import { COLUMN_PRODUCTS, rowsOfGroup, wholeRows } from '../merge/program-numbers.js';
import { blockRows, stepElementsOf, tileElementsOf } from '../merge/program-tiling.js';
import { type Combiner, createCombiner } from './combine.js';
import { type Competition, createCompetition } from './competition.js';
import type { Look, LookBuffers, ProgramStatistics, TensorTask } from './program-job.js';
import { createMaskMaker, type MaskMaker } from './task-masks.js';
import type { Vectors } from './vectors.js';

export type SpecialLook = Extract<Look, { kind: 'columns' | 'divergence' | 'sizes' | 'norms' }>;

/** Elements: of a unit, which one thread does; of what is read at a time; of what is loaded at a time. Each a multiple of the next, but the last. */
export interface LookShape {
  readonly unit: number;
  readonly piece: number;
  readonly step: number;
}

/** Undefined for looks that go block by block. */
export function specialShape(look: Look, { program, count }: Pick<TensorTask, 'program' | 'count'>): LookShape | undefined {
  const { columns } = program;
  const piece = wholeRows(columns);
  if (look.kind === 'divergence') return { unit: piece, piece, step: columns };
  if (look.kind === 'sizes' || look.kind === 'norms') return combinedShape(program);
  if (look.kind !== 'columns') return undefined;
  return { unit: columns * rowsOfGroup(program, count), piece, step: blockRows(columns) };
}

/** Of looks at what becomes of the vectors: cut like the tiles of the last pass. */
function combinedShape(program: TensorProgram): LookShape {
  const unit = tileElementsOf(program);
  return { unit, piece: unit, step: stepElementsOf(program) };
}

/** What special looks need beside the vectors. */
export interface SpecialBench {
  readonly competition: Competition;
  readonly combiner: Combiner;
  readonly masks: MaskMaker;
  /** Address of f64[COLUMN_PRODUCTS][columns]. */
  columnSums(columns: number): number;
  /** Numbers of the kernels' memory. */
  doubles(pointer: number, count: number): Float64Array;
}

export function createSpecialBench(kernels: Kernels, vectors: Vectors, statistics: ProgramStatistics): SpecialBench {
  let sums = 0;
  let capacity = 0;
  return {
    competition: createCompetition(kernels, vectors, statistics),
    combiner: createCombiner(kernels, vectors, statistics),
    masks: createMaskMaker(kernels, vectors),
    columnSums(columns) {
      if (columns > capacity) {
        capacity = columns;
        sums = kernels.reserve(COLUMN_PRODUCTS * columns * 8);
      }
      return sums;
    },
    doubles(pointer, count) {
      const bytes = kernels.bytes(pointer, count * 8);
      return new Float64Array(bytes.buffer, bytes.byteOffset, count);
    },
  };
}

/** Elements [start + at, start + at + size) of the tensor, of its unit number `unit`. */
interface Rows {
  readonly task: TensorTask;
  readonly unit: number;
  readonly start: number;
  readonly at: number;
  readonly size: number;
}

interface Parts {
  readonly vectors: Vectors;
  readonly buffers: LookBuffers;
  readonly special: SpecialBench;
}

/** Sums stay in the kernels' memory from the first rows of a group to its last. */
function columns({ vectors, buffers, special }: Parts, { task, unit, start, at, size }: Rows, sumsAt: number): void {
  const { v, pointers } = vectors;
  const [a = 0, b = 0] = pointers;
  const { program, count } = task;
  const length = program.columns;
  const group = length * rowsOfGroup(program, count);
  const from = start + at;
  const sums = special.columnSums(length);
  const numbers = COLUMN_PRODUCTS * length;
  if (from === unit * group) v.clear(sums, numbers * 8);
  for (let row = 0; row < size; row += length) v.columnProducts(a + row * v.sizeBytes, b + row * v.sizeBytes, length, sums);
  if (from + size === Math.min(count, (unit + 1) * group)) buffers.sums.set(special.doubles(sums, numbers), sumsAt + unit * numbers);
}

/** Combines what is loaded; blocks of the result and of each input go to `of`. */
function combined(
  { vectors, special }: Parts,
  size: number,
  of: (use: number, vector: number, merged: number, count: number) => void,
): void {
  const { combiner } = special;
  combiner.combine(size);
  for (let done = 0; done < size; done += BLOCK_ELEMENTS) {
    const shift = done * vectors.v.sizeBytes;
    vectors.pointers.forEach((pointer, use) => of(use, pointer + shift, combiner.result + shift, Math.min(BLOCK_ELEMENTS, size - done)));
  }
}

function sizes(parts: Parts, { task, unit, size }: Rows, sumsAt: number): void {
  const { vectors, buffers, special } = parts;
  const { v, spare } = vectors;
  const rule = task.program.taskMask;
  if (rule === undefined) return;
  combined(parts, size, (use, vector, merged, count) => {
    const at = sumsAt + (unit * task.uses.length + use) * 2;
    const bits = special.masks.make(rule, vector, merged, count);
    v.clear(spare, count * v.sizeBytes);
    v.add(spare, merged, count);
    v.applyMask(spare, count, bits);
    buffers.sums[at] = (buffers.sums[at] ?? 0) + v.sumAbs(vector, count);
    buffers.sums[at + 1] = (buffers.sums[at + 1] ?? 0) + v.sumAbs(spare, count);
  });
}

/** Elements that a reduction reads: what lies behind the last one must be zero. */
const wholeGroups = (count: number): number => Math.ceil(count / 8) * 8;

/** Stages are applied here, after the vectors were added up as they came. */
function norms({ vectors, buffers, special }: Parts, { task, unit, at, size }: Rows, sumsAt: number): void {
  const { v, spare } = vectors;
  v.clear(spare, wholeGroups(size) * v.sizeBytes);
  for (const pointer of vectors.pointers) v.add(spare, pointer, size);
  const before = vectors.sumAbs(spare, size);
  task.program.stages.forEach((_, stage) => vectors.applyStage(stage, at, size));
  special.combiner.combine(size);
  const { result } = special.combiner;
  v.clear(result + size * v.sizeBytes, (wholeGroups(size) - size) * v.sizeBytes);
  const to = sumsAt + unit * 2;
  buffers.sums[to] = (buffers.sums[to] ?? 0) + before;
  buffers.sums[to + 1] = (buffers.sums[to + 1] ?? 0) + vectors.sumAbs(result, size);
}

export function observeSpecial(parts: Parts, rows: Rows, look: SpecialLook): void {
  if (look.kind === 'columns') return columns(parts, rows, look.sumsAt);
  if (look.kind === 'sizes') return sizes(parts, rows, look.sumsAt);
  if (look.kind === 'norms') return norms(parts, rows, look.sumsAt);
  const { vectors, buffers } = parts;
  const { task, start, at, size } = rows;
  buffers.sums[look.sumsAt + (start + at) / task.program.columns] = vectors.v.softmaxDivergence(
    vectors.pointers[0] ?? 0,
    vectors.base,
    size,
  );
}
