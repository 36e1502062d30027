/**
 * Contributions of a round, as the merge engine sees them: whether they fit a base, from names and shapes alone, and the whole models that
 * factors make of it. Whoever merges a round (the coordinator) or a candidate of its study (an agent) builds the same inputs here, so that
 * both make the same bytes.
 */
import { type AdapterWeights, expandAdapter, ontoBase, readAdapterConfig } from '../formats/adapter.js';
import type { AdapterConfig } from '../formats/adapter-config.js';
import { ADAPTER_CONFIG_FILE } from '../formats/adapter-files.js';
import { adapterParts } from '../formats/adapter-parts.js';
import { expandLowRank, lowRankParts } from '../formats/low-rank.js';
import type { TensorInfo, TensorMap } from '../formats/tensor.js';
import type { Recipe } from '../recipe/recipe.js';
import type { Artifact } from '../transfer/artifact.js';
import type { ArtifactForm } from '../transfer/artifact-kind.js';
import { checkCompatibility } from './compatibility.js';
import type { ContributionKind, MergeBase, MergeInput } from './types.js';

function configOf(content: Uint8Array, name: string): AdapterConfig {
  return readAdapterConfig(content, `${name}: ${ADAPTER_CONFIG_FILE}`);
}

/** adapter_config.json of an artifact; nothing where it is no adapter. */
export const adapterConfigOf = ({ files }: Artifact): Uint8Array =>
  files.find((file) => file.path === ADAPTER_CONFIG_FILE)?.content ?? new Uint8Array(0);

/**
 * @param name of the contributor, for errors
 * @throws TENSOR_*, SHAPE_MISMATCH, DTYPE_MISMATCH, UNSUPPORTED_DTYPE, ADAPTER_*
 */
export function checkStructure(
  artifact: Artifact,
  name: string,
  base: { readonly name: string; readonly tensors: ReadonlyMap<string, TensorInfo> },
): void {
  const { kind, tensors } = artifact;
  if (kind === 'lora') adapterParts({ config: configOf(adapterConfigOf(artifact), name), tensors, where: name }, base);
  else if (kind === 'low_rank') lowRankParts(tensors, base, name);
  else checkCompatibility(base, { name, kind, tensors });
}

export interface RoundContribution {
  readonly contributor: string;
  readonly kind: ArtifactForm;
  /** As its own files name them. */
  readonly tensors: TensorMap;
  /** Bytes of adapter_config.json; read of adapters only. */
  readonly adapterConfig: Uint8Array;
  readonly weightsDigest: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
}

/** What the merge engine sees of a contribution. */
export interface ExpandedContribution {
  readonly kind: ContributionKind;
  /** In the names of the base, if there are factors. */
  readonly tensors: TensorMap;
  readonly adapter?: AdapterWeights | undefined;
}

/** @throws as checkStructure */
export function expandContribution(
  { contributor: name, kind, tensors, adapterConfig }: Pick<RoundContribution, 'contributor' | 'kind' | 'tensors' | 'adapterConfig'>,
  base: { readonly name: string; readonly tensors: TensorMap },
): ExpandedContribution {
  switch (kind) {
    case 'full':
    case 'delta':
      return { kind, tensors };
    case 'low_rank':
      return { kind: 'full', tensors: expandLowRank({ name, tensors }, base) };
    case 'lora': {
      const adapter = { name, tensors, config: configOf(adapterConfig, name) };
      return { kind: 'full', tensors: expandAdapter(adapter, base), adapter };
    }
  }
}

export interface RoundInput extends MergeInput {
  readonly adapter?: AdapterWeights | undefined;
}

/** A contribution as an input of the round's merge. @throws as checkStructure */
export function roundInput(recipe: Recipe, base: MergeBase, contribution: RoundContribution): RoundInput {
  const { contributor, weightsDigest, samples, steps } = contribution;
  const { kind, tensors, adapter } = expandContribution(contribution, base);
  const override = recipe.contributors.get(contributor);
  return {
    name: contributor,
    kind,
    // mergekit rounds whole weights.
    tensors: recipe.numerics === 'exact' ? tensors : ontoBase(tensors, base.tensors),
    weightsDigest,
    samples: override?.samples ?? samples,
    steps: override?.steps ?? steps,
    parameters: override?.parameters,
    adapter,
  };
}
