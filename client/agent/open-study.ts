/**
 * What an agent needs of a study before it can make candidates: the recipe, the coordinates and, where candidates are local, the opened base and
 * contributions, as the same inputs that the coordinator merges.
 */
import { readFile } from 'node:fs/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { TensorMap } from '../../shared/formats/tensor.js';
import { CandidateAccess, type Study } from '../../shared/generated/tributary/v1/evaluations.js';
import { type RoundInput, roundInput } from '../../shared/merge/contributions.js';
import { numHiddenLayersOf } from '../../shared/merge/model-config.js';
import type { MergeBase } from '../../shared/merge/types.js';
import type { Dimension } from '../../shared/pareto/study.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import type { Recipe } from '../../shared/recipe/recipe.js';
import { ARTIFACT_FORMS, type ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import { type CachedModel, fetchModel, type ModelCacheOptions } from './model-cache.js';

/** Everything local candidates are made of. */
export interface LocalInputs {
  readonly recipe: Recipe;
  readonly dimensions: readonly Dimension[];
  readonly base: MergeBase;
  readonly baseFolder: string;
  readonly inputs: readonly RoundInput[];
  readonly sidecars: CachedModel['sidecars'];
  readonly numHiddenLayers: number | undefined;
}

export interface OpenedStudy {
  readonly round: string;
  /** Undefined: the coordinator serves merged candidates. */
  readonly local: LocalInputs | undefined;
}

function dimensionsOf({ dimensions }: Study): Dimension[] {
  return dimensions.map(({ name, contributor, anchor, lower, upper, neutral }) => ({
    name,
    contributor: contributor === '' ? undefined : contributor,
    anchor,
    lower,
    upper,
    neutral,
  }));
}

function kindOf(kind: string, contributor: string): ArtifactForm {
  const known = ARTIFACT_FORMS.find((form) => form === kind);
  if (known !== undefined) return known;
  throw new TributaryError('RECIPE_UNSUPPORTED', {
    what: `the contribution of ${contributor} is of a kind that this version does not know`,
    expected: ARTIFACT_FORMS.join(', '),
    got: kind,
    fix: 'Update the agent.',
  });
}

/** Tensors that are the base's, byte for byte, become its own: nothing of them is read, as in the coordinator's merge. */
function sharingBase(model: CachedModel, base: CachedModel): TensorMap {
  return new Map(
    [...model.tensors].map(([name, tensor]) => {
      const same = model.contents.get(name) === base.contents.get(name);
      return [name, (same ? base.tensors.get(name) : undefined) ?? tensor];
    }),
  );
}

async function openLocal(study: Study, cache: ModelCacheOptions): Promise<LocalInputs> {
  const recipe = parseRecipe(study.recipe, { fileName: `recipe of ${study.round}` });
  const ofBase = await fetchModel(cache, { reference: study.baseName, kind: 'full' });
  if (study.baseDigest !== '' && study.baseDigest !== ofBase.weightsDigest)
    throw new TributaryError('BASE_MISMATCH', {
      what: `${study.baseName} is not the base that round ${study.round} was made with`,
      expected: study.baseDigest,
      got: ofBase.weightsDigest,
    });
  const base = { name: study.baseName, digest: ofBase.weightsDigest, tensors: ofBase.tensors };
  const inputs: RoundInput[] = [];
  for (const contribution of study.contributions) {
    const { contributor, model, manifestDigest, samples, steps } = contribution;
    const kind = kindOf(contribution.kind, contributor);
    const cached = await fetchModel(cache, { reference: model, kind, manifestDigest });
    inputs.push(
      roundInput(recipe, base, {
        contributor,
        kind,
        tensors: kind === 'full' ? sharingBase(cached, ofBase) : cached.tensors,
        adapterConfig: cached.adapterConfig,
        weightsDigest: contribution.weightsDigest,
        samples: samples === undefined ? undefined : Number(samples),
        steps: steps === undefined ? undefined : Number(steps),
      }),
    );
  }
  const config = ofBase.sidecars.find(({ name }) => name === 'config.json');
  return {
    recipe,
    dimensions: dimensionsOf(study),
    base,
    baseFolder: ofBase.folder,
    inputs,
    sidecars: ofBase.sidecars,
    numHiddenLayers: config === undefined ? undefined : numHiddenLayersOf(await readFile(config.path, 'utf8')),
  };
}

/** @throws what fetching and opening models throws */
export async function openStudy(study: Study, cache: ModelCacheOptions): Promise<OpenedStudy> {
  return { round: study.round, local: study.access === CandidateAccess.SERVED ? undefined : await openLocal(study, cache) };
}
