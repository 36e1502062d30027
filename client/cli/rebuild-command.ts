/** `tributary rebuild-task`: offline, no coordinator. */
import { rebuildTask } from '../merge/rebuild-task.js';
import type { LocalContext } from './local-context.js';
import { byteProgress } from './progress.js';
import { formatBytes, formatSeconds } from './units.js';

export interface RebuildFlags {
  readonly base: string;
  readonly task: string;
  readonly out: string;
}

export async function runRebuild(context: LocalContext, mergedDir: string, flags: RebuildFlags): Promise<void> {
  const { io, threads, signal } = context;
  const progress = byteProgress(io, 'rebuilding');
  const startedMs = performance.now();
  try {
    const report = await rebuildTask({
      mergedDir,
      baseDir: flags.base,
      task: flags.task,
      outDir: flags.out,
      threads,
      signal,
      onProgress: ({ doneBytes, totalBytes, resumedBytes }) => progress.update(doneBytes, totalBytes, resumedBytes),
    });
    progress.stop();
    for (const warning of report.warnings) io.note(`warning: ${warning}`);
    const seconds = (performance.now() - startedMs) / 1000;
    io.result(
      { ...report, seconds },
      `rebuilt  ${report.task} of ${mergedDir} into ${report.outDir}: ${report.tensors} tensors, ${formatBytes(report.writeBytes)} in ${formatSeconds(seconds)}`,
    );
  } finally {
    progress.stop();
  }
}
