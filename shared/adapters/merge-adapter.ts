/**
 * A merge whose result is a LoRA adapter: the merged task vector as factors. Sums of adapters are taken in product space, exactly and without the
 * dense matrix (aggregate.ts); whatever else a rule makes of its inputs is made densely first, by the engine that makes models, and then factored.
 */
import { join } from 'node:path';
import { isMergeDType, type MergeDType } from '../formats/tensor.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import { PORTABLE } from '../merge/carry-out.js';
import type { MergeOptions, MergeProgress } from '../merge/run-merge.js';
import { isUnchanged } from '../merge/unchanged.js';
import type { AdapterOutput } from '../recipe/recipe.js';
import type { WorkerPool } from '../workers/pool.js';
import type { AdapterRequest } from './adapter-request.js';
import { type BuiltAdapter, buildAdapter } from './build-adapter.js';
import { hintOf, type SlotHint } from './factor-slots.js';
import { makeVector } from './make-vector.js';
import type { MergeVector, VectorRequest } from './merge-vector.js';
import { stageAdapter } from './staged-adapter.js';

/** What the inputs' configurations agree on. */
export interface AdapterFacts {
  readonly fanInFanOut: boolean;
  /** Of all factors; undefined where they differ, or there are none. */
  readonly dtype: MergeDType | undefined;
  readonly baseName: string | undefined;
  readonly taskType: string | undefined;
}

export interface AdapterMergeOptions
  extends Pick<MergeOptions, 'findEngine' | 'signal' | 'tileElements' | 'journalIntervalMs' | 'progressIntervalMs'> {
  readonly outputDir: string;
  readonly size: AdapterOutput;
  readonly facts: AdapterFacts;
  readonly force: boolean;
  readonly pool: WorkerPool;
  readonly threads: number;
  readonly onProgress?: ((progress: MergeProgress) => void) | undefined;
  readonly writeExtras: (folder: string, merged: MergedAdapter) => Promise<void>;
}

export interface MergedAdapter extends BuiltAdapter {
  readonly dtype: MergeDType;
  /** Weights whose changes were added up as products, and those that were made densely first. */
  readonly fromProducts: number;
  readonly engine: FoundEngine;
  readonly readBytes: number;
  /** Some of it is an earlier, interrupted run's. */
  readonly resumed: boolean;
  readonly warnings: readonly string[];
}

/** Of weights that some input has factors of. */
function hintsOf({ inputs }: VectorRequest): Map<string, SlotHint> {
  const hints = new Map<string, SlotHint>();
  for (const { tensors } of inputs)
    for (const [name, tensor] of tensors) {
      const hint = hints.has(name) ? undefined : hintOf(tensor.sum?.difference ?? tensor);
      if (hint !== undefined) hints.set(name, hint);
    }
  return hints;
}

/** Modules whose matrices some adapter among the inputs has whole: the result has them whole too. */
function modulesKeptWhole({ inputs, base }: VectorRequest): string[] {
  const modules = new Set<string>();
  for (const { tensors, stored } of inputs) {
    if (stored === undefined) continue;
    const own = new Set([...stored.values()].map(({ segments }) => segments));
    for (const [name, tensor] of tensors)
      if (name.endsWith('.weight') && tensor.shape.length > 1 && own.has(tensor.segments) && !isUnchanged(tensor, base.tensors.get(name)))
        modules.add(name.slice(0, -'.weight'.length));
  }
  return [...modules];
}

function fixRest(names: readonly string[]): string {
  const some = names.some((name) => name.endsWith('in_proj_weight')) ? ' (PEFT wraps torch attention as a whole)' : '';
  return `PEFT adapters hold factors of weights, whole modules and biases, and none of these${some}. Use output: model.`;
}

/** @param vector of the same request. @throws ADAPTER_INVALID, ADAPTER_UNSUPPORTED, OUTPUT_EXISTS, and what a merge throws; the folder then does not exist */
export async function runAdapterMerge(request: VectorRequest, vector: MergeVector, options: AdapterMergeOptions): Promise<MergedAdapter> {
  const { recipe, base } = request;
  const { facts, size, pool, threads, signal, onProgress } = options;
  const dtype = recipe.outDtype ?? facts.dtype ?? 'F32';
  const changing = [...vector.made, ...vector.products.keys()];
  const totalBytes = changing.reduce((sum, name) => sum + (base.tensors.get(name)?.sizeBytes ?? 0), 0);
  return stageAdapter(options.outputDir, { force: options.force, resumes: true }, async ({ outputDir, workDir, rootDir }) => {
    const engine = await (options.findEngine?.() ?? PORTABLE);
    const { tileElements, journalIntervalMs, progressIntervalMs } = options;
    const dense = { engine, pool, threads, signal, onProgress, tileElements, journalIntervalMs, progressIntervalMs };
    const made = await makeVector(vector, vector.made, { ...dense, outputDir: join(rootDir, 'vector'), withCopies: true });
    const wanted: AdapterRequest = {
      base,
      vector: new Map([...vector.products, ...made.sources]),
      hints: hintsOf(request),
      fanInFanOut: facts.fanInFanOut,
      mayFactor: ({ dtype: of }) => isMergeDType(of),
      modulesToSave: modulesKeptWhole(request),
      rest: 'save',
      size,
      dtype,
      wholeDtype: recipe.outDtype,
      baseName: facts.baseName,
      taskType: facts.taskType,
      where: recipe.fileName,
      fixRest,
      store: async (names) => (await makeVector(vector, names, { ...dense, outputDir: join(rootDir, 'more'), withCopies: false })).sources,
    };
    const built = await buildAdapter(wanted, {
      workDir,
      outputDir,
      pool,
      threads,
      engine,
      signal,
      onProgress: (done, total) =>
        onProgress?.({ doneBytes: (totalBytes * done) / total, totalBytes, resumedBytes: 0, matrices: { done, total } }),
    });
    const merged: MergedAdapter = {
      ...built,
      dtype,
      fromProducts: built.weights.filter(({ tensor }) => vector.products.has(tensor)).length,
      engine,
      readBytes: vector.readBytes,
      resumed: made.resumed,
      warnings: [...engine.notes, ...made.warnings],
    };
    await options.writeExtras(outputDir, merged);
    return merged;
  });
}
