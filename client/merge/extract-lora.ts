/** `tributary extract-lora`: a LoRA adapter that makes a fine-tuned model of its base, or nearly, from the two. One matrix at a time. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdapterRequest } from '../../shared/adapters/adapter-request.js';
import { type BuiltAdapter, buildAdapter } from '../../shared/adapters/build-adapter.js';
import { isEmbedding } from '../../shared/adapters/factor-slots.js';
import { stageAdapter } from '../../shared/adapters/staged-adapter.js';
import type { VectorSource } from '../../shared/adapters/vector-source.js';
import { modulesNamed, modulesOf } from '../../shared/adapters/whole-modules.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { MergeDType, TensorMap } from '../../shared/formats/tensor.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { engineText } from '../../shared/merge/model-card.js';
import type { MergeProgress } from '../../shared/merge/run-merge.js';
import type { FactorSize } from '../../shared/spectral/factors.js';
import { startPool } from '../../shared/workers/pool.js';
import { type AdapterReport, adapterLines, reportAdapter } from './adapter-report.js';
import { extractCard } from './extract-card.js';
import { type FineTune, type FineTunePaths, openFineTune } from './fine-tune.js';

export interface ExtractOptions extends FineTunePaths {
  readonly outDir: string;
  readonly size: FactorSize;
  /** Of the factors. */
  readonly dtype: MergeDType;
  /** Modules that get factors: any of these matches some part of the name. None: all. */
  readonly modules: readonly RegExp[];
  /** Embeddings get factors too. */
  readonly embeddings: boolean;
  /** Kept whole: names of modules, or their ends from a dot on. */
  readonly modulesToSave: readonly string[];
  /** What changes and has no factors may be lost; else it is refused. */
  readonly leaveRest: boolean;
  /** All matrices lie as (in, out); undefined: as the base's configuration tells. */
  readonly fanInFanOut?: true | undefined;
  readonly force: boolean;
  readonly findEngine: () => Promise<FoundEngine>;
  readonly onProgress?: ((progress: MergeProgress) => void) | undefined;
  /** For the model card. */
  readonly version: string;
}

export interface ExtractReport extends AdapterReport {
  readonly outDir: string;
  readonly base: string;
  readonly tuned: string;
  readonly writeBytes: number;
  readonly engine: string;
  readonly warnings: readonly string[];
}

function modulesToSave({ modulesToSave: wanted, baseDir }: ExtractOptions, base: TensorMap): string[] {
  const modules = modulesOf(base.keys());
  return wanted.flatMap((name) => {
    const found = modulesNamed(name, modules);
    if (found.length > 0) return found;
    throw new TributaryError('USAGE', {
      what: `${baseDir} has no module of this name`,
      where: '--modules-to-save',
      expected: 'names of modules or their ends, like lm_head or norm',
      got: name,
    });
  });
}

/** Ends of module names that take in all of the tensors. */
function fixRest(names: readonly string[]): string {
  const ends = new Set(names.map((name) => name.split('.').at(-2) ?? name));
  const embeddings = names.some((name) => isEmbedding(name, [0, 0])) ? ' --embeddings gives embeddings factors.' : '';
  return `Keep them whole with --modules-to-save ${[...ends].slice(0, 12).join(',')}, or lose their changes with --leave-rest.${embeddings}`;
}

function requestOf(options: ExtractOptions, { base, changed, taskType, hints, mayFactor }: FineTune): AdapterRequest {
  const { tunedDir, baseDir, modules, embeddings, leaveRest, size, dtype, fanInFanOut } = options;
  return {
    base: { name: baseDir, tensors: base },
    vector: new Map(
      [...changed].map(([name, tensor]): [string, VectorSource] => [name, { kind: 'stored', model: tunedDir, tensor, difference: false }]),
    ),
    hints: fanInFanOut === true ? new Map() : hints,
    fanInFanOut: fanInFanOut === true,
    mayFactor(tensor) {
      const { name, shape } = tensor;
      if (isEmbedding(name, shape) ? !embeddings : fanInFanOut !== true && !mayFactor(tensor)) return false;
      const module = name.replace(/\.weight$/, '');
      return modules.length === 0 || modules.some((pattern) => pattern.test(module));
    },
    modulesToSave: modulesToSave(options, base),
    rest: leaveRest ? 'leave' : 'refuse',
    size,
    dtype,
    baseName: baseDir,
    taskType,
    where: tunedDir,
    fixRest,
    store: async () => new Map(),
  };
}

function checkOthers({ leaveRest, tunedDir }: ExtractOptions, { others }: FineTune): void {
  if (others.length === 0 || leaveRest) return;
  throw new TributaryError('ADAPTER_UNSUPPORTED', {
    what: 'tensors differ that are neither F32 nor F16 nor BF16',
    where: tunedDir,
    got: others.slice(0, 8).join(', '),
    fix: 'Leave them as they are in the base with --leave-rest.',
  });
}

/**
 * @throws ADAPTER_UNSUPPORTED for changes that would be lost, ADAPTER_INVALID when no matrix changes, USAGE, OUTPUT_EXISTS, and as openFineTune
 * and buildAdapter; then there is no output folder
 */
export async function extractLora(options: ExtractOptions): Promise<ExtractReport> {
  const { tunedDir, baseDir, outDir, dtype, force, threads, signal } = options;
  const models = await openFineTune(options);
  const request = requestOf(options, models);
  checkOthers(options, models);
  const totalBytes = [...models.changed.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const engine = await options.findEngine();
  const pool = startPool(threads);
  try {
    const built = await stageAdapter(outDir, { force, resumes: false }, async ({ outputDir, workDir }): Promise<BuiltAdapter> => {
      const onProgress = (done: number, total: number): void =>
        options.onProgress?.({ doneBytes: (totalBytes * done) / total, totalBytes, resumedBytes: 0, matrices: { done, total } });
      const made = await buildAdapter(request, { workDir, outputDir, pool, threads, engine, signal, onProgress });
      const lines = adapterLines(reportAdapter(made, dtype));
      const card = extractCard({ outDir, baseDir, tunedDir, lines, engine, dtype, version: options.version });
      await writeFile(join(outputDir, 'README.md'), card);
      return made;
    });
    const lost = models.others.map((name) => `${name} differs and stays as it is in the base: it is neither F32 nor F16 nor BF16`);
    return {
      outDir,
      base: baseDir,
      tuned: tunedDir,
      writeBytes: built.sizeBytes,
      engine: engineText(engine),
      warnings: [...models.warnings, ...lost, ...engine.notes],
      ...reportAdapter(built, dtype),
    };
  } finally {
    await pool.close();
  }
}
