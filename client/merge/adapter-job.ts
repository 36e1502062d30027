/** An offline merge whose recipe says `output: adapter`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MergedAdapter, runAdapterMerge } from '../../shared/adapters/merge-adapter.js';
import { type MergeVector, mergeVector, type VectorRequest } from '../../shared/adapters/merge-vector.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE } from '../../shared/formats/adapter-files.js';
import { engineText } from '../../shared/merge/model-card.js';
import type { PlanRequest } from '../../shared/merge/plan.js';
import type { MergePlan } from '../../shared/merge/types.js';
import type { AdapterOutput, Recipe } from '../../shared/recipe/recipe.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { adapterFacts } from './adapter-facts.js';
import { adapterLines, reportAdapter } from './adapter-report.js';
import type { OfflineMergeOptions, OfflineMergeReport } from './merge-offline.js';
import type { OpenedModels } from './open-models.js';
import { mergeCard } from './output-files.js';

export interface OfflineAdapter {
  readonly request: VectorRequest;
  readonly size: AdapterOutput;
  readonly vector: MergeVector;
  /** Of what is made before it is factored. */
  readonly dense: MergePlan;
  readonly warnings: readonly string[];
}

function withoutEffect({ tokenizer, chatTemplate }: Recipe): string[] {
  const keys = [...(tokenizer === undefined ? [] : ['tokenizer']), ...(chatTemplate === undefined ? [] : ['chat_template'])];
  return keys.map((key) => `${key}: has no effect: an adapter comes without a tokenizer`);
}

/** @throws RECIPE_INVALID without a base, and what mergeVector throws */
export function planAdapter(request: PlanRequest, models: OpenedModels, size: AdapterOutput): OfflineAdapter {
  const { recipe, base } = request;
  if (base === undefined)
    throw new TributaryError('RECIPE_INVALID', {
      what: 'an adapter is a change of a base model, and the recipe names none',
      where: `${recipe.fileName}: output`,
      expected: 'base_model: a folder',
      fix: 'Add base_model.',
    });
  const wanted = { ...request, base };
  const vector = mergeVector(wanted);
  const warnings = [...recipe.warnings, ...models.warnings, ...withoutEffect(recipe), ...vector.warnings];
  return { request: wanted, size, vector, dense: vector.planOf(vector.made, true), warnings };
}

export async function runAdapterJob(
  options: OfflineMergeOptions,
  { request, size, vector, warnings }: OfflineAdapter,
  models: OpenedModels,
  pool: WorkerPool,
): Promise<OfflineMergeReport> {
  for (const warning of warnings) options.onWarning?.(warning);
  const { recipe } = request;
  const { outDir, force = false, threads = pool.threads } = options;
  const all = (found: MergedAdapter): readonly string[] => [...warnings, ...found.warnings];
  const merged = await runAdapterMerge(request, vector, {
    ...options,
    outputDir: outDir,
    size,
    facts: adapterFacts(models),
    force,
    pool,
    threads,
    async writeExtras(folder, found) {
      if (options.writeModelCard === false) return;
      const { dtype, engine } = found;
      const about = { dtype, engine, adapter: adapterLines(reportAdapter(found, dtype)), warnings: all(found) };
      await writeFile(join(folder, 'README.md'), mergeCard(options, recipe, models, about));
    },
  });
  for (const warning of merged.warnings) options.onWarning?.(warning);
  return {
    outDir,
    method: recipe.method,
    models: models.inputs.length,
    tensors: merged.weights.filter(({ rank }) => rank > 0).length,
    readBytes: merged.readBytes,
    writeBytes: merged.sizeBytes,
    files: [ADAPTER_WEIGHTS_FILE, ADAPTER_CONFIG_FILE],
    resumed: merged.resumed,
    engine: engineText(merged.engine),
    warnings: all(merged),
    adapter: { ...reportAdapter(merged, merged.dtype), fromProducts: merged.fromProducts },
  };
}
