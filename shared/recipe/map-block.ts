/** The `map:` block of a recipe, and what it means once it is known who takes part: coordinates, and a recipe for every candidate. */
import { TributaryError } from '../errors/tributary-error.js';
import type { Dimension, StudySettings, StudySpec } from '../pareto/study.js';
import type { ParameterValue, Recipe, RecipeContributor } from './recipe.js';
import { AVERAGING } from './rules/averaging.js';

/** Whether agents merge candidates from contributions they fetch, or download candidates that the coordinator merged. */
export type CandidateAccess = 'local' | 'served';

export interface Range {
  readonly lower: number;
  readonly upper: number;
}

export interface MapBlock extends StudySettings {
  readonly access: CandidateAccess;
  /** The box of the contributors' weights; undefined: only parameters vary. */
  readonly weights?: (Range & { readonly layerGroups?: number | undefined }) | undefined;
  /** Parameters of the rule that vary, such as lambda. */
  readonly parameters: readonly (Range & { readonly name: string })[];
}

/** What the recipe says of a parameter without the map block, if it is one number; else the middle of the range. */
function neutralOf(recipe: Recipe, { name, lower, upper }: Range & { readonly name: string }): number {
  const [first, ...others] = recipe.parameters.get(name) ?? [];
  const said = others.length === 0 && first?.filter === undefined ? first?.value : undefined;
  const known = recipe.description.parameters.find((parameter) => parameter.name === name)?.default;
  const value = said ?? known;
  return typeof value === 'number' ? Math.min(upper, Math.max(lower, value)) : (lower + upper) / 2;
}

/** One coordinate for each contributor (and anchor of a gradient over the layers), then the parameters, in the order of the recipe. */
export function dimensionsOf(recipe: Recipe, map: MapBlock, contributors: readonly string[]): Dimension[] {
  const { weights, parameters } = map;
  const anchors = weights?.layerGroups === undefined ? [undefined] : Array.from({ length: weights.layerGroups }, (_, anchor) => anchor);
  const ofWeights = (weights === undefined ? [] : contributors).flatMap((contributor) =>
    anchors.map(
      (anchor): Dimension => ({
        name: anchor === undefined ? contributor : `${contributor}[${anchor}]`,
        contributor,
        anchor,
        lower: weights?.lower ?? 0,
        upper: weights?.upper ?? 1,
        neutral: 1,
      }),
    ),
  );
  return [...ofWeights, ...parameters.map((parameter): Dimension => ({ ...parameter, neutral: neutralOf(recipe, parameter) }))];
}

/** @throws RECIPE_INVALID without a map block */
export function studySpecOf(recipe: Recipe, contributors: readonly string[]): StudySpec {
  const { map } = recipe;
  if (map === undefined) throw new TributaryError('RECIPE_INVALID', { what: 'the recipe has no map block', where: recipe.fileName });
  const { access: _access, weights: _weights, parameters: _parameters, ...settings } = map;
  return { ...settings, contributors, dimensions: dimensionsOf(recipe, map, contributors) };
}

/** Whether only ratios of the weights that vary matter: metrics are then constant along rays, as no quadratic of the weights is. */
export function mapsRatios({ map, parameters, description }: Recipe): boolean {
  if (map?.weights === undefined) return false;
  const said = parameters.get('normalize')?.[0]?.value;
  const preset = description.fixed.get('normalize') ?? description.parameters.find(({ name }) => name === 'normalize')?.default;
  return Number(said ?? preset ?? 0) !== 0;
}

const NOTHING_OF_EACH: ParameterValue = [{ value: 0 }];

/** The base itself: what no weight at all means, also to rules that divide by the sum of weights. */
function baseAlone(recipe: Recipe, contributors: readonly string[]): Recipe {
  const description = AVERAGING.task_arithmetic;
  return {
    ...recipe,
    description,
    rule: description.composition,
    options: new Map(),
    parameters: new Map([['weight', NOTHING_OF_EACH]]),
    contributors: new Map(contributors.map((name) => [name, { parameters: new Map([['weight', NOTHING_OF_EACH]]) }])),
  };
}

/**
 * The recipe of a round with one candidate's coefficients in place of what it says itself. The weights replace those of the recipe.
 * @param coefficients one for each dimension
 */
export function candidateRecipe(recipe: Recipe, dimensions: readonly Dimension[], coefficients: readonly number[]): Recipe {
  const parameters = new Map(recipe.parameters);
  const weights = new Map<string, number[]>();
  for (const [index, { name, contributor, anchor }] of dimensions.entries()) {
    const value = coefficients[index] ?? 0;
    if (contributor === undefined) parameters.set(name, [{ value }]);
    else weights.set(contributor, [...(anchor === undefined ? [] : (weights.get(contributor) ?? [])), value]);
  }
  if (weights.size > 0 && [...weights.values()].every((values) => values.every((value) => value === 0)))
    return baseAlone(recipe, [...weights.keys()]);
  const contributors = new Map<string, RecipeContributor>(recipe.contributors);
  for (const [name, values] of weights) {
    const own = contributors.get(name);
    const [only = 0, ...others] = values;
    const weight: ParameterValue = [{ value: others.length === 0 ? only : values }];
    contributors.set(name, { ...own, parameters: new Map([...(own?.parameters ?? []), ['weight', weight]]) });
  }
  return { ...recipe, parameters, contributors };
}
