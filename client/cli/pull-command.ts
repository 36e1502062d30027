/** `tributary pull`. */
import { keepFreedMemory } from '../../shared/util/keep-freed-memory.js';
import { pull } from '../pull/pull.js';
import { type CommandContext, withConnection } from './context.js';
import { byteProgress } from './progress.js';
import { modelView } from './round-view.js';
import { formatBytes, formatSeconds } from './units.js';

export interface PullFlags {
  readonly out: string;
  /** Of a merge with one model for each task: which. */
  readonly task?: string;
}

export async function runPull(context: CommandContext, name: string, { out: outDir, task }: PullFlags): Promise<void> {
  keepFreedMemory();
  const progress = byteProgress(context.io, 'pulling');
  const startedMs = performance.now();
  try {
    const options = {
      name,
      outDir,
      threads: context.threads,
      patience: context.patience,
      onProgress: (done: number, total: number, saved: number) => progress.update(done, total, saved),
    };
    const report = await withConnection(context, async (connection) => {
      if (task === undefined) return pull(connection, options);
      const { pullTask } = await import('../pull/pull-task.js');
      return pullTask(connection, { ...options, task });
    });
    progress.stop();
    const seconds = (performance.now() - startedMs) / 1000;
    const document = {
      model: modelView(report.model),
      outDir: report.outDir,
      totalBytes: report.totalBytes,
      savedBytes: report.savedBytes,
      seconds,
    };
    const saved = report.savedBytes > 0 ? `, ${formatBytes(report.savedBytes)} were already there` : '';
    context.io.result(
      document,
      `pulled  ${report.model.name}${task === undefined ? '' : `, task ${task},`} to ${report.outDir}: ${formatBytes(report.totalBytes)} in ${formatSeconds(seconds)}${saved}`,
    );
  } finally {
    progress.stop();
  }
}
