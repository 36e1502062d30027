/** Contributions of factors: whether they fit a base, from manifests alone, and the whole models they make of it. */
import { type AdapterWeights, expandAdapter, readAdapterConfig } from '../../shared/formats/adapter.js';
import type { AdapterConfig } from '../../shared/formats/adapter-config.js';
import { ADAPTER_CONFIG_FILE } from '../../shared/formats/adapter-files.js';
import { adapterParts } from '../../shared/formats/adapter-parts.js';
import { expandLowRank, lowRankParts } from '../../shared/formats/low-rank.js';
import type { TensorInfo, TensorMap } from '../../shared/formats/tensor.js';
import { checkCompatibility } from '../../shared/merge/compatibility.js';
import type { ContributionKind } from '../../shared/merge/types.js';
import type { Artifact } from '../../shared/transfer/artifact.js';

function configOf({ files }: Artifact, name: string): AdapterConfig {
  const content = files.find((file) => file.path === ADAPTER_CONFIG_FILE)?.content ?? new Uint8Array(0);
  return readAdapterConfig(content, `${name}: ${ADAPTER_CONFIG_FILE}`);
}

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
  if (kind === 'lora') adapterParts({ config: configOf(artifact, name), tensors, where: name }, base);
  else if (kind === 'low_rank') lowRankParts(tensors, base, name);
  else checkCompatibility(base, { name, kind, tensors });
}

/** What the merge engine sees of a contribution. */
export interface ExpandedContribution {
  readonly kind: ContributionKind;
  /** In the names of the base, if there are factors. */
  readonly tensors: TensorMap;
  readonly adapter?: AdapterWeights | undefined;
}

/** @param tensors the artifact's own @throws as checkStructure */
export function expandContribution(
  artifact: Artifact,
  name: string,
  tensors: TensorMap,
  base: { readonly name: string; readonly tensors: TensorMap },
): ExpandedContribution {
  switch (artifact.kind) {
    case 'full':
    case 'delta':
      return { kind: artifact.kind, tensors };
    case 'low_rank':
      return { kind: 'full', tensors: expandLowRank({ name, tensors }, base) };
    case 'lora': {
      const adapter = { name, tensors, config: configOf(artifact, name) };
      return { kind: 'full', tensors: expandAdapter(adapter, base), adapter };
    }
  }
}
