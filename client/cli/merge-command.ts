/** `tributary merge` and `tributary plan`: offline, no coordinator. Imports nothing of gRPC. */
import { readFileSync } from 'node:fs';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { VERSION } from '../../shared/version.js';
import { mergeOffline, type OfflineMergeOptions } from '../merge/merge-offline.js';
import { adapterText } from './adapter-text.js';
import type { LocalContext } from './local-context.js';
import { notesOnMergekitFlags } from './mergekit-flags.js';
import { byteProgress } from './progress.js';
import { formatBytes, formatSeconds, parseBytes } from './units.js';

export interface MergeFlags {
  readonly out?: string;
  readonly outShardSize?: string;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly copyTokenizer?: boolean;
  readonly writeModelCard?: boolean;
  readonly randomSeed?: number;
  /** mergekit's. */
  readonly [other: string]: unknown;
}

function optionsOf(context: LocalContext, recipePath: string, outDir: string, flags: Partial<MergeFlags>): OfflineMergeOptions {
  return {
    recipeText: readRecipe(recipePath),
    recipePath,
    outDir,
    threads: context.threads,
    shardSizeBytes: flags.outShardSize === undefined ? undefined : parseBytes('--out-shard-size', flags.outShardSize),
    force: flags.force,
    seed: flags.randomSeed,
    copyTokenizer: flags.copyTokenizer,
    writeModelCard: flags.writeModelCard,
    version: VERSION,
    findEngine: context.findEngine,
    signal: context.signal,
  };
}

export async function runPlan(context: LocalContext, recipePath: string, flags: Partial<MergeFlags>): Promise<void> {
  const { showPlan } = await import('./plan-command.js');
  await showPlan(context, optionsOf(context, recipePath, 'merged', flags));
}

export async function runMerge(context: LocalContext, recipePath: string, dir: string | undefined, flags: MergeFlags): Promise<void> {
  const { io } = context;
  for (const note of notesOnMergekitFlags(flags)) io.note(note);
  if (flags.dryRun) return runPlan(context, recipePath, flags);
  const outDir = flags.out ?? dir;
  if (outDir === undefined || (flags.out !== undefined && dir !== undefined)) {
    throw new TributaryError('USAGE', {
      what: 'Name one output folder',
      expected: 'tributary merge RECIPE --out DIR, or tributary merge RECIPE DIR',
    });
  }
  const progress = byteProgress(io, 'merging');
  const startedMs = performance.now();
  try {
    const report = await mergeOffline({
      ...optionsOf(context, recipePath, outDir, flags),
      onProgress: ({ doneBytes, totalBytes, resumedBytes, matrices }) =>
        progress.update(
          doneBytes,
          totalBytes,
          resumedBytes,
          matrices === undefined ? undefined : `matrices ${matrices.done} of ${matrices.total}`,
        ),
      onWarning: (warning) => io.note(`warning: ${warning}`),
    });
    progress.stop();
    const seconds = (performance.now() - startedMs) / 1000;
    const by = report.engine === undefined ? '' : `, matrices by ${report.engine}`;
    const resumed = report.resumed ? ', continued from an interrupted merge' : '';
    const { adapter } = report;
    const what = adapter === undefined ? `${report.tensors} tensors` : 'a LoRA adapter';
    const verdict = `merged  ${report.models} models with ${report.method} into ${report.outDir}: ${what}, ${formatBytes(report.writeBytes)} in ${formatSeconds(seconds)}${by}${resumed}`;
    io.result({ ...report, seconds }, adapter === undefined ? verdict : `${verdict}\n${adapterText(adapter)}`);
  } finally {
    progress.stop();
  }
}

function readRecipe(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw toTributaryError(error, path);
  }
}
