/** `tributary extract-lora`: a LoRA adapter that makes a fine-tuned model of its base, or nearly, from the two. One matrix at a time. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdapterRequest } from '../../shared/adapters/adapter-request.js';
import { type BuiltAdapter, buildAdapter } from '../../shared/adapters/build-adapter.js';
import { isEmbedding, type SlotHint } from '../../shared/adapters/factor-slots.js';
import { stageAdapter } from '../../shared/adapters/staged-adapter.js';
import type { VectorSource } from '../../shared/adapters/vector-source.js';
import { modulesNamed, modulesOf } from '../../shared/adapters/whole-modules.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import { isMergeDType, type MergeDType, type StoredTensor, type TensorMap } from '../../shared/formats/tensor.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { alignModels } from '../../shared/merge/align-models.js';
import { hashSegments } from '../../shared/merge/hash-segments.js';
import { named } from '../../shared/merge/merge-part.js';
import { engineText } from '../../shared/merge/model-card.js';
import { adapterTraitsOf } from '../../shared/merge/model-config.js';
import type { MergeProgress } from '../../shared/merge/run-merge.js';
import { isUnchanged } from '../../shared/merge/unchanged.js';
import type { FactorSize } from '../../shared/spectral/factors.js';
import { startPool } from '../../shared/workers/pool.js';
import { type AdapterReport, adapterLines, reportAdapter } from './adapter-report.js';
import { extractCard } from './extract-card.js';

export interface ExtractOptions {
  readonly tunedDir: string;
  readonly baseDir: string;
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
  /** Weights lie as (in, out); undefined: as the base's configuration tells. */
  readonly fanInFanOut?: boolean | undefined;
  readonly force: boolean;
  readonly threads: number;
  readonly findEngine: () => Promise<FoundEngine>;
  readonly signal?: AbortSignal | undefined;
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

/** Models of transformers with layers of the kind Conv1D, whose weights lie as (in, out), and the names of these. */
const CONV1D_MODELS: ReadonlySet<string> = new Set(['gpt2', 'openai-gpt', 'imagegpt', 'decision_transformer']);
const CONV1D = /\.(?:c_attn|q_attn|c_proj|c_fc)\.weight$/;

const configOf = async ({ sidecars }: Checkpoint): Promise<string | undefined> => {
  const config = sidecars.find(({ name }) => name === 'config.json');
  return config === undefined ? undefined : readFile(config.path, 'utf8');
};

/** The fine-tuned tensors in the base's names. @throws TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE */
function align(
  { tunedDir, baseDir }: ExtractOptions,
  tuned: Checkpoint,
  base: Checkpoint,
): { tensors: TensorMap; warnings: readonly string[] } {
  const model = { name: tunedDir, kind: 'full', tensors: named(tuned.tensors) } as const;
  const reference = { name: baseDir, kind: 'full', tensors: named(base.tensors) } as const;
  const { warnings, vocabularyRows } = alignModels([model], reference, { toBase: true, strict: false });
  if (vocabularyRows !== undefined)
    throw new TributaryError('SHAPE_MISMATCH', {
      what: 'the vocabulary was enlarged, and the factors of an adapter have no place for new rows',
      where: tunedDir,
      expected: `${vocabularyRows} rows of embeddings, as in ${baseDir}`,
      fix: 'Resize the embeddings of the base to those of the fine-tuned model first.',
    });
  return { tensors: new Map([...model.tensors].map(([name, { tensor }]) => [name, tensor])), warnings };
}

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;

/** Tensors without merge arithmetic that are not the base's. */
async function differingOthers(tuned: TensorMap, base: TensorMap, { threads, signal }: ExtractOptions): Promise<string[]> {
  const pairs = [...tuned].flatMap(([name, tensor]): [string, StoredTensor, StoredTensor][] => {
    const from = base.get(name);
    return from === undefined || isMergeDType(from.dtype) || isUnchanged(tensor, from) ? [] : [[name, tensor, from]];
  });
  const digests = await hashSegments(
    pairs.flatMap(([, tensor, from]) => [tensor.segments, from.segments]),
    { threads, signal },
  );
  return pairs.flatMap(([name], index) => (sameBytes(digests[2 * index], digests[2 * index + 1]) ? [] : [name]));
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

/** Which matrices lie as (in, out). */
function orientation(
  options: ExtractOptions,
  base: TensorMap,
  modelType: string | undefined,
): Pick<AdapterRequest, 'hints' | 'fanInFanOut'> {
  const { fanInFanOut } = options;
  if (fanInFanOut !== undefined || modelType === undefined || !CONV1D_MODELS.has(modelType))
    return { hints: new Map(), fanInFanOut: fanInFanOut ?? false };
  const turned: SlotHint = { turned: true, embedding: false };
  return { hints: new Map([...base.keys()].flatMap((name) => (CONV1D.test(name) ? [[name, turned] as const] : []))), fanInFanOut: false };
}

/** @throws ADAPTER_UNSUPPORTED for changes that would be lost, ADAPTER_INVALID when nothing changes, USAGE, OUTPUT_EXISTS, and as opening and aligning models; then there is no output folder */
export async function extractLora(options: ExtractOptions): Promise<ExtractReport> {
  const { tunedDir, baseDir, outDir, size, dtype, modules, embeddings, leaveRest, force, threads, signal } = options;
  const [tuned, base] = [await openCheckpoint(tunedDir), await openCheckpoint(baseDir)];
  const { tensors, warnings } = align(options, tuned, base);
  const saved = modulesToSave(options, base.tensors);
  const { modelType, taskType } = adapterTraitsOf(await configOf(base));
  const others = await differingOthers(tensors, base.tensors, options);
  if (others.length > 0 && !leaveRest)
    throw new TributaryError('ADAPTER_UNSUPPORTED', {
      what: 'tensors differ that are neither F32 nor F16 nor BF16',
      where: tunedDir,
      got: others.slice(0, 8).join(', '),
      fix: 'Leave them as they are in the base with --leave-rest.',
    });
  const lost = others.map((name) => `${name} differs and stays as it is in the base: it is neither F32 nor F16 nor BF16`);
  const vector = new Map(
    [...tensors].flatMap(([name, tensor]): [string, VectorSource][] =>
      isMergeDType(tensor.dtype) && !isUnchanged(tensor, base.tensors.get(name))
        ? [[name, { kind: 'stored', model: tunedDir, tensor, difference: false }]]
        : [],
    ),
  );
  const request: AdapterRequest = {
    base: { name: baseDir, tensors: base.tensors },
    vector,
    ...orientation(options, base.tensors, modelType),
    mayFactor({ name, shape }) {
      const module = name.replace(/\.weight$/, '');
      return (embeddings || !isEmbedding(name, shape)) && (modules.length === 0 || modules.some((pattern) => pattern.test(module)));
    },
    modulesToSave: saved,
    rest: leaveRest ? 'leave' : 'refuse',
    size,
    dtype,
    baseName: baseDir,
    taskType,
    where: tunedDir,
    fixRest,
    store: async () => new Map(),
  };
  const totalBytes = [...vector.keys()].reduce((sum, name) => sum + (tensors.get(name)?.sizeBytes ?? 0), 0);
  const engine = await options.findEngine();
  const pool = startPool(threads);
  try {
    const built = await stageAdapter(outDir, force, async ({ outputDir, workDir }): Promise<BuiltAdapter> => {
      const onProgress = (done: number, total: number): void =>
        options.onProgress?.({ doneBytes: (totalBytes * done) / total, totalBytes, resumedBytes: 0, matrices: { done, total } });
      const made = await buildAdapter(request, { workDir, outputDir, pool, threads, engine, signal, onProgress });
      const lines = adapterLines(reportAdapter(made, dtype));
      const card = extractCard({ outDir, baseDir, tunedDir, lines, engine, dtype, version: options.version });
      await writeFile(join(outputDir, 'README.md'), card);
      return made;
    });
    return {
      outDir,
      base: baseDir,
      tuned: tunedDir,
      writeBytes: built.sizeBytes,
      engine: engineText(engine),
      warnings: [...warnings, ...lost, ...engine.notes],
      ...reportAdapter(built, dtype),
    };
  } finally {
    await pool.close();
  }
}
