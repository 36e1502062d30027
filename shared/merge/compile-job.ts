/**
 * A merge plan as plain numbers in shared memory, ready for the workers; and the way back from a tile's number to a tensor. Tiles are numbered
 * through the whole plan; what the workers get may be a part of it.
 */
import { elementCount } from '../formats/safetensors-header.js';
import { DTYPE_BYTES, isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE, VALUE_MODE } from '../kernels/kernels.js';
import { type ProgramStatistics, STATISTIC, type TensorTask } from '../workers/program-job.js';
import { createSourceTableBuilder, type SourceTable, sharedNumbers } from '../workers/source-table.js';
import { ACTION, TENSOR } from './job-layout.js';
import { UNIT_ELEMENTS } from './program.js';
import { extraNumbers } from './program-numbers.js';
import { tileElementsOf } from './program-tiling.js';
import { emptyStatistics } from './task-statistics.js';
import type { MergePlan, PlannedTensor } from './types.js';

export interface CompiledPart {
  readonly sources: SourceTable;
  readonly tensors: Float64Array;
  readonly uses: Float64Array;
  /** For each record of `tensors` its program, if it has one. */
  readonly tasks: readonly (TensorTask | undefined)[];
  readonly statistics: ProgramStatistics;
  /** Tiles [firstTile, endTile) of the plan. */
  readonly firstTile: number;
  readonly endTile: number;
}

/** How the tensors of a plan are cut. */
export interface TileLayout {
  /** For each tensor its first tile, and the number of all tiles behind the last. */
  readonly firstTiles: readonly number[];
  /** For each tensor elements to merge, or bytes to copy, of one tile. */
  readonly tileCounts: readonly number[];
  readonly tiles: number;
  /** Bytes of the largest buffer a tile of a weighted sum needs. */
  readonly tileBytes: number;
}

/** Few, because memory must not grow with the number of contributions; enough, because a second pass over the accumulator costs. */
export const GROUP_SIZE = 8;

function dtypeCode(tensor: { readonly dtype: StoredTensor['dtype'] }): number {
  return isMergeDType(tensor.dtype) ? DTYPE_CODE[tensor.dtype] : -1;
}

const isCopy = (tensor: PlannedTensor): boolean => tensor.action !== 'merge';
const countOf = (tensor: PlannedTensor): number => (isCopy(tensor) ? tensor.sizeBytes : (elementCount(tensor.shape) ?? 0));

/** Elements of a tile such that no buffer of it exceeds `tileBytes`; whole blocks, so that only the last tile has a tail. */
function tileCountOf(tensor: PlannedTensor, tileBytes: number): number {
  if (isCopy(tensor)) return tileBytes;
  if (tensor.program !== undefined) return tileElementsOf(tensor.program);
  if (tensor.pending?.cast !== undefined) return UNIT_ELEMENTS;
  const terms = tensor.pending?.spec.terms ?? tensor.uses;
  const base = tensor.pending?.spec.base ?? tensor.base;
  const width = Math.max(
    DTYPE_BYTES[tensor.dtype],
    ...terms.map((use) => DTYPE_BYTES[use.tensor.dtype]),
    base === undefined ? 0 : DTYPE_BYTES[base.dtype],
  );
  return Math.max(1, Math.floor(tileBytes / width));
}

export function layOutTiles(tensors: readonly PlannedTensor[], tileBytes: number): TileLayout {
  const firstTiles: number[] = [];
  const tileCounts = tensors.map((tensor) => tileCountOf(tensor, tileBytes));
  let tiles = 0;
  tensors.forEach((tensor, index) => {
    firstTiles.push(tiles);
    tiles += Math.ceil(countOf(tensor) / (tileCounts[index] ?? 1));
  });
  firstTiles.push(tiles);
  return { firstTiles, tileCounts, tiles, tileBytes };
}

/** Numbers of shared arrays a task's statistics take. */
export interface StatisticsRoom {
  readonly numbers: number;
  readonly ties: number;
  readonly bits: number;
}

export function statisticsRoom(tensor: PlannedTensor): StatisticsRoom {
  const { program, uses } = tensor;
  if (program === undefined) return { numbers: 0, ties: 0, bits: 0 };
  const count = countOf(tensor);
  const units = Math.ceil(count / UNIT_ELEMENTS);
  const bands = program.stages.some((stage) => stage.kind === 'band' || stage.kind === 'variance');
  const draws = program.stages.some((stage) => stage.kind === 'mask' || (stage.kind === 'della' && stage.rescale !== 'probability'));
  return {
    numbers: (program.stages.length + 1) * uses.length * STATISTIC.fields + extraNumbers(program, count),
    ties: bands ? program.stages.length * uses.length * units * 2 : 0,
    bits: draws ? uses.length * Math.ceil(count / 8) : 0,
  };
}

/**
 * @param tensors numbers [from, to) of the plan's
 * @param pathOf where scratch paths lie, once that is known
 */
export function compilePart(
  tensors: readonly PlannedTensor[],
  from: number,
  layout: TileLayout,
  pathOf?: (path: string) => string,
): CompiledPart {
  const builder = createSourceTableBuilder(pathOf);
  const records: number[] = [];
  const uses: number[] = [];
  const tasks: (TensorTask | undefined)[] = [];
  const room = { numbers: 0, ties: 0, bits: 0 };
  tensors.forEach((tensor, index) => {
    const count = countOf(tensor);
    if (count === 0) return;
    const firstTile = layout.firstTiles[from + index] ?? 0;
    const firstUse = uses.length / 4;
    const sources = tensor.uses.map((use) => ({
      source: builder.addTensor(use.tensor),
      dtype: dtypeCode(use.tensor),
      mode: VALUE_MODE[use.mode],
      input: use.input,
    }));
    tensor.uses.forEach(({ coefficient }, use) => {
      const one = sources[use];
      if (one !== undefined) uses.push(one.source, one.dtype, one.mode, coefficient);
    });
    const base = tensor.base === undefined ? undefined : { source: builder.addTensor(tensor.base), dtype: dtypeCode(tensor.base) };
    const fields = Array<number>(TENSOR.fields).fill(0);
    fields[TENSOR.firstTile] = firstTile;
    fields[TENSOR.action] = tensor.program === undefined ? ACTION[tensor.action] : ACTION.program;
    fields[TENSOR.count] = count;
    fields[TENSOR.tileCount] = layout.tileCounts[from + index] ?? 1;
    fields[TENSOR.shard] = tensor.shard;
    fields[TENSOR.offset] = tensor.offset;
    fields[TENSOR.outDtype] = dtypeCode(tensor);
    fields[TENSOR.firstUse] = firstUse;
    fields[TENSOR.useCount] = tensor.uses.length;
    fields[TENSOR.baseSource] = base === undefined ? -1 : base.source;
    fields[TENSOR.baseDtype] = base === undefined ? 0 : base.dtype;
    fields[TENSOR.divisor] = tensor.divisor;
    fields[TENSOR.lambda] = tensor.lambda;
    fields[TENSOR.plusBase] = tensor.plusBase ? 1 : 0;
    records.push(...fields);
    const needs = statisticsRoom(tensor);
    tasks.push(
      tensor.program === undefined
        ? undefined
        : {
            tile: firstTile,
            program: tensor.program,
            count,
            uses: sources,
            base,
            outDtype: dtypeCode(tensor),
            numbersAt: room.numbers,
            tiesAt: needs.ties === 0 ? -1 : room.ties,
            bitsAt: room.bits,
            masks: tensor.masks,
          },
    );
    room.numbers += needs.numbers;
    room.ties += needs.ties;
    room.bits += needs.bits;
  });
  return {
    sources: builder.build(),
    tensors: sharedNumbers(records),
    uses: sharedNumbers(uses),
    tasks,
    statistics: emptyStatistics(room),
    firstTile: layout.firstTiles[from] ?? 0,
    endTile: layout.firstTiles[from + tensors.length] ?? layout.tiles,
  };
}

/** The tensor that a tile belongs to. Tensors without elements have no tiles. */
export function tensorOfTile(plan: MergePlan, { firstTiles }: TileLayout, tile: number): PlannedTensor | undefined {
  let low = 0;
  let high = plan.tensors.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((firstTiles[middle] ?? 0) <= tile) low = middle;
    else high = middle - 1;
  }
  return plan.tensors[low];
}
