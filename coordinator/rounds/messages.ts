/** Database rows as gRPC messages. */
import { deserializeError, type SerializedError } from '../../shared/errors/tributary-error.js';
import type { ErrorInfo } from '../../shared/generated/tributary/v1/common.js';
import { type Contribution, ContributionStatus, Round, RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { toErrorInfo } from '../../shared/grpc/error-trailer.js';
import { toArtifactKind } from '../../shared/transfer/artifact-kind.js';
import { studyProgress } from '../evaluation/messages.js';
import type { Services } from '../services.js';
import type { UploadRow } from '../transfers/upload-store.js';
import type { ContributionRow, RoundRow } from './round-store.js';
import type { RoundState as StateName } from './states.js';

const STATES: Record<StateName, RoundState> = {
  open: RoundState.OPEN,
  merging: RoundState.MERGING,
  published: RoundState.PUBLISHED,
  failed: RoundState.FAILED,
  cancelled: RoundState.CANCELLED,
};

const STATUSES: Record<ContributionRow['status'], ContributionStatus> = {
  accepted: ContributionStatus.ACCEPTED,
  quarantined: ContributionStatus.QUARANTINED,
  withdrawn: ContributionStatus.WITHDRAWN,
  superseded: ContributionStatus.SUPERSEDED,
};

export function stateName(state: RoundState): StateName | undefined {
  return (Object.keys(STATES) as StateName[]).find((name) => STATES[name] === state);
}

function errorMessage(json: string | null): ErrorInfo | undefined {
  return json === null ? undefined : toErrorInfo(deserializeError(JSON.parse(json) as SerializedError));
}

export function contributionMessage(row: ContributionRow): Contribution {
  return {
    contributor: row.contributor,
    status: STATUSES[row.status],
    kind: toArtifactKind(row.kind),
    reason: errorMessage(row.reason),
    samples: row.samples === null ? undefined : BigInt(row.samples),
    steps: row.steps === null ? undefined : BigInt(row.steps),
    taskVectorNorm: row.norm,
    totalBytes: BigInt(row.total_bytes),
    sentBytes: BigInt(row.sent_bytes),
    savedBytes: BigInt(row.total_bytes - row.sent_bytes),
    manifestDigest: row.manifest_digest,
    weightsDigest: row.weights_digest,
    createdAt: new Date(row.created_ms),
    updatedAt: new Date(row.updated_ms),
  };
}

function uploadingMessage(services: Services, row: UploadRow): Contribution {
  const artifact = services.models.artifact(row.manifest_digest);
  return {
    contributor: row.contributor,
    status: ContributionStatus.UPLOADING,
    kind: toArtifactKind(artifact.kind),
    reason: undefined,
    samples: row.samples === null ? undefined : BigInt(row.samples),
    steps: row.steps === null ? undefined : BigInt(row.steps),
    taskVectorNorm: 0,
    totalBytes: BigInt(row.total_bytes),
    sentBytes: BigInt(row.missing_bytes),
    savedBytes: BigInt(row.total_bytes - row.missing_bytes),
    manifestDigest: row.manifest_digest,
    weightsDigest: artifact.weightsDigest,
    createdAt: new Date(row.created_ms),
    updatedAt: new Date(row.touched_ms),
  };
}

/** A round with one row per contributor; an upload under way shows where nothing is accepted yet. */
export function roundMessage(services: Services, row: RoundRow, withContributions = true): Round {
  const byContributor = new Map<string, Contribution>();
  if (withContributions) {
    if (row.state === 'open')
      for (const upload of services.uploads.openInRound(row.name))
        byContributor.set(upload.contributor, uploadingMessage(services, upload));
    for (const contribution of services.rounds.contributions(row.name)) {
      const hidden = contribution.status !== 'accepted' && byContributor.has(contribution.contributor);
      if (!hidden) byContributor.set(contribution.contributor, contributionMessage(contribution));
    }
  }
  const progress = services.hub.progressOf(row.name);
  const hasStudy = withContributions && services.studies.find(row.name) !== undefined;
  return Round.fromPartial({
    name: row.name,
    state: STATES[row.state],
    baseName: row.base_name,
    baseDigest: row.base_digest,
    baseBytes: BigInt(services.models.resolve(row.base_name).total_bytes),
    recipe: row.recipe,
    quorum: row.quorum,
    minContributions: row.min_contributions,
    ...(row.deadline_ms === null ? {} : { deadline: new Date(row.deadline_ms) }),
    createdAt: new Date(row.created_ms),
    updatedAt: new Date(row.updated_ms),
    contributions: [...byContributor.values()].sort((a, b) => (a.contributor < b.contributor ? -1 : 1)),
    model: row.model ?? '',
    ...(row.error === null ? {} : { error: errorMessage(row.error) as ErrorInfo }),
    ...(hasStudy ? { study: studyProgress(services, services.knownStudies.get(row.name)) } : {}),
    ...(progress === undefined ? {} : { progress: { doneBytes: BigInt(progress.doneBytes), totalBytes: BigInt(progress.totalBytes) } }),
  });
}
