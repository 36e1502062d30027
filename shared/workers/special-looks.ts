/** Looks that take a tensor by rows or by columns: how they cut it, and what they do with a block. */
import type { Kernels } from '../kernels/kernels.js';
import { COLUMN_PRODUCTS, rowsOfGroup, wholeRows } from '../merge/program-numbers.js';
import { blockRows } from '../merge/program-tiling.js';
import { type Competition, createCompetition } from './competition.js';
import type { Look, LookBuffers, ProgramStatistics, TensorTask } from './program-job.js';
import type { Vectors } from './vectors.js';

export type SpecialLook = Extract<Look, { kind: 'columns' | 'divergence' }>;

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
  if (look.kind !== 'columns') return undefined;
  return { unit: columns * rowsOfGroup(program, count), piece, step: blockRows(columns) };
}

/** What special looks need beside the vectors. */
export interface SpecialBench {
  readonly competition: Competition;
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

export function observeSpecial(parts: Parts, rows: Rows, look: SpecialLook): void {
  if (look.kind === 'columns') return columns(parts, rows, look.sumsAt);
  const { vectors, buffers } = parts;
  const { task, start, at, size } = rows;
  buffers.sums[look.sumsAt + (start + at) / task.program.columns] = vectors.v.softmaxDivergence(
    vectors.pointers[0] ?? 0,
    vectors.base,
    size,
  );
}
