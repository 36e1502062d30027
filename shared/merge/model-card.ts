/** README.md of a merged model: what it was made of and how, so that a stranger can judge it or make it again. Pure: data in, Markdown out. */
import type { DType } from '../formats/tensor.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import { compositionText } from '../recipe/composition.js';
import type { Recipe } from '../recipe/recipe.js';

export interface CardModel {
  readonly name: string;
  /** `LoRA adapter, rank 8`; undefined: a whole model. */
  readonly kind?: string | undefined;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  /** As written in the recipe, or what it amounted to. */
  readonly weight?: string | undefined;
  /** SHA-256 of the contribution, where there is one. */
  readonly digest?: string | undefined;
}

/** Further words: a heading and Markdown under it. */
export interface CardSection {
  readonly heading: string;
  readonly text: string;
}

export interface ModelCard {
  readonly title: string;
  readonly recipe: Recipe;
  readonly base?: { readonly name: string; readonly digest?: string | undefined } | undefined;
  readonly models: readonly CardModel[];
  /** Storage dtype of the merged tensors; undefined when they differ. */
  readonly dtype?: DType | undefined;
  /** Version of Tributary. */
  readonly version: string;
  readonly nodeVersion: string;
  readonly warnings: readonly string[];
  /** What worked on whole matrices, where the rule has such steps. */
  readonly engine?: FoundEngine | undefined;
  /** Present when it is a LoRA adapter: further lines of the table. */
  readonly adapter?: readonly (readonly [string, string])[] | undefined;
  /** Further lines of the lineage table, such as round and model version: label and value. */
  readonly lineage?: readonly (readonly [string, string])[] | undefined;
  /** Behind the models. */
  readonly sections?: readonly CardSection[] | undefined;
}

const TORCH_NAMES: Partial<Record<DType, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16', F64: 'float64' };

/** The name that torch, transformers and recipes have for a dtype. */
export function torchDtypeName(dtype: DType): string {
  return TORCH_NAMES[dtype] ?? dtype.toLowerCase();
}

const ARITHMETIC: Readonly<Record<Recipe['numerics'], string>> = {
  exact: 'numerics: exact; fp32 (fp64 for float32 tensors), one rounding to nearest even at the end',
  mergekit: 'numerics: mergekit; rounded after each operation to the dtype of the arithmetic, as mergekit does',
};

/** Plain words stay as they are; everything else is quoted, which JSON and YAML do alike. */
export function yamlText(text: string): string {
  return /^[A-Za-z][\w./-]*$/.test(text) ? text : JSON.stringify(text);
}

function cell(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('|', '\\|')
    .replaceAll(/[\r\n]+/g, ' ');
}

export function cardTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** A fence longer than any run of backticks in the text. */
function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n*$/, '\n')}${fence}`;
}

function modelTable(models: readonly CardModel[]): string {
  const columns: [string, (model: CardModel) => string | undefined][] = [
    ['Model', (model) => model.name],
    ['Kind', (model) => model.kind],
    ['Weight', (model) => model.weight],
    ['Samples', (model) => model.samples?.toString()],
    ['Steps', (model) => model.steps?.toString()],
    ['SHA-256', (model) => model.digest],
  ];
  const used = columns.filter(([, read]) => models.some((model) => read(model) !== undefined));
  return cardTable(
    used.map(([name]) => name),
    models.map((model) => used.map(([, read]) => read(model) ?? '')),
  );
}

export const engineText = ({ choice, library, device }: FoundEngine): string => `${choice.engine} (${library}) on ${device}`;

/** The tag `tributary` in the front matter is what marks a folder as ours (staging.ts). */
export function renderModelCard(card: ModelCard): string {
  const { recipe, base } = card;
  const { description: rule } = recipe;
  const names = [...(base === undefined ? [] : [base.name]), ...(card.adapter === undefined ? card.models.map((model) => model.name) : [])];
  const front = [
    '---',
    'base_model:',
    ...[...new Set(names)].map((name) => `- ${yamlText(name)}`),
    `library_name: ${card.adapter === undefined ? 'transformers' : 'peft'}`,
    'tags:',
    ...(card.adapter === undefined ? [] : ['- lora']),
    '- merge',
    '- tributary',
    `- ${yamlText(rule.name)}`,
    '---',
  ];
  const facts: [string, string][] = [
    ['Method', rule.name],
    ['Formula', rule.formula],
    ['Source', rule.source],
    ['Made of', compositionText(rule.composition)],
    ...[...recipe.options].map(([name, word]): [string, string] => [name === 'variant' ? 'Variant' : `\`${name}\``, word]),
    ...(base === undefined
      ? []
      : ([['Base', base.digest === undefined ? base.name : `${base.name} (${base.digest})`]] as [string, string][])),
    ['Stored as', card.dtype === undefined ? 'several dtypes, tensor by tensor' : torchDtypeName(card.dtype)],
    ...(card.adapter ?? []).map(([label, value]): [string, string] => [label, value]),
    ['Arithmetic', ARITHMETIC[recipe.numerics]],
    ...(card.engine === undefined ? [] : [['Linear algebra', engineText(card.engine)] as [string, string]]),
    ...(recipe.rule.transforms.some((step) => step === 'drop' || step === 'della') ? [['Seed', `${recipe.seed}`] as [string, string]] : []),
    ...(card.lineage ?? []).map(([label, value]): [string, string] => [label, value]),
    ['Made with', `Tributary ${card.version}, Node ${card.nodeVersion}`],
  ];
  const sections = [
    front.join('\n'),
    `# ${card.title.replaceAll(/[\r\n]+/g, ' ')}`,
    `Merged from ${card.models.length} model${card.models.length === 1 ? '' : 's'} with Tributary.`,
    '## Merge',
    cardTable(['', ''], facts),
    '## Models',
    modelTable(card.models),
    ...(card.sections ?? []).flatMap(({ heading, text }) => [`## ${heading}`, text]),
    ...(card.warnings.length === 0 ? [] : ['## Warnings', card.warnings.map((warning) => `- ${warning}`).join('\n')]),
    '## Recipe',
    fenced(recipe.text, 'yaml'),
  ];
  return `${sections.join('\n\n')}\n`;
}
