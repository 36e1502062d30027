/**
 * What a recipe asks of a round before anyone has pushed: how many contributions its rule can take, and a plan of the merge with made-up
 * ones. A round whose recipe could never be merged is refused when it is made, for the reason that the merge would have given.
 */
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type { StoredTensor, TensorMap } from '../../shared/formats/tensor.js';
import { planMerge } from '../../shared/merge/plan.js';
import { planStep, serverRuleOf } from '../../shared/merge/plan-server.js';
import { momentName } from '../../shared/merge/server-state.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { layerPositions } from '../../shared/recipe/layers.js';
import { candidateRecipe, studySpecOf } from '../../shared/recipe/map-block.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import type { ModelRow } from '../models/model-store.js';
import type { Services } from '../services.js';

export interface ContributionCounts {
  readonly least: number;
  readonly most: number;
}

/** A parameter that is one number for all tensors. */
function plainNumber({ parameters }: Recipe, name: string): number | undefined {
  const [first, ...others] = parameters.get(name) ?? [];
  return others.length === 0 && typeof first?.value === 'number' ? first.value : undefined;
}

/** How many contributions the rule can merge; Krum needs more than 2 f + 2 (Blanchard et al., arXiv 1703.02757). */
export function countsOf(recipe: Recipe): ContributionCounts {
  const { minModels = 1, maxModels = Infinity } = recipe.description;
  if (recipe.rule.combine !== 'krum') return { least: minModels, most: maxModels };
  const byzantine = plainNumber(recipe, 'byzantine') ?? 0;
  return { least: Math.max(minModels, 2 * byzantine + 3, plainNumber(recipe, 'keep') ?? 1), most: maxModels };
}

export interface RoundSize {
  /** Contributions that close the round by themselves; 0: none do. */
  readonly quorum: number;
  /** Fewest that may close it; 0: as many as the rule needs. */
  readonly minContributions: number;
}

/** @returns the fewest contributions that may close the round @throws RECIPE_INVALID when the rule cannot merge so few or so many */
export function leastContributions(recipe: Recipe, { quorum, minContributions }: RoundSize): number {
  const { least, most } = countsOf(recipe);
  const sizes = { 'a quorum of': quorum, 'closing from': minContributions };
  for (const [words, count] of Object.entries(sizes)) {
    if (count === 0 || (count >= least && count <= most)) continue;
    throw new TributaryError('RECIPE_INVALID', {
      what: `${recipe.method} cannot be merged with ${words} ${count}`,
      where: recipe.fileName,
      expected: most === Infinity ? `at least ${least} contributions` : least === most ? `exactly ${least}` : `${least} to ${most}`,
      got: `${count}`,
      fix: count < least ? 'Wait for more contributions, or choose another rule.' : 'Choose a rule that takes more contributions.',
    });
  }
  return Math.max(least, minContributions);
}

function momentsLike(tensors: TensorMap): TensorMap {
  const moments = new Map<string, StoredTensor>();
  for (const tensor of tensors.values())
    for (const moment of ['m', 'v'] as const) {
      const name = momentName(moment, tensor.name);
      moments.set(name, { ...tensor, name, dtype: 'F32' });
    }
  return moments;
}

/** @throws what the merge of `count` contributions would throw, whoever makes them; with a map block also what its candidates would */
export function rehearse(services: Services, recipe: Recipe, base: ModelRow, count: number): void {
  const tensors: TensorMap = new Map(
    [...services.models.artifact(base.manifest_digest).tensors.values()].map(({ name, dtype, shape, sizeBytes }) => [
      name,
      { name, dtype, shape, sizeBytes, segments: [] },
    ]),
  );
  const named = (names: readonly string[]): string[] =>
    Array.from({ length: count }, (_, index) => names[index] ?? `contribution ${index + 1}`);
  const plan = (planned: Recipe, names: readonly string[]): void => {
    const inputs = names.map(
      (name): MergeInput => ({
        name,
        kind: 'full',
        tensors,
        weightsDigest: '',
        samples: 1,
        steps: 1,
        parameters: planned.contributors.get(name)?.parameters,
      }),
    );
    const rule = serverRuleOf(planned);
    const merge = planMerge({ recipe: rule?.delta ?? planned, base: { name: base.name, tensors }, inputs, inRound: true });
    if (rule !== undefined) planStep({ rule, plan: merge }, tensors, momentsLike(tensors));
  };
  requireLayers(recipe, [...tensors.keys()]);
  const planAll = (names: readonly string[]): void => {
    plan(recipe, names);
    for (const candidate of candidatesOf(recipe, names)) plan(candidate, names);
  };
  try {
    planAll(named([]));
  } catch (error) {
    // What is said under contributors: may be what makes the recipe whole.
    try {
      if (recipe.contributors.size > 0) return planAll(named([...recipe.contributors.keys()]));
    } catch {
      throw refusal(error, recipe, count);
    }
    throw refusal(error, recipe, count);
  }
}

/** @throws RECIPE_INVALID when a gradient over the layers is to vary and the base has none that its names tell */
function requireLayers(recipe: Recipe, names: readonly string[]): void {
  if (recipe.map?.weights?.layerGroups === undefined) return;
  const positionOf = layerPositions(names);
  const places = new Set(names.map(positionOf)).size;
  if (places > 1) return;
  throw new TributaryError('RECIPE_INVALID', {
    what: 'layer_groups are anchors of a gradient over the layers, and the names of the tensors of the base tell no layers',
    where: `${recipe.fileName}: map.coefficients.layer_groups`,
    expected: 'names such as model.layers.0.mlp.weight',
    got: names.slice(0, 3).join(', '),
    fix: 'Leave layer_groups out.',
  });
}

/** Where in the box to try: not in the middle, where weights may cancel. */
const SAMPLE_SHARE = 0.37;

/** Candidates of the map block: the base, the corners of the box with everything low or high, and a point inside. */
function candidatesOf(recipe: Recipe, names: readonly string[]): Recipe[] {
  if (recipe.map === undefined) return [];
  const { dimensions } = studySpecOf(recipe, names);
  const base = dimensions.map(({ contributor, neutral }) => (contributor === undefined ? neutral : 0));
  const along = (share: number): number[] => dimensions.map(({ lower, upper }) => lower + share * (upper - lower));
  return [base, along(0), along(1), along(SAMPLE_SHARE)].map((coefficients) => candidateRecipe(recipe, dimensions, coefficients));
}

function refusal(error: unknown, recipe: Recipe, count: number): TributaryError {
  const { code, details } = toTributaryError(error);
  const where = `${details.where ?? recipe.fileName}, tried with ${count} contribution${count === 1 ? '' : 's'}`;
  return new TributaryError(code, { ...details, where });
}
