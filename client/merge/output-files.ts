/** What stands beside the merged weights: configuration, tokenizer, chat template, model card. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { adapterWords } from '../../shared/formats/adapter.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { type ModelCard, renderModelCard } from '../../shared/merge/model-card.js';
import { type ConfigChanges, withChanges } from '../../shared/merge/model-config.js';
import type { MergePlan } from '../../shared/merge/types.js';
import type { Parameters, Recipe } from '../../shared/recipe/recipe.js';
import type { OfflineMergeOptions } from './merge-offline.js';
import type { OpenedModels } from './open-models.js';
import { chatTemplateFor, isTokenizerFile, templateFiles, tokenizerConfigOf, tokenizerSource } from './tokenizer-files.js';

export interface OutputFiles {
  readonly warnings: readonly string[];
  /** Writes them; `warnings` are those of the whole merge, for the card. */
  write(folder: string, plan: MergePlan, warnings: readonly string[], engine?: FoundEngine): Promise<void>;
}

export async function readConfig({ template }: OpenedModels): Promise<string | undefined> {
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

/** What is known when the weights are written. */
export type CardFacts = Pick<ModelCard, 'dtype' | 'warnings' | 'engine' | 'adapter'>;

export function mergeCard(options: OfflineMergeOptions, recipe: Recipe, models: OpenedModels, facts: CardFacts): string {
  return renderModelCard({
    title: basename(resolve(options.outDir)),
    recipe,
    base: models.base === undefined ? undefined : { name: models.base.name },
    models: models.inputs.map((input) => {
      const adapter = models.models.get(input.name)?.adapter;
      return {
        name: input.name,
        kind: adapter === undefined ? undefined : adapterWords(adapter),
        samples: input.samples,
        steps: input.steps,
        weight: weightText(recipe, input.parameters),
      };
    }),
    version: options.version,
    nodeVersion: process.versions.node,
    ...facts,
  });
}

/**
 * Settles all of it before a byte is written. @throws RECIPE_UNSUPPORTED, RECIPE_INVALID (tokenizer)
 * @param changes to the configuration besides the dtype
 */
export async function prepareOutputFiles(
  options: OfflineMergeOptions,
  recipe: Recipe,
  models: OpenedModels,
  configText: string | undefined,
  changes: ConfigChanges,
): Promise<OutputFiles> {
  const copied = options.copyTokenizer ?? true;
  const tokenizer = await tokenizerSource(recipe, models);
  const { template, warnings } = await chatTemplateFor(recipe, models);
  const texts = new Map<string, string>();
  if (template !== undefined)
    for (const [name, text] of templateFiles(template, copied ? await tokenizerConfigOf(tokenizer.checkpoint) : undefined))
      texts.set(name, text);
  const files = [
    ...models.template.sidecars.filter(({ name }) => !isTokenizerFile(name)),
    ...(copied ? tokenizer.checkpoint.sidecars.filter(({ name }) => isTokenizerFile(name)) : []),
  ];
  return {
    warnings: [...tokenizer.warnings, ...warnings],
    async write(folder, plan, all, engine) {
      for (const { name, path } of files) {
        if (texts.has(name)) continue;
        if (name === 'config.json' && configText !== undefined)
          await writeFile(join(folder, name), withChanges(configText, { ...changes, dtype: plan.dtype }));
        else await copyFile(path, join(folder, name));
      }
      for (const [name, text] of texts) await writeFile(join(folder, name), text);
      if (options.writeModelCard ?? true)
        await writeFile(join(folder, 'README.md'), mergeCard(options, recipe, models, { dtype: plan.dtype, warnings: all, engine }));
    },
  };
}
