/** What the tensors of an artifact mean, in words and on the wire. */
import { ArtifactKind } from '../generated/tributary/v1/common.js';

/** `full`: weights. `delta`: a difference to the base. `lora`, `low_rank`: factors of differences (formats/adapter.ts, low-rank.ts). */
export type ArtifactForm = 'full' | 'delta' | 'lora' | 'low_rank';

const KINDS: Readonly<Record<ArtifactForm, ArtifactKind>> = {
  full: ArtifactKind.FULL,
  delta: ArtifactKind.DELTA,
  lora: ArtifactKind.LORA,
  low_rank: ArtifactKind.LOW_RANK,
};

export const ARTIFACT_FORMS = Object.keys(KINDS) as readonly ArtifactForm[];

export const toArtifactKind = (form: ArtifactForm): ArtifactKind => KINDS[form];

/** Undefined for kinds of a newer peer. */
export const fromArtifactKind = (kind: ArtifactKind): ArtifactForm | undefined => ARTIFACT_FORMS.find((form) => KINDS[form] === kind);
