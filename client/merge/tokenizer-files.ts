/** The tokenizer of the output: whose files it gets, that vocabularies are the same where the recipe relies on it, and the chat template. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Checkpoint } from '../../shared/formats/checkpoint.js';
import { CHAT_TEMPLATES } from '../../shared/recipe/chat-templates.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import type { OpenedModels } from './open-models.js';

/** Files that say which token has which number. */
const VOCABULARY =
  /^(?:tokenizer\.json|tokenizer\.model|spiece\.model|sentencepiece.*\.model|vocab\.(?:json|txt)|merges\.txt|added_tokens\.json|tekken\.json)$/;
/** All that goes with a tokenizer. */
const TOKENIZER =
  /^(?:tokenizer|special_tokens_map|added_tokens|vocab|merges|tekken|chat_template|spiece|sentencepiece)|\.(?:tiktoken|spm|bpe|jinja)$/;
const CONFIG = 'tokenizer_config.json';
const JINJA = 'chat_template.jinja';

export function isTokenizerFile(name: string): boolean {
  return TOKENIZER.test(name);
}

const vocabularyOf = (checkpoint: Checkpoint) => checkpoint.sidecars.filter((file) => VOCABULARY.test(file.name));

async function checkSameVocabulary(recipe: Recipe, wanted: Checkpoint, other: Checkpoint): Promise<string | undefined> {
  if (other === wanted) return undefined;
  const files = vocabularyOf(other);
  if (files.length === 0) return `${other.path} has no tokenizer; it is taken to have the vocabulary of ${wanted.path}`;
  for (const file of vocabularyOf(wanted)) {
    const beside = files.find(({ name }) => name === file.name);
    const same =
      beside !== undefined && beside.sizeBytes === file.sizeBytes && (await readFile(beside.path)).equals(await readFile(file.path));
    if (same) continue;
    throw new TributaryError('RECIPE_UNSUPPORTED', {
      what: `the vocabularies of ${wanted.path} and ${other.path} differ, and merging vocabularies is not supported in this version`,
      where: `${recipe.fileName}: tokenizer`,
      expected: `${file.name} as in ${wanted.path}`,
      got: beside === undefined ? 'no such file' : 'another file',
      fix: 'Leave the tokenizer key out to merge the embeddings row by row, or give all models the same tokenizer first.',
    });
  }
  return undefined;
}

/** The model whose tokenizer files are copied. @throws RECIPE_UNSUPPORTED when the recipe wants vocabularies brought together */
export async function tokenizerSource(recipe: Recipe, models: OpenedModels): Promise<{ checkpoint: Checkpoint; warnings: string[] }> {
  const { tokenizer } = recipe;
  if (tokenizer === undefined) return { checkpoint: models.template, warnings: [] };
  if (tokenizer === 'base' && models.base === undefined)
    throw new TributaryError('RECIPE_INVALID', { what: 'tokenizer: base needs a base_model', where: recipe.fileName });
  const named = tokenizer === 'base' || tokenizer === 'union' ? models.template : models.models.get(tokenizer)?.checkpoint;
  if (named === undefined)
    throw new TributaryError('RECIPE_INVALID', {
      what: `the tokenizer's model ${tokenizer} takes no part in the merge`,
      where: `${recipe.fileName}: tokenizer`,
      expected: ['base', 'union', ...models.models.keys()].join(', '),
      got: tokenizer,
    });
  const warnings: string[] = [];
  for (const checkpoint of new Set([...models.models.values()].map((model) => model.checkpoint))) {
    const warning = await checkSameVocabulary(recipe, named, checkpoint);
    if (warning !== undefined) warnings.push(warning);
  }
  return { checkpoint: named, warnings };
}

/** The template a model comes with: its file, else the entry of its configuration. */
async function templateOf(checkpoint: Checkpoint): Promise<string | undefined> {
  const jinja = checkpoint.sidecars.find((file) => file.name === JINJA);
  if (jinja !== undefined) return readFile(jinja.path, 'utf8');
  const config = checkpoint.sidecars.find((file) => file.name === CONFIG);
  if (config === undefined) return undefined;
  const template = jsonObject(await readFile(config.path, 'utf8'))?.['chat_template'];
  return typeof template === 'string' ? template : undefined;
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The template that the recipe wants; undefined to leave what is copied as it is. `auto` is the one most models have. */
export async function chatTemplateFor(recipe: Recipe, models: OpenedModels): Promise<{ template?: string; warnings: string[] }> {
  const { chatTemplate } = recipe;
  if (chatTemplate === undefined) return { warnings: [] };
  if (chatTemplate !== 'auto') return { template: CHAT_TEMPLATES.get(chatTemplate) ?? chatTemplate, warnings: [] };
  const counts = new Map<string, number>();
  for (const { checkpoint } of new Set(models.models.values())) {
    const template = await templateOf(checkpoint);
    if (template !== undefined) counts.set(template, (counts.get(template) ?? 0) + 1);
  }
  const [best] = [...counts].sort((a, b) => b[1] - a[1]);
  return best === undefined ? { warnings: ['chat_template: auto found none in any model'] } : { template: best[0], warnings: [] };
}

/**
 * A tokenizer's files with another chat template, as transformers reads it: an entry of tokenizer_config.json, and the file
 * chat_template.jinja, which newer versions prefer.
 * @param configText tokenizer_config.json, if the tokenizer has one
 */
export function templateFiles(template: string, configText: string | undefined): Map<string, string> {
  const files = new Map([[JINJA, template]]);
  const config = configText === undefined ? undefined : jsonObject(configText);
  if (config !== undefined) files.set(CONFIG, `${JSON.stringify({ ...config, chat_template: template }, undefined, 2)}\n`);
  return files;
}

export async function tokenizerConfigOf(checkpoint: Checkpoint): Promise<string | undefined> {
  const config = checkpoint.sidecars.find((file) => basename(file.name) === CONFIG);
  return config === undefined ? undefined : readFile(config.path, 'utf8');
}
