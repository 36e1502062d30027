/**
 * A plan is merged part by part when statistics come first: so what a pass has read is still in the page cache when the next one reads it, and
 * counts of few tensors are in memory at a time. Parts change neither tiles nor results.
 */

import { elementCount } from '../formats/safetensors-header.js';
import { readBytesOf } from '../formats/tensor.js';
import { HIGH_TABLE_ENTRIES, LOW_TABLE_ENTRIES } from '../kernels/block-functions.js';
import { LOW_TABLES } from '../workers/looks.js';
import { statisticsRoom } from './compile-job.js';
import { isModelWideCombine } from './measure-combination.js';
import { extraSums } from './program-numbers.js';
import type { MergePlan, PlannedTensor } from './types.js';

/** Tensors [from, to) of a plan. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

const READ_BYTES = 1024 ** 3;
const STATISTICS_BYTES = 96 * 1024 ** 2;
const TENSORS = 4096;

export const isModelWide = ({ program }: PlannedTensor): boolean =>
  program !== undefined &&
  (program.stages.some((stage) => stage.kind === 'band' && stage.scope === 'model') ||
    program.lines !== undefined ||
    isModelWideCombine(program.combine) ||
    (program.combine.kind === 'consensus' && program.combine.zero === 'majority'));

function statisticsBytes(tensor: PlannedTensor): number {
  const { program, uses } = tensor;
  if (program === undefined) return 0;
  const counts = program.stages.some((stage) => stage.kind === 'band' || stage.kind === 'variance' || stage.kind === 'importance');
  const sums = extraSums(program, elementCount(tensor.shape) ?? 0);
  const { numbers, ties, bits } = statisticsRoom(tensor);
  return (
    (numbers + sums) * 8 +
    ties * 4 +
    bits +
    (counts && tensor.sizeBytes > 8192 ? uses.length * (HIGH_TABLE_ENTRIES + LOW_TABLES * LOW_TABLE_ENTRIES) * 4 : 0)
  );
}

const readBytes = ({ uses, base, derivation }: PlannedTensor): number =>
  [...uses, ...(derivation?.inputs ?? []), ...(base === undefined ? [] : [{ tensor: base }])].reduce(
    (sum, { tensor }) => sum + readBytesOf(tensor),
    0,
  );

export function cutParts({ tensors }: Pick<MergePlan, 'tensors'>): Part[] {
  const measured = tensors.some(
    (tensor) => tensor.program !== undefined || tensor.pending !== undefined || tensor.derivation !== undefined,
  );
  if (!measured || tensors.some(isModelWide)) return [{ from: 0, to: tensors.length }];
  const parts: Part[] = [];
  let from = 0;
  let read = 0;
  let statistics = 0;
  tensors.forEach((tensor, index) => {
    read += readBytes(tensor);
    statistics += statisticsBytes(tensor);
    if (index > from && (read > READ_BYTES || statistics > STATISTICS_BYTES || index - from >= TENSORS)) {
      parts.push({ from, to: index });
      from = index;
      read = readBytes(tensor);
      statistics = statisticsBytes(tensor);
    }
  });
  parts.push({ from, to: tensors.length });
  return parts;
}
