/**
 * The file beside a merged model that gives back one model for each task (EMR-Merging, TALL-masks): for each task and tensor a bit an element,
 * and a factor. Task t = base + factor x mask x (merged - base); see rebuild-task.ts. Laid out before anything is written, like the weights.
 *
 * Format 1, safetensors: `TASK/rescaler` F32 [1]; `TASK/TENSOR` U8 [ceil(n / 8)], element i at bit i & 7 of byte i >> 3, unused bits 0; in
 * `__metadata__` format, rule, tasks (JSON list), base, and base_digest (SHA-256 of the base's weights) where it is known. A tensor that a
 * task has no mask for is the base's.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { elementCount, encodeSafetensorsHeader, tensorSizeBytes } from '../formats/safetensors-header.js';
import type { TensorInfo } from '../formats/tensor.js';
import type { MergeBase, PlannedShard, PlannedTensor } from './types.js';

export const TASK_MASKS_FILE = 'task-masks.safetensors';
export const TASK_MASKS_FORMAT = 'tributary-task-masks-1';
export const RESCALER = 'rescaler';

export const maskBytes = (count: number): number => Math.ceil(count / 8);

export interface PlannedTaskMasks {
  readonly file: PlannedShard;
  /** Byte offset of each input's factor in the file. */
  readonly rescalerOffsets: readonly number[];
  /** Names of the tasks, in the order of the inputs. */
  readonly tasks: readonly string[];
}

/** Names that can stand in front of a slash: the last part of a path, plain characters, no two alike. */
export function taskNames(inputNames: readonly string[]): string[] {
  const taken = new Set<string>();
  return inputNames.map((name) => {
    const last =
      name
        .split(/[\\/]/)
        .filter((part) => part !== '' && part !== '.' && part !== '..')
        .at(-1) ?? '';
    const plain = last.replaceAll(/[^\w.@+-]/g, '_') || 'task';
    let unique = plain;
    for (let number = 2; taken.has(unique); number++) unique = `${plain}-${number}`;
    taken.add(unique);
    return unique;
  });
}

/** Where the masks of all tensors with a mask rule lie; undefined when there are none. Masks go in the file with number `shard`. */
export function planTaskMasks(
  tensors: readonly PlannedTensor[],
  shard: number,
  inputNames: readonly string[],
  rule: string,
  base: MergeBase | undefined,
): { taskMasks: PlannedTaskMasks; tensors: readonly PlannedTensor[] } | undefined {
  if (!tensors.some(({ program }) => program?.taskMask !== undefined)) return undefined;
  const tasks = taskNames(inputNames);
  const infos: TensorInfo[] = tasks.map((task) => ({ name: `${task}/${RESCALER}`, dtype: 'F32', shape: [1] }));
  for (const { program, uses, name, shape } of tensors) {
    if (program?.taskMask === undefined) continue;
    for (const { input } of uses)
      infos.push({ name: `${tasks[input] ?? ''}/${name}`, dtype: 'U8', shape: [maskBytes(elementCount(shape) ?? 0)] });
  }
  const metadata = new Map([
    ['format', TASK_MASKS_FORMAT],
    ['rule', rule],
    ['tasks', JSON.stringify(tasks)],
    ['base', base?.name ?? ''],
    ...(base?.digest === undefined ? [] : ([['base_digest', base.digest]] as const)),
  ]);
  const headerBytes = encodeSafetensorsHeader(infos, metadata);
  let end = headerBytes.length;
  const offsets = infos.map((info) => {
    const offset = end;
    end += tensorSizeBytes(info);
    return offset;
  });
  let next = tasks.length;
  const placed = tensors.map((tensor) => {
    if (tensor.program?.taskMask === undefined) return tensor;
    const own = offsets.slice(next, next + tensor.uses.length);
    next += tensor.uses.length;
    return { ...tensor, masks: { shard, offsets: own } };
  });
  return {
    taskMasks: { file: { fileName: TASK_MASKS_FILE, headerBytes, sizeBytes: end }, rescalerOffsets: offsets.slice(0, tasks.length), tasks },
    tensors: placed,
  };
}

/** Writes the factors of all tasks at their places. */
export async function writeRescalers(path: string, { rescalerOffsets }: PlannedTaskMasks, rescalers: readonly number[]): Promise<void> {
  const file: FileHandle = await open(path, 'r+');
  try {
    for (const [task, offset] of rescalerOffsets.entries()) {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setFloat32(0, rescalers[task] ?? 1, true);
      await file.write(bytes, 0, bytes.length, offset);
    }
  } finally {
    await file.close();
  }
}
