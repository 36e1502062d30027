/**
 * TransferService.Finalize: every chunk is there, the numbers are sound, and one transaction makes the artifact visible.
 * Calling it again, at the same time or later, gives the same answer.
 */
import { join } from 'node:path';
import { type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { FinalizeResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { adapterConfigOf, expandContribution } from '../../shared/merge/contributions.js';
import { requireRepeated } from '../../shared/merge/repeated-tensors.js';
import { taskVectorStatistics } from '../../shared/merge/task-vector-statistics.js';
import { type Artifact, uniqueChunks } from '../../shared/transfer/artifact.js';
import { modelMessage } from '../models/messages.js';
import { contributionMessage } from '../rounds/messages.js';
import type { Services } from '../services.js';
import { inTransaction } from '../state/database.js';
import { type OpenedArtifact, openArtifact } from '../store/artifact-source.js';
import type { UploadRow } from './upload-store.js';

export async function finalize(services: Services, uploadId: string): Promise<FinalizeResponse> {
  const upload = services.uploads.get(uploadId);
  if (upload.state !== 'receiving') return resultOf(services, upload);
  let running = services.finalizing.get(uploadId);
  if (running === undefined) {
    running = commit(services, upload).finally(() => services.finalizing.delete(uploadId));
    services.finalizing.set(uploadId, running);
  }
  await running;
  return resultOf(services, services.uploads.get(uploadId));
}

async function commit(services: Services, upload: UploadRow): Promise<void> {
  const artifact = services.models.artifact(upload.manifest_digest);
  await requireComplete(services, artifact);
  if (upload.target === 'base') await commitBase(services, upload, artifact);
  else await commitContribution(services, upload, artifact);
}

async function commitBase(services: Services, upload: UploadRow, artifact: Artifact): Promise<void> {
  const { reason } = await examine(services, upload, artifact, undefined);
  if (reason !== undefined) {
    services.uploads.finish(upload.id, 'refused', null);
    services.metrics.transfers.inc({ result: 'refused' });
    throw new TributaryError(reason.code as 'NON_FINITE', reason.details);
  }
  inTransaction(services.db, () => {
    services.names.requireFree(upload.target_name);
    services.models.insert(upload.target_name, 'base', null, 0, artifact);
    services.uploads.finish(upload.id, 'committed', null);
  });
  services.metrics.transfers.inc({ result: 'base' });
  services.logger.info({ base: upload.target_name, digest: artifact.weightsDigest, bytes: artifact.totalBytes }, 'base registered');
}

async function commitContribution(services: Services, upload: UploadRow, artifact: Artifact): Promise<void> {
  const round = services.rounds.requireOpen(upload.target_name);
  const base = services.models.artifact(services.models.resolve(round.base_name).manifest_digest);
  const { reason, norm } = await examine(services, upload, artifact, base);
  const row = services.rounds.addContribution(
    {
      round: round.name,
      contributor: upload.contributor,
      kind: artifact.kind,
      manifest_digest: artifact.manifestDigest,
      weights_digest: artifact.weightsDigest,
      reason,
      samples: upload.samples,
      steps: upload.steps,
      norm,
      total_bytes: upload.total_bytes,
      sent_bytes: upload.missing_bytes,
    },
    (added) => services.uploads.finish(upload.id, 'committed', added.id),
  );
  services.metrics.transfers.inc({ result: row.status });
  services.logger.info(
    { round: round.name, contributor: row.contributor, status: row.status, norm, sentBytes: row.sent_bytes, reason: reason?.code },
    'contribution finalised',
  );
}

/** Reads every weight once: NaN and infinity are found, and the norm of the task vector is measured. */
async function examine(
  services: Services,
  upload: UploadRow,
  artifact: Artifact,
  base: Artifact | undefined,
): Promise<{ reason: SerializedError | undefined; norm: number }> {
  const spoolDir = join(services.config.data, 'spool');
  const opened: OpenedArtifact[] = [];
  try {
    const input = await openArtifact(services.chunks, artifact, spoolDir, `${upload.id}-input`);
    opened.push(input);
    const reference = base === undefined ? undefined : await openArtifact(services.chunks, base, spoolDir, `${upload.id}-base`);
    if (reference !== undefined) opened.push(reference);
    const name = upload.contributor === '' ? upload.target_name : upload.contributor;
    const options = { threads: services.config.threads, signal: services.stopping };
    const onBase = reference === undefined ? undefined : { name: 'base', tensors: reference.tensors };
    const contribution = { contributor: name, kind: artifact.kind, tensors: input.tensors, adapterConfig: adapterConfigOf(artifact) };
    const { kind, tensors, adapter } =
      onBase === undefined ? { kind: 'full' as const, tensors: input.tensors } : expandContribution(contribution, onBase);
    if (adapter !== undefined && onBase !== undefined) {
      const other = await otherBase(adapter, onBase, options);
      if (other !== undefined) return { reason: other.toJSON(), norm: 0 };
    }
    const statistics = await taskVectorStatistics({ base: onBase, input: { name, kind, tensors }, ...options });
    const found = statistics.nonFinite;
    if (found === undefined) return { reason: undefined, norm: statistics.norm };
    const error = new TributaryError('NON_FINITE', {
      what: `${found.tensor} holds ${found.value}`,
      where: `element ${found.index}, ${upload.target === 'base' ? 'base' : 'contribution of'} ${name}`,
      expected: 'finite weights',
      got: `${found.value}`,
      fix: 'The training diverged or the file is damaged: push an earlier checkpoint.',
    });
    return { reason: error.toJSON(), norm: 0 };
  } finally {
    for (const source of opened) await source.close();
  }
}

/** Why an adapter that repeats tensors of its base belongs to another one. */
async function otherBase(...request: Parameters<typeof requireRepeated>): Promise<TributaryError | undefined> {
  try {
    await requireRepeated(...request);
    return undefined;
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'ADAPTER_INVALID') return error;
    throw error;
  }
}

async function requireComplete(services: Services, artifact: Artifact): Promise<void> {
  let missing = 0;
  for (const digest of uniqueChunks(artifact).keys()) if (!(await services.chunks.has(digest))) missing++;
  if (missing === 0) return;
  throw new TributaryError('UPLOAD_INCOMPLETE', {
    what: 'The upload is not complete',
    expected: 'every chunk durable',
    got: `${missing} missing`,
    fix: 'Ask FindMissing and send what it names.',
  });
}

function resultOf(services: Services, upload: UploadRow): FinalizeResponse {
  if (upload.state === 'refused') {
    throw new TributaryError('QUARANTINED', { what: `The upload of ${upload.target_name} was refused`, fix: 'Push a sound checkpoint.' });
  }
  if (upload.target === 'base') {
    const row = services.models.resolve(upload.target_name);
    return { result: { $case: 'model', value: modelMessage(row, services.models.artifact(row.manifest_digest)) } };
  }
  const row = services.rounds.contribution(upload.contribution_id as number);
  return { result: { $case: 'contribution', value: contributionMessage(row) } };
}
