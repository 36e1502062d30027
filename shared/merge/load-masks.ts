/** Mask bits that stages read from a file, in the memory that workers share: of one part of a merge at a time. */
import { type FileHandle, open } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import type { CompiledPart } from './compile-job.js';
import { maskBytes } from './task-masks.js';

/** @throws IO_ERROR when a file ends before its masks do */
export async function loadMasks({ tasks, statistics }: Pick<CompiledPart, 'tasks' | 'statistics'>): Promise<void> {
  const files = new Map<string, FileHandle>();
  try {
    for (const task of tasks) {
      for (const stage of task?.program.stages ?? []) {
        if (task === undefined || stage.kind !== 'mask') continue;
        const file = files.get(stage.path) ?? (await open(stage.path, 'r'));
        files.set(stage.path, file);
        const bits = statistics.bits.subarray(task.bitsAt, task.bitsAt + maskBytes(task.count));
        for (let done = 0; done < bits.length; ) {
          const { bytesRead } = await file.read(bits, done, bits.length - done, stage.offset + done);
          if (bytesRead === 0) throw new TributaryError('IO_ERROR', { what: 'the masks end too early', where: stage.path });
          done += bytesRead;
        }
      }
    }
  } finally {
    for (const file of files.values()) await file.close();
  }
}
