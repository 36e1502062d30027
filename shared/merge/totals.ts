/** What a plan will take, told before it runs. */
import { readBytesOf } from '../formats/tensor.js';
import { PRODUCT_ROOM_BYTES } from '../workers/product-reader.js';
import { taskBytes } from './matrix-memory.js';
import { BLOCK_ELEMENTS, UNIT_ELEMENTS } from './program.js';
import type { MergePlan, PlannedTensor, PlanTotals } from './types.js';

/** Of a process with two worker threads that does weighted sums; see `npm run bench -- merge`. */
const PROCESS_BYTES = 120_000_000;
const THREADS = 2;

/** The most passes that a tensor's statistics take; some turn out not to be needed. */
function passesOf({ program, pending }: PlannedTensor): number {
  if (pending !== undefined) return pending.rule === undefined ? 1 : 2;
  if (program === undefined) return 1;
  let passes = 1;
  for (const stage of program.stages) {
    if (stage.kind === 'band') passes += stage.scope === 'model' ? 2 : 3;
    else if (stage.kind === 'variance') passes += 4;
    else if (stage.kind === 'importance') passes += 5;
    if ('rescale' in stage && stage.rescale === 'l1') passes += 1;
  }
  const { combine } = program;
  if (combine.kind === 'competition') passes += 4;
  if (combine.kind === 'unify') passes += 1;
  if (program.lines !== undefined) passes += 1;
  if (combine.kind === 'energy' || combine.kind === 'column_slerp' || (combine.kind === 'consensus' && combine.zero === 'majority'))
    passes += 1;
  return passes;
}

/** Slots for what a thread reads and the vectors it makes of it. */
function memoryOf({ program, uses }: PlannedTensor): number {
  if (program === undefined) return 0;
  return THREADS * (uses.length + 2) * (UNIT_ELEMENTS * 4 + BLOCK_ELEMENTS * 8 + 650_000);
}

export function totalsOf({ tensors, shards, model }: Pick<MergePlan, 'tensors' | 'shards' | 'model'>): PlanTotals {
  let readBytes = 0;
  let passes = 1;
  let memory = 0;
  let factors = 0;
  for (const tensor of tensors) {
    const read = tensor.derivation?.inputs ?? tensor.uses;
    const sources = [...read.map((use) => use.tensor), ...(tensor.base === undefined ? [] : [tensor.base])];
    readBytes += sources.reduce((bytes, source) => bytes + readBytesOf(source), 0);
    if (sources.some(({ product, sum }) => product !== undefined || sum !== undefined)) factors = THREADS * PRODUCT_ROOM_BYTES;
    passes = Math.max(passes, passesOf(tensor));
    memory = Math.max(memory, memoryOf(tensor), tensor.derivation === undefined ? 0 : THREADS * taskBytes(tensor.derivation));
  }
  return {
    tensors: tensors.length,
    readBytes,
    writeBytes: shards.reduce((sum, shard) => sum + shard.sizeBytes, 0),
    passes: passes + (model === undefined ? 0 : 1),
    peakMemoryBytes: PROCESS_BYTES + factors + memory + (memory === 0 ? 0 : 96 * 1024 ** 2),
  };
}
