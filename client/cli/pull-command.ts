/** `tributary pull`. */
import { keepFreedMemory } from '../../shared/util/keep-freed-memory.js';
import { pull } from '../pull/pull.js';
import { type CommandContext, withConnection } from './context.js';
import { byteProgress } from './progress.js';
import { modelView } from './round-view.js';
import { formatBytes, formatSeconds } from './units.js';

export async function runPull(context: CommandContext, name: string, outDir: string): Promise<void> {
  keepFreedMemory();
  const progress = byteProgress(context.io, 'pulling');
  const startedMs = performance.now();
  try {
    const report = await withConnection(context, (connection) =>
      pull(connection, {
        name,
        outDir,
        threads: context.threads,
        patience: context.patience,
        onProgress: (done, total, saved) => progress.update(done, total, saved),
      }),
    );
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
      `pulled  ${report.model.name} to ${report.outDir}: ${formatBytes(report.totalBytes)} in ${formatSeconds(seconds)}${saved}`,
    );
  } finally {
    progress.stop();
  }
}
