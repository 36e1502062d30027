/** Lays tensors out in safetensors files before anything is written: names, headers, sizes and the place of every tensor are known then. */
import { encodeCheckpointIndex } from '../formats/checkpoint-index.js';
import { encodeSafetensorsHeader, tensorSizeBytes } from '../formats/safetensors-header.js';
import { DTYPE_BYTES } from '../formats/tensor.js';
import type { MergePlan, PlannedShard, PlannedTensor } from './types.js';

export type UnplacedTensor = Omit<PlannedTensor, 'shard' | 'offset' | 'sizeBytes'>;

export interface ShardLayout {
  readonly tensors: readonly PlannedTensor[];
  readonly shards: readonly PlannedShard[];
  readonly indexText: string | undefined;
}

/** All files that tiles are written to, in the order of their numbers. */
export function outputFiles({ shards, taskMasks }: Pick<MergePlan, 'shards' | 'taskMasks'>): readonly PlannedShard[] {
  return taskMasks === undefined ? shards : [...shards, taskMasks.file];
}

/** What Hugging Face loaders look for to know the tensors came from PyTorch. */
const METADATA: ReadonlyMap<string, string> = new Map([['format', 'pt']]);

/**
 * Fills shards in the given order; a shard is closed when the next tensor would take its tensors over the limit. Within a shard wider dtypes
 * come first, so that every tensor is aligned to its width.
 */
export function layOutShards(tensors: readonly UnplacedTensor[], limitBytes: number, metadata = METADATA): ShardLayout {
  const groups: { tensor: UnplacedTensor; sizeBytes: number }[][] = [[]];
  let filledBytes = 0;
  for (const tensor of tensors) {
    const sizeBytes = tensorSizeBytes(tensor);
    if (filledBytes > 0 && filledBytes + sizeBytes > limitBytes) {
      groups.push([]);
      filledBytes = 0;
    }
    groups.at(-1)?.push({ tensor, sizeBytes });
    filledBytes += sizeBytes;
  }
  const shards: PlannedShard[] = [];
  const placed: PlannedTensor[] = [];
  const weightMap = new Map<string, string>();
  let totalBytes = 0;
  groups.forEach((group, shard) => {
    const number = (value: number): string => String(value).padStart(5, '0');
    const fileName = groups.length === 1 ? 'model.safetensors' : `model-${number(shard + 1)}-of-${number(groups.length)}.safetensors`;
    group.sort((a, b) => DTYPE_BYTES[b.tensor.dtype] - DTYPE_BYTES[a.tensor.dtype]);
    const headerBytes = encodeSafetensorsHeader(
      group.map(({ tensor }) => tensor),
      metadata,
    );
    let offset = headerBytes.length;
    for (const { tensor, sizeBytes } of group) {
      placed.push({ ...tensor, shard, offset, sizeBytes });
      weightMap.set(tensor.name, fileName);
      offset += sizeBytes;
      totalBytes += sizeBytes;
    }
    shards.push({ fileName, headerBytes, sizeBytes: offset });
  });
  return { tensors: placed, shards, indexText: groups.length === 1 ? undefined : encodeCheckpointIndex(weightMap, totalBytes) };
}
