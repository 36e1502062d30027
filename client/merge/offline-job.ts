/** The work of an offline merge, once threads are on their way: open the models, plan, merge, and put the other files beside the weights. */
import { engineText } from '../../shared/merge/model-card.js';
import { numHiddenLayersOf } from '../../shared/merge/model-config.js';
import { outputTensors } from '../../shared/merge/output-tensors.js';
import { type PlanRequest, planMerge } from '../../shared/merge/plan.js';
import { drawsAtRandom } from '../../shared/merge/plan-program.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput, MergePlan } from '../../shared/merge/types.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import { weightsDigestOf } from '../../shared/transfer/weights-digest.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { type OfflineAdapter, planAdapter, runAdapterJob } from './adapter-job.js';
import type { OfflineMergeOptions, OfflineMergeReport } from './merge-offline.js';
import { type OpenedModels, openModels } from './open-models.js';
import { type OutputFiles, prepareOutputFiles, readConfig } from './output-files.js';

export interface OfflinePlan {
  readonly recipe: Recipe;
  readonly models: OpenedModels;
  readonly plan: MergePlan;
  /** Present when the recipe asks for an adapter. */
  readonly adapter?: OfflineAdapter | undefined;
  readonly files: OutputFiles;
  readonly warnings: readonly string[];
}

/**
 * Random masks depend on what the weights are, so that a round and an offline merge of the same contributions drop the same elements.
 * Without threads to hash with, a plan is made to be looked at, and any digest will do.
 */
async function withDigests(
  inputs: readonly MergeInput[],
  pool: WorkerPool | undefined,
  signal: AbortSignal | undefined,
): Promise<MergeInput[]> {
  const digested: MergeInput[] = [];
  for (const input of inputs)
    digested.push({
      ...input,
      weightsDigest: pool === undefined ? '' : await weightsDigestOf(input.stored ?? input.tensors, pool, signal),
    });
  return digested;
}

/** Everything but the merge itself; nothing is written. @throws whatever is wrong with recipe or models */
export async function planOffline(options: OfflineMergeOptions, pool?: WorkerPool): Promise<OfflinePlan> {
  const parsed = parseRecipe(options.recipeText, { fileName: options.recipePath });
  const recipe = options.seed === undefined ? parsed : { ...parsed, seed: options.seed };
  const models = await openModels(recipe);
  const { base, inputs } = models;
  const configText = await readConfig(models);
  const numHiddenLayers = configText === undefined ? undefined : numHiddenLayersOf(configText);
  const outputs = outputTensors({ recipe, base, inputs, models: models.models, numHiddenLayers });
  const { layersFrom, vocabularyRows } = outputs;
  const files = await prepareOutputFiles(options, recipe, models, configText, { layersFrom, vocabularyRows });
  const drawn = drawsAtRandom(recipe) ? await withDigests(inputs, pool, options.signal) : inputs;
  const request: PlanRequest = { recipe, base, inputs: drawn, outputs, numHiddenLayers, shardSizeBytes: options.shardSizeBytes };
  const adapter = recipe.output === undefined ? undefined : planAdapter(request, models, recipe.output);
  const plan = planMerge(request);
  const warnings = adapter?.warnings ?? [...recipe.warnings, ...models.warnings, ...files.warnings, ...plan.warnings];
  return { recipe, models, plan, adapter, files, warnings };
}

export async function runOfflineJob(options: OfflineMergeOptions, pool: WorkerPool): Promise<OfflineMergeReport> {
  const { recipe, models, plan, adapter, files, warnings } = await planOffline(options, pool);
  if (adapter !== undefined) return runAdapterJob(options, adapter, models, pool);
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
    findEngine: options.findEngine,
    writeExtras: (folder, engine) => files.write(folder, plan, warnings, engine),
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
    engine: outcome.engine === undefined ? undefined : engineText(outcome.engine),
    warnings: [...warnings, ...outcome.warnings],
  };
}
