/** The work of an offline merge, once threads are on their way: open the models, plan, merge, and put the other files beside the weights. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Checkpoint, openCheckpoint } from '../../shared/formats/checkpoint.js';
import { renderModelCard } from '../../shared/merge/model-card.js';
import { numHiddenLayersOf, withStoredDtype } from '../../shared/merge/model-config.js';
import { planMerge } from '../../shared/merge/plan.js';
import { drawsAtRandom } from '../../shared/merge/plan-program.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import type { MergeInput, MergePlan } from '../../shared/merge/types.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Parameters, Recipe } from '../../shared/recipe/recipe.js';
import { weightsDigestOf } from '../../shared/transfer/weights-digest.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import type { OfflineMergeOptions, OfflineMergeReport } from './merge-offline.js';

interface OpenedModels {
  readonly base: { readonly name: string; readonly checkpoint: Checkpoint } | undefined;
  readonly inputs: readonly MergeInput[];
  /** Whose configuration and tokenizer the output gets. */
  readonly template: Checkpoint;
  readonly warnings: readonly string[];
}

function refuseRoundReference(recipe: Recipe, reference: string): void {
  if (!reference.startsWith('base:')) return;
  throw new TributaryError('RECIPE_INVALID', {
    what: `${reference} is a model known to a coordinator; an offline merge needs a folder`,
    where: recipe.fileName,
    fix: 'Write the path of a folder, or use this recipe in a round.',
  });
}

function checkModels(recipe: Recipe): void {
  if (recipe.contributors.size > 0)
    throw new TributaryError('RECIPE_INVALID', {
      what: 'contributors: is for rounds',
      where: recipe.fileName,
      fix: 'List `models:` instead.',
    });
  if (recipe.models.length === 0)
    throw new TributaryError('RECIPE_INVALID', {
      what: 'the recipe lists no models',
      where: recipe.fileName,
      expected: 'models: a list of {model: path}',
    });
  const paths = new Map<string, string>();
  for (const { model } of recipe.models) {
    refuseRoundReference(recipe, model);
    const path = resolve(model);
    const other = paths.get(path);
    if (other !== undefined)
      throw new TributaryError('RECIPE_INVALID', {
        what: `${other} and ${model} are the same folder`,
        where: recipe.fileName,
        fix: 'Give it one entry.',
      });
    paths.set(path, model);
  }
  if (recipe.baseModel !== undefined) refuseRoundReference(recipe, recipe.baseModel);
}

async function openModels(recipe: Recipe): Promise<OpenedModels> {
  checkModels(recipe);
  const warnings: string[] = [];
  const { baseModel } = recipe;
  const basePath = baseModel === undefined ? undefined : resolve(baseModel);
  const ofWeights = recipe.rule.of === 'weights';
  const baseListed = recipe.models.some(({ model }) => resolve(model) === basePath);
  if (ofWeights && basePath !== undefined && !baseListed)
    warnings.push(`${baseModel} is the base and not listed under models: it takes part with weight 0`);
  // The base's own task vector is zero: listing it, as mergekit's examples do, changes nothing.
  const listed = recipe.models.filter(({ model }) => ofWeights || resolve(model) !== basePath);
  if (listed.length === 0)
    throw new TributaryError('RECIPE_INVALID', { what: 'the recipe lists no model but the base', where: recipe.fileName });
  const open = new Map<string, Promise<Checkpoint>>();
  const openOnce = (path: string): Promise<Checkpoint> => {
    const key = resolve(path);
    const opened = open.get(key) ?? openCheckpoint(path);
    open.set(key, opened);
    return opened;
  };
  const [baseCheckpoint, ...checkpoints] = await Promise.all([
    baseModel === undefined ? undefined : openOnce(baseModel),
    ...listed.map(({ model }) => openOnce(model)),
  ]);
  const inputs = listed.map(({ model, samples, steps, parameters }, index): MergeInput => {
    const tensors = checkpoints[index]?.tensors ?? new Map();
    return { name: model, kind: 'full', tensors, samples, steps, parameters, isBase: resolve(model) === basePath };
  });
  const template = baseCheckpoint ?? checkpoints[0];
  if (template === undefined) throw new TributaryError('INTERNAL', { what: 'no model was opened' });
  return {
    base: baseCheckpoint === undefined || baseModel === undefined ? undefined : { name: baseModel, checkpoint: baseCheckpoint },
    inputs,
    template,
    warnings,
  };
}

async function readConfig(template: Checkpoint): Promise<string | undefined> {
  const config = template.sidecars.find((file) => file.name === 'config.json');
  return config === undefined ? undefined : readFile(config.path, 'utf8');
}

/** The weight as the recipe writes it, for the card: numbers, gradients and filters. */
function weightText(recipe: Recipe, parameters: Parameters | undefined): string | undefined {
  const value = parameters?.get('weight') ?? recipe.parameters.get('weight');
  if (value === undefined) return undefined;
  return value
    .map(
      (one) =>
        `${one.filter === undefined ? '' : `${one.filter}: `}${typeof one.value === 'number' ? one.value : `[${one.value.join(', ')}]`}`,
    )
    .join('; ');
}

function cardFor(options: OfflineMergeOptions, recipe: Recipe, plan: MergePlan, models: OpenedModels, warnings: readonly string[]): string {
  return renderModelCard({
    title: basename(resolve(options.outDir)),
    recipe,
    base: models.base === undefined ? undefined : { name: models.base.name },
    models: models.inputs.map((input) => ({
      name: input.name,
      samples: input.samples,
      steps: input.steps,
      weight: weightText(recipe, input.parameters),
    })),
    dtype: plan.dtype,
    version: options.version,
    nodeVersion: process.versions.node,
    warnings,
  });
}

/** Random masks depend on what the weights are, so that a round and an offline merge of the same contributions drop the same elements. */
async function withDigests(inputs: readonly MergeInput[], pool: WorkerPool, signal: AbortSignal | undefined): Promise<MergeInput[]> {
  const digested: MergeInput[] = [];
  for (const input of inputs) digested.push({ ...input, weightsDigest: await weightsDigestOf(input.tensors, pool, signal) });
  return digested;
}

export async function runOfflineJob(options: OfflineMergeOptions, pool: WorkerPool): Promise<OfflineMergeReport> {
  const recipe = parseRecipe(options.recipeText, { fileName: options.recipePath });
  const models = await openModels(recipe);
  const configText = await readConfig(models.template);
  const inputs = drawsAtRandom(recipe) ? await withDigests(models.inputs, pool, options.signal) : models.inputs;
  const plan = planMerge({
    recipe,
    base: models.base === undefined ? undefined : { name: models.base.name, tensors: models.base.checkpoint.tensors },
    inputs,
    numHiddenLayers: configText === undefined ? undefined : numHiddenLayersOf(configText),
    shardSizeBytes: options.shardSizeBytes,
  });
  const warnings = [...recipe.warnings, ...models.warnings, ...plan.warnings];
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
    async writeExtras(folder) {
      for (const { name, path } of models.template.sidecars) {
        if (name === 'config.json' && configText !== undefined && plan.dtype !== undefined)
          await writeFile(join(folder, name), withStoredDtype(configText, plan.dtype));
        else await copyFile(path, join(folder, name));
      }
      await writeFile(join(folder, 'README.md'), cardFor(options, recipe, plan, models, warnings));
    },
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
