/** TransferService.Begin: reads the manifest, refuses what it shows to be wrong, and opens (or finds) the upload. */
import { statfs } from 'node:fs/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { BeginHeader, BeginRequest, BeginResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { checkStructure } from '../../shared/merge/contributions.js';
import { type Artifact, decodeManifest, MAX_MANIFEST_BYTES, uniqueChunks } from '../../shared/transfer/artifact.js';
import { toHex } from '../../shared/util/hex.js';
import { contributorOf, requireOperator } from '../grpc/identity.js';
import { requireBeforeDeadline } from '../rounds/deadlines.js';
import type { Services } from '../services.js';
import { checkBase } from './admission.js';
import type { NewUpload, UploadRow } from './upload-store.js';

/** Largest data of a WriteRequest: below gRPC's 4 MiB default, and large enough that per-message costs vanish. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

const CONTRIBUTOR_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export async function begin(services: Services, requests: AsyncIterable<BeginRequest>, token: string | undefined): Promise<BeginResponse> {
  const { header, manifest } = await readRequests(requests);
  const artifact = decodeManifest(manifest, 'manifest');
  if (artifact.manifestDigest !== toHex(header.manifestDigest)) {
    throw new TributaryError('DIGEST_MISMATCH', {
      what: 'The manifest was damaged on its way',
      expected: toHex(header.manifestDigest),
      got: artifact.manifestDigest,
      fix: 'Push again.',
    });
  }
  const release = await services.opening.acquire();
  try {
    services.models.putManifest(artifact.manifestDigest, manifest);
    const upload =
      header.target?.$case === 'base' ? openBase(services, header, artifact, token) : openContribution(services, header, artifact, token);
    if (upload.committed !== undefined) return response(services, upload.committed, true);
    return await openUpload(services, upload.wanted, artifact);
  } finally {
    release();
  }
}

/** Finds the open upload of the same artifact to the same target, or opens one. */
async function openUpload(services: Services, wanted: Opened['wanted'], artifact: Artifact): Promise<BeginResponse> {
  const missingBytes = await countMissing(services, artifact);
  await checkSpace(services, missingBytes);
  const open = services.uploads.findOpen(wanted);
  if (open !== undefined) {
    services.uploads.updateFacts(open.id, wanted.samples, wanted.steps);
    return response(services, open, false);
  }
  services.metrics.deduplicatedBytes.inc(wanted.total_bytes - missingBytes);
  return response(services, services.uploads.create({ ...wanted, missing_bytes: missingBytes }), false);
}

type Opened = { readonly wanted: Omit<NewUpload, 'missing_bytes'>; readonly committed?: UploadRow };

function openBase(services: Services, header: BeginHeader, artifact: Artifact, token: string | undefined): Opened {
  requireOperator(services.config, token);
  const name = header.target?.$case === 'base' ? header.target.value.name : '';
  services.names.check(name, 'a model name');
  if (artifact.kind !== 'full') throw new TributaryError('MANIFEST_INVALID', { what: 'A base must be whole weights, not a difference' });
  const wanted = {
    target: 'base' as const,
    target_name: name,
    contributor: '',
    manifest_digest: artifact.manifestDigest,
    samples: null,
    steps: null,
    total_bytes: uniqueBytes(artifact),
  };
  const existing = services.models.find(name);
  if (existing === undefined) {
    services.names.requireFree(name);
    return { wanted };
  }
  if (existing.manifest_digest !== artifact.manifestDigest) {
    throw new TributaryError('NAME_TAKEN', {
      what: `There is another model named ${name}`,
      expected: `the same files (${existing.manifest_digest.slice(0, 16)}...)`,
      got: `${artifact.manifestDigest.slice(0, 16)}...`,
      fix: 'Models never change: register this one under a new name.',
    });
  }
  return { wanted, committed: services.uploads.create({ ...wanted, missing_bytes: 0 }, 'committed') };
}

function openContribution(services: Services, header: BeginHeader, artifact: Artifact, token: string | undefined): Opened {
  if (header.target?.$case !== 'contribution') throw new TributaryError('MANIFEST_INVALID', { what: 'The upload has no target' });
  const target = header.target.value;
  const contributor = contributorOf(services.config, token, target.contributor);
  if (!CONTRIBUTOR_NAME.test(contributor)) {
    throw new TributaryError('USAGE', {
      what: 'The contributor name is unusable',
      expected: `${CONTRIBUTOR_NAME}`,
      got: JSON.stringify(contributor),
      fix: 'Give one with --as.',
    });
  }
  const facts = {
    contributor,
    manifest_digest: artifact.manifestDigest,
    samples: target.samples === undefined ? null : Number(target.samples),
    steps: target.steps === undefined ? null : Number(target.steps),
    total_bytes: uniqueBytes(artifact),
  };
  const wanted = { ...facts, target: 'contribution' as const, target_name: services.rounds.get(target.round).name };
  // Whoever lost the answer to Finalize gets it again, also when that contribution was the one that closed the round.
  const accepted = services.rounds.accepted(target.round).find((row) => row.contributor === contributor);
  if (accepted?.manifest_digest === facts.manifest_digest && accepted.samples === facts.samples && accepted.steps === facts.steps) {
    return { wanted, committed: services.uploads.create({ ...wanted, missing_bytes: 0 }, 'committed', accepted.id) };
  }
  const round = services.rounds.requireOpen(target.round);
  requireBeforeDeadline(services, round, services.uploads.findOpen(wanted));
  const base = services.models.artifact(services.models.resolve(round.base_name).manifest_digest);
  try {
    checkBase(target.baseDigest, artifact, { name: round.base_name, digest: round.base_digest });
    checkStructure(artifact, contributor, { name: round.base_name, tensors: base.tensors });
  } catch (error) {
    if (error instanceof TributaryError) quarantine(services, round.name, artifact, facts, error);
    throw error;
  }
  return { wanted };
}

/** Makes the refusal visible to whoever runs the round. */
function quarantine(
  services: Services,
  round: string,
  artifact: Artifact,
  facts: Pick<NewUpload, 'contributor' | 'manifest_digest' | 'samples' | 'steps' | 'total_bytes'>,
  error: TributaryError,
): void {
  const { weightsDigest: weights_digest, kind } = artifact;
  services.rounds.addContribution({ ...facts, round, weights_digest, kind, norm: 0, sent_bytes: 0, reason: error.toJSON() }, () => {});
}

async function readRequests(requests: AsyncIterable<BeginRequest>): Promise<{ header: BeginHeader; manifest: Uint8Array }> {
  let header: BeginHeader | undefined;
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const request of requests) {
    if (request.part?.$case === 'header') header = request.part.value;
    if (request.part?.$case === 'manifestPart') {
      sizeBytes += request.part.value.length;
      if (sizeBytes > MAX_MANIFEST_BYTES) {
        throw new TributaryError('MANIFEST_INVALID', {
          what: 'The manifest is too large',
          expected: `at most ${MAX_MANIFEST_BYTES} bytes`,
        });
      }
      parts.push(request.part.value);
    }
  }
  if (header === undefined) throw new TributaryError('MANIFEST_INVALID', { what: 'Begin came without a header' });
  return { header, manifest: Buffer.concat(parts) };
}

function uniqueBytes(artifact: Artifact): number {
  let sum = 0;
  for (const length of uniqueChunks(artifact).values()) sum += length;
  return sum;
}

async function countMissing(services: Services, artifact: Artifact): Promise<number> {
  let missing = 0;
  for (const [digest, length] of uniqueChunks(artifact)) if (!(await services.chunks.has(digest))) missing += length;
  return missing;
}

/** Refuses at the start what would fail at the end. */
async function checkSpace(services: Services, missingBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(services.config.data);
  const freeBytes = bavail * bsize - services.config.reserveBytes;
  if (missingBytes > freeBytes) {
    throw new TributaryError('DISK_FULL', {
      what: 'The coordinator has no room for this upload',
      expected: `${missingBytes} bytes free besides a reserve of ${services.config.reserveBytes}`,
      got: `${Math.max(0, freeBytes)} bytes`,
      fix: 'Free some space on the coordinator, then push again.',
    });
  }
}

function response(services: Services, upload: UploadRow, alreadyCommitted: boolean): BeginResponse {
  return {
    uploadId: upload.id,
    alreadyCommitted,
    totalBytes: BigInt(upload.total_bytes),
    missingBytes: BigInt(alreadyCommitted ? 0 : upload.missing_bytes),
    maxMessageBytes: MAX_MESSAGE_BYTES,
    maxStreams: services.config.maxStreams,
  };
}
