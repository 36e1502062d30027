/** What a recipe means in a round: participants come from the contributions, the base from the round. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Recipe } from '../../shared/recipe/recipe.js';

const BASE_PREFIX = 'base:';

export interface RoundRecipe {
  readonly recipe: Recipe;
  /** Name or digest of the base, when the recipe names it. */
  readonly base: string | undefined;
}

/** @throws what parseRecipe throws, and RECIPE_INVALID and RECIPE_UNSUPPORTED for what makes sense only offline */
export function parseRoundRecipe(text: string): RoundRecipe {
  const recipe = parseRecipe(text, { fileName: 'recipe' });
  if (recipe.models.length > 0 || recipe.slices.length > 0 || recipe.modules.length > 0) {
    throw new TributaryError('RECIPE_INVALID', {
      what: 'models:, slices: and modules: are for offline merges; in a round every accepted contribution takes part',
      where: recipe.fileName,
      fix: 'Remove them, and give weights under contributors: {NAME: {parameters: {weight: 2}}} if they differ.',
    });
  }
  if (recipe.output !== undefined) {
    throw new TributaryError('RECIPE_UNSUPPORTED', {
      what: 'A round publishes whole models, not adapters',
      where: `${recipe.fileName}: output`,
      expected: 'model, or nothing',
      got: 'adapter',
      fix: 'Remove it; `tributary extract-lora` makes an adapter of a pulled model.',
    });
  }
  if (recipe.chatTemplate !== undefined || (recipe.tokenizer !== undefined && recipe.tokenizer !== 'base')) {
    throw new TributaryError('RECIPE_INVALID', {
      what: 'A round keeps the tokenizer and the chat template of its base',
      where: `${recipe.fileName}: ${recipe.chatTemplate === undefined ? 'tokenizer' : 'chat_template'}`,
      fix: 'Remove it.',
    });
  }
  for (const { name, scope, required, meaning } of recipe.description.parameters) {
    if (required !== true || scope === 'model' || recipe.parameters.has(name)) continue;
    throw new TributaryError('RECIPE_INVALID', {
      what: `${recipe.method} has to be told ${name}: ${meaning}`,
      where: recipe.fileName,
      expected: `parameters: {${name}: ...}`,
    });
  }
  const { baseModel } = recipe;
  if (baseModel !== undefined && !baseModel.startsWith(BASE_PREFIX)) {
    throw new TributaryError('RECIPE_INVALID', {
      what: 'A round cannot read a folder of yours',
      where: `${recipe.fileName}: base_model`,
      expected: 'base:NAME of a registered base, or nothing',
      got: baseModel,
      fix: 'Register it with `tributary base push`, or remove base_model and give --base.',
    });
  }
  return { recipe, base: baseModel?.slice(BASE_PREFIX.length) };
}
