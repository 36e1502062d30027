/** The work of an offline merge, once threads are on their way: open the models, plan, merge, and put the other files beside the weights. */
import { numHiddenLayersOf } from '../../shared/merge/model-config.js';
import { outputTensors } from '../../shared/merge/output-tensors.js';
import { planMerge } from '../../shared/merge/plan.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergePlan } from '../../shared/merge/types.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { withDigests } from './digest-models.js';
import type { OfflineMergeOptions, OfflineMergeReport } from './merge-offline.js';
import { type OpenedModels, openModels } from './open-models.js';
import { type OutputFiles, prepareOutputFiles, readConfig } from './output-files.js';

export interface OfflinePlan {
  readonly recipe: Recipe;
  readonly models: OpenedModels;
  readonly plan: MergePlan;
  readonly files: OutputFiles;
  readonly warnings: readonly string[];
}

/** Stands for the digests of models that are only planned to be merged. */
const UNREAD = '0'.repeat(64);

/**
 * Everything but the merge itself; nothing is written. @throws whatever is wrong with recipe or models
 * @param only whether to plan and no more: then no weights are read
 */
export async function planOffline(options: OfflineMergeOptions, only: boolean): Promise<OfflinePlan> {
  const parsed = parseRecipe(options.recipeText, { fileName: options.recipePath });
  const recipe = options.seed === undefined ? parsed : { ...parsed, seed: options.seed };
  const models = await openModels(recipe);
  const { base } = models;
  const random = recipe.rule.transforms.some((step) => step === 'drop' || step === 'della');
  const inputs = !random
    ? models.inputs
    : only
      ? models.inputs.map((input) => ({ ...input, weightsDigest: UNREAD }))
      : await withDigests(models.inputs, options);
  const configText = await readConfig(models);
  const numHiddenLayers = configText === undefined ? undefined : numHiddenLayersOf(configText);
  const outputs = outputTensors({ recipe, base, inputs, models: models.models, numHiddenLayers });
  const { layersFrom, vocabularyRows } = outputs;
  const files = await prepareOutputFiles(options, recipe, models, configText, { layersFrom, vocabularyRows });
  const plan = planMerge({ recipe, base, inputs, outputs, numHiddenLayers, shardSizeBytes: options.shardSizeBytes });
  const warnings = [...recipe.warnings, ...models.warnings, ...files.warnings, ...plan.warnings];
  return { recipe, models, plan, files, warnings };
}

export async function runOfflineJob(options: OfflineMergeOptions, pool: WorkerPool): Promise<OfflineMergeReport> {
  const { recipe, models, plan, files, warnings } = await planOffline(options, false);
  for (const warning of warnings) options.onWarning?.(warning);
  const outcome = await runMerge(plan, {
    outputDir: options.outDir,
    pool,
    durable: false,
    force: options.force,
    tileElements: options.tileElements,
    signal: options.signal,
    onProgress: options.onProgress,
    journalIntervalMs: options.journalIntervalMs,
    progressIntervalMs: options.progressIntervalMs,
    writeExtras: (folder) => files.write(folder, plan, warnings),
  });
  for (const warning of outcome.warnings) options.onWarning?.(warning);
  return {
    outDir: options.outDir,
    method: recipe.method,
    models: models.inputs.length,
    tensors: plan.totals.tensors,
    readBytes: plan.totals.readBytes,
    writeBytes: plan.totals.writeBytes,
    files: outcome.files.map((file) => file.name),
    resumed: outcome.resumedTiles > 0,
    warnings: [...warnings, ...outcome.warnings],
  };
}
