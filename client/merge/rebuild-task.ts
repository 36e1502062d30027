/** `tributary rebuild-task`: one task's own model from a merged folder with task masks and the base. Streams; no whole model in memory. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { DEFAULT_SHARD_SIZE_BYTES } from '../../shared/merge/plan.js';
import { openTaskMasks, planTask } from '../../shared/merge/rebuild-task.js';
import { type MergeProgress, runMerge } from '../../shared/merge/run-merge.js';
import { TASK_MASKS_FILE } from '../../shared/merge/task-masks.js';
import { readOrigin } from '../origin.js';

export interface RebuildOptions {
  /** Folder of the merged model. */
  readonly mergedDir: string;
  readonly baseDir: string;
  readonly task: string;
  readonly outDir: string;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: MergeProgress) => void) | undefined;
}

export interface RebuildReport {
  readonly task: string;
  readonly rule: string;
  readonly outDir: string;
  readonly tensors: number;
  readonly writeBytes: number;
  readonly warnings: readonly string[];
}

/** A folder that was pulled knows its digest; others are taken at their word. */
async function checkBase(baseDir: string, expected: string | undefined): Promise<void> {
  const got = (await readOrigin(baseDir))?.weights_digest;
  if (expected === undefined || got === undefined || got === expected) return;
  throw new TributaryError('BASE_MISMATCH', {
    what: 'the models were merged on another base',
    where: baseDir,
    expected,
    got,
    fix: `Pull it: tributary pull ${expected.slice(0, 12)} --out DIR`,
  });
}

/** @throws CHECKPOINT_NOT_FOUND when the folder has no masks, USAGE, BASE_MISMATCH, SHAPE_MISMATCH, and what a merge throws */
export async function rebuildTask(options: RebuildOptions): Promise<RebuildReport> {
  const { mergedDir, baseDir, task, outDir } = options;
  const masks = await openTaskMasks(join(mergedDir, TASK_MASKS_FILE));
  await checkBase(baseDir, masks.baseDigest);
  const [merged, base] = await Promise.all([openCheckpoint(mergedDir), openCheckpoint(baseDir)]);
  const plan = await planTask({
    masks,
    task,
    base: { name: baseDir, tensors: base.tensors },
    merged: { name: mergedDir, tensors: merged.tensors },
    shardSizeBytes: DEFAULT_SHARD_SIZE_BYTES,
  });
  const outcome = await runMerge(plan, {
    outputDir: outDir,
    threads: options.threads,
    durable: false,
    signal: options.signal,
    onProgress: options.onProgress,
    writeExtras: async (folder) => {
      for (const { name, path } of merged.sidecars) await copyFile(path, join(folder, name));
    },
  });
  return {
    task,
    rule: masks.rule,
    outDir,
    tensors: plan.totals.tensors,
    writeBytes: plan.totals.writeBytes,
    warnings: [...plan.warnings, ...outcome.warnings],
  };
}
