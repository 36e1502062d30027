/** `tributary extract-lora`: offline, no coordinator. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { VERSION } from '../../shared/version.js';
import { extractLora } from '../merge/extract-lora.js';
import { adapterText } from './adapter-text.js';
import type { LocalContext } from './local-context.js';
import { byteProgress } from './progress.js';
import { formatBytes, formatSeconds } from './units.js';

export interface ExtractFlags {
  readonly base: string;
  readonly out: string;
  readonly rank?: number;
  readonly energy?: string;
  readonly modules?: readonly string[];
  readonly embeddings: boolean;
  readonly modulesToSave?: string;
  readonly leaveRest: boolean;
  readonly dtype: keyof typeof DTYPES;
  readonly fanInFanOut?: true;
  readonly force: boolean;
}

export const DTYPES = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const satisfies Record<string, MergeDType>;

/** Enough for most fine-tunes; the error is told in any case. */
export const DEFAULT_RANK = 32;

function parseEnergy(text: string): number {
  const energy = Number(text);
  if (text.trim() !== '' && energy > 0 && energy <= 1) return energy;
  throw new TributaryError('USAGE', { what: 'Not a usable share', where: '--energy', expected: 'a number above 0, at most 1', got: text });
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new TributaryError('USAGE', { what: 'Not a regular expression', where: '--modules', got: text }, { cause: error });
  }
}

export async function runExtract(context: LocalContext, tunedDir: string, flags: ExtractFlags): Promise<void> {
  const { io, threads, signal, findEngine } = context;
  const energy = flags.energy === undefined ? undefined : parseEnergy(flags.energy);
  const progress = byteProgress(io, 'extracting');
  const startedMs = performance.now();
  try {
    const report = await extractLora({
      tunedDir,
      baseDir: flags.base,
      outDir: flags.out,
      size: { rank: flags.rank ?? (energy === undefined ? DEFAULT_RANK : undefined), energy },
      dtype: DTYPES[flags.dtype],
      modules: (flags.modules ?? []).map(parsePattern),
      embeddings: flags.embeddings,
      modulesToSave: (flags.modulesToSave ?? '').split(',').filter((name) => name !== ''),
      leaveRest: flags.leaveRest,
      fanInFanOut: flags.fanInFanOut,
      force: flags.force,
      threads,
      findEngine,
      signal,
      onProgress: ({ doneBytes, totalBytes, matrices }) =>
        progress.update(doneBytes, totalBytes, 0, matrices === undefined ? undefined : `matrices ${matrices.done} of ${matrices.total}`),
      version: VERSION,
    });
    progress.stop();
    for (const warning of report.warnings) io.note(`warning: ${warning}`);
    const seconds = (performance.now() - startedMs) / 1000;
    const verdict = `extracted  ${report.outDir} from ${tunedDir}: ${formatBytes(report.writeBytes)} in ${formatSeconds(seconds)}, by ${report.engine}`;
    io.result({ ...report, seconds }, `${verdict}\n${adapterText(report)}`);
  } finally {
    progress.stop();
  }
}
