/** A merge plan as plain numbers in shared memory, ready for the workers; and the way back from a tile's number to a tensor. */
import { elementCount } from '../formats/safetensors-header.js';
import { DTYPE_BYTES, isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE, VALUE_MODE } from '../kernels/kernels.js';
import { createSourceTableBuilder, type SourceTable, sharedNumbers } from '../workers/source-table.js';
import { ACTION, TENSOR } from './job-layout.js';
import type { MergePlan, PlannedTensor } from './types.js';

export interface CompiledPlan {
  readonly sources: SourceTable;
  readonly tensors: Float64Array;
  readonly uses: Float64Array;
  readonly tiles: number;
  /** Bytes of the largest buffer a tile needs. */
  readonly tileBytes: number;
}

/** Few, because memory must not grow with the number of contributions; enough, because a second pass over the accumulator costs. */
export const GROUP_SIZE = 8;

function dtypeCode(tensor: { readonly dtype: StoredTensor['dtype'] }): number {
  return isMergeDType(tensor.dtype) ? DTYPE_CODE[tensor.dtype] : -1;
}

/** Elements of a tile such that no buffer of it exceeds `tileBytes`; whole blocks, so that only the last tile has a tail. */
function tileCountOf(tensor: PlannedTensor, tileBytes: number): number {
  if (tensor.action !== 'merge') return tileBytes;
  const width = Math.max(
    DTYPE_BYTES[tensor.dtype],
    ...tensor.uses.map((use) => DTYPE_BYTES[use.tensor.dtype]),
    tensor.base === undefined ? 0 : DTYPE_BYTES[tensor.base.dtype],
  );
  return Math.max(1, Math.floor(tileBytes / width));
}

export function compilePlan(plan: MergePlan, tileBytes: number): CompiledPlan {
  const builder = createSourceTableBuilder();
  const tensors: number[] = [];
  const uses: number[] = [];
  let tiles = 0;
  for (const tensor of plan.tensors) {
    const count = tensor.action === 'merge' ? (elementCount(tensor.shape) ?? 0) : tensor.sizeBytes;
    if (count === 0) continue;
    const tileCount = tileCountOf(tensor, tileBytes);
    const firstUse = uses.length / 4;
    for (const use of tensor.uses)
      uses.push(builder.add(use.tensor.segments), dtypeCode(use.tensor), VALUE_MODE[use.mode], use.coefficient);
    const fields = Array<number>(TENSOR.fields).fill(0);
    fields[TENSOR.firstTile] = tiles;
    fields[TENSOR.action] = ACTION[tensor.action];
    fields[TENSOR.count] = count;
    fields[TENSOR.tileCount] = tileCount;
    fields[TENSOR.shard] = tensor.shard;
    fields[TENSOR.offset] = tensor.offset;
    fields[TENSOR.outDtype] = dtypeCode(tensor);
    fields[TENSOR.firstUse] = firstUse;
    fields[TENSOR.useCount] = tensor.uses.length;
    fields[TENSOR.baseSource] = tensor.base === undefined ? -1 : builder.add(tensor.base.segments);
    fields[TENSOR.baseDtype] = tensor.base === undefined ? 0 : dtypeCode(tensor.base);
    fields[TENSOR.divisor] = tensor.divisor;
    fields[TENSOR.lambda] = tensor.lambda;
    fields[TENSOR.plusBase] = tensor.plusBase ? 1 : 0;
    tensors.push(...fields);
    tiles += Math.ceil(count / tileCount);
  }
  return { sources: builder.build(), tensors: sharedNumbers(tensors), uses: sharedNumbers(uses), tiles, tileBytes };
}

/** The tensor that a tile belongs to. Tensors without elements have no tiles. */
export function tensorOfTile(plan: MergePlan, compiled: CompiledPlan, tile: number): PlannedTensor | undefined {
  let record = 0;
  let found: PlannedTensor | undefined;
  for (const tensor of plan.tensors) {
    if (tensor.sizeBytes === 0) continue;
    if ((compiled.tensors[record * TENSOR.fields + TENSOR.firstTile] ?? 0) > tile) break;
    found = tensor;
    record += 1;
  }
  return found;
}
