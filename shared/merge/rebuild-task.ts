/**
 * One task's own model from a merge that kept masks (EMR-Merging, arXiv 2405.17461; TALL-masks, arXiv 2405.07813): base + factor x mask x
 * (merged - base), tensor by tensor, as a plan for the same engine. The merged model stores base + V, rounded: of 16-bit models whose rule
 * picks one of the inputs (EMR, lambda 1) nothing is lost by that, otherwise half a unit in the last place of the merged weight.
 */
import { open } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import { readSafetensorsFile, type SafetensorsFile } from '../formats/safetensors-file.js';
import { elementCount, type SafetensorsTensor } from '../formats/safetensors-header.js';
import { isMergeDType, type StoredTensor, type TensorMap } from '../formats/tensor.js';
import { layOutShards, type UnplacedTensor } from './shards.js';
import { maskBytes, RESCALER, TASK_MASKS_FORMAT } from './task-masks.js';
import { totalsOf } from './totals.js';
import type { MergeBase, MergePlan } from './types.js';

export interface TaskMasks {
  readonly path: string;
  readonly rule: string;
  readonly tasks: readonly string[];
  readonly base: string;
  readonly baseDigest: string | undefined;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

function tasksOf({ metadata, path }: SafetensorsFile): readonly string[] {
  let tasks: unknown;
  try {
    tasks = JSON.parse(metadata.get('tasks') ?? '');
  } catch {
    tasks = undefined;
  }
  if (metadata.get('format') === TASK_MASKS_FORMAT && Array.isArray(tasks) && tasks.every((task) => typeof task === 'string')) return tasks;
  throw new TributaryError('SAFETENSORS_HEADER_INVALID', {
    what: 'this is no file of task masks that this version knows',
    where: path,
    expected: `format ${TASK_MASKS_FORMAT}`,
    got: metadata.get('format') ?? 'none',
  });
}

/** @throws CHECKPOINT_NOT_FOUND, SAFETENSORS_* */
export async function openTaskMasks(path: string): Promise<TaskMasks> {
  const file = await readSafetensorsFile(path);
  return {
    path,
    rule: file.metadata.get('rule') ?? '',
    tasks: tasksOf(file),
    base: file.metadata.get('base') ?? '',
    baseDigest: file.metadata.get('base_digest'),
    tensors: new Map(file.tensors.map((tensor) => [tensor.name, tensor])),
  };
}

async function rescalerOf({ path, tensors }: TaskMasks, task: string): Promise<number> {
  const tensor = tensors.get(`${task}/${RESCALER}`);
  if (tensor?.dtype !== 'F32' || tensor.sizeBytes !== 4)
    throw new TributaryError('SAFETENSORS_HEADER_INVALID', { what: `task ${task} has no rescaler`, where: path });
  const file = await open(path, 'r');
  try {
    const bytes = new Uint8Array(4);
    await file.read(bytes, 0, 4, tensor.offset);
    return new DataView(bytes.buffer).getFloat32(0, true);
  } finally {
    await file.close();
  }
}

export interface RebuildRequest {
  readonly masks: TaskMasks;
  readonly task: string;
  readonly base: MergeBase;
  /** The merged model. */
  readonly merged: MergeBase;
  readonly shardSizeBytes: number;
}

/** The base's tensor as far as the merged one reaches: the merge may have cut rows off the embeddings. */
function baseFor(merged: StoredTensor, base: TensorMap, where: string): StoredTensor | undefined {
  const tensor = base.get(merged.name);
  if (tensor === undefined) return undefined;
  const [rows = 0, ...rest] = merged.shape;
  const [baseRows = 0, ...others] = tensor.shape;
  const sameRows = tensor.shape.length === merged.shape.length && rest.every((size, index) => size === others[index]);
  if (!sameRows || baseRows < rows)
    throw new TributaryError('SHAPE_MISMATCH', {
      what: `tensor ${merged.name} has another shape in the base`,
      where,
      expected: `[${merged.shape.join(', ')}]`,
      got: `[${tensor.shape.join(', ')}]`,
      fix: 'Give the base that the models were merged on.',
    });
  return { ...tensor, shape: merged.shape, sizeBytes: baseRows === 0 ? tensor.sizeBytes : (tensor.sizeBytes / baseRows) * rows };
}

function planTensor(merged: StoredTensor, { masks, task, base }: RebuildRequest, rescaler: number): UnplacedTensor {
  const { name, shape, dtype } = merged;
  const plain = { name, shape, dtype, divisor: 1, lambda: 1, plusBase: false };
  const fromBase = isMergeDType(dtype) ? baseFor(merged, base.tensors, base.name) : undefined;
  const count = elementCount(shape) ?? 0;
  if (fromBase === undefined || !isMergeDType(fromBase.dtype) || count === 0)
    return { ...plain, action: 'copy', uses: [{ input: 0, tensor: merged, mode: 'plain', coefficient: 1 }] };
  const mask = masks.tensors.get(`${task}/${name}`);
  if (mask === undefined) return { ...plain, action: 'merge', uses: [{ input: -1, tensor: fromBase, mode: 'plain', coefficient: 1 }] };
  if (mask.dtype !== 'U8' || mask.sizeBytes !== maskBytes(count))
    throw new TributaryError('SAFETENSORS_SIZE_MISMATCH', {
      what: `the mask of tensor ${name} does not fit the tensor`,
      where: masks.path,
      expected: `${maskBytes(count)} bytes`,
      got: `${mask.sizeBytes}`,
      fix: 'Give the folder that the masks were written with.',
    });
  return {
    ...plain,
    action: 'merge',
    uses: [{ input: 0, tensor: merged, mode: 'minusBase', coefficient: 1 }],
    base: fromBase,
    plusBase: true,
    program: {
      precision: dtype === 'F32' ? 64 : 32,
      rounding: 0,
      quirks: false,
      columns: count,
      stages: [{ kind: 'mask', path: masks.path, offset: mask.offset }],
      combine: { kind: 'sum', weights: [rescaler], normalize: false },
      lambda: 1,
      plusBase: true,
    },
  };
}

/** @throws USAGE (no such task), SHAPE_MISMATCH, SAFETENSORS_* */
export async function planTask(request: RebuildRequest): Promise<MergePlan> {
  const { masks, task, base, merged } = request;
  if (!masks.tasks.includes(task))
    throw new TributaryError('USAGE', { what: `the merge has no task ${task}`, where: masks.path, expected: masks.tasks.join(', ') });
  const rescaler = await rescalerOf(masks, task);
  const layout = layOutShards(
    [...merged.tensors.values()].map((tensor) => planTensor(tensor, request, rescaler)),
    request.shardSizeBytes,
  );
  return {
    inputNames: [merged.name],
    baseName: base.name,
    ...layout,
    warnings: rescaler === 0 ? [`nothing of the merge is left for ${task}: its model is the base`] : [],
    totals: totalsOf({ tensors: layout.tensors, shards: layout.shards, model: undefined }),
  };
}
