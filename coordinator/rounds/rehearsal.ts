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

/** @throws what the merge of `count` contributions would throw, whoever makes them */
export function rehearse(services: Services, recipe: Recipe, base: ModelRow, count: number): void {
  const tensors: TensorMap = new Map(
    [...services.models.artifact(base.manifest_digest).tensors.values()].map(({ name, dtype, shape, sizeBytes }) => [
      name,
      { name, dtype, shape, sizeBytes, segments: [] },
    ]),
  );
  const plan = (names: readonly string[]): void => {
    const inputs = Array.from({ length: count }, (_, index): MergeInput => {
      const name = names[index] ?? `contribution ${index + 1}`;
      return {
        name,
        kind: 'full',
        tensors,
        weightsDigest: '',
        samples: 1,
        steps: 1,
        parameters: recipe.contributors.get(name)?.parameters,
      };
    });
    const rule = serverRuleOf(recipe);
    const planned = planMerge({ recipe: rule?.delta ?? recipe, base: { name: base.name, tensors }, inputs, inRound: true });
    if (rule !== undefined) planStep({ rule, plan: planned }, tensors, momentsLike(tensors));
  };
  try {
    plan([]);
  } catch (error) {
    // What is said under contributors: may be what makes the recipe whole.
    try {
      if (recipe.contributors.size > 0) return plan([...recipe.contributors.keys()]);
    } catch {
      throw refusal(error, recipe, count);
    }
    throw refusal(error, recipe, count);
  }
}

function refusal(error: unknown, recipe: Recipe, count: number): TributaryError {
  const { code, details } = toTributaryError(error);
  const where = `${details.where ?? recipe.fileName}, tried with ${count} contribution${count === 1 ? '' : 's'}`;
  return new TributaryError(code, { ...details, where });
}
