/** Push: describe, begin, send what is missing, finalise; after any break it begins again and sends only what is still missing. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Model } from '../../shared/generated/tributary/v1/models.js';
import type { Contribution } from '../../shared/generated/tributary/v1/rounds.js';
import type { BeginHeader, BeginRequest, FinalizeResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { DIGEST_BYTES } from '../../shared/transfer/chunk-layout.js';
import { fromHex, toHex } from '../../shared/util/hex.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import type { DescribedArtifact } from './describe.js';
import { sendChunks } from './send-chunks.js';

export interface PushProgress {
  readonly totalBytes: number;
  /** Already there when the push began. */
  readonly savedBytes: number;
  /** Durable at the coordinator, saved bytes included. */
  readonly durableBytes: number;
}

export interface PushOptions {
  readonly target: BeginHeader['target'];
  readonly patience: Patience;
  readonly onProgress: (progress: PushProgress) => void;
  readonly onVerifying: () => void;
}

export interface PushReport {
  readonly result: { readonly contribution: Contribution } | { readonly model: Model };
  readonly totalBytes: number;
  readonly savedBytes: number;
  /** Bytes of chunks put on the line by this command, repeats included. */
  readonly sentBytes: number;
}

const MANIFEST_PIECE_BYTES = 1024 * 1024;

export async function push(connection: Connection, described: DescribedArtifact, options: PushOptions): Promise<PushReport> {
  let sentBytes = 0;
  let savedBytes: number | undefined;
  let totalBytes = 0;
  const result = await persevere(options.patience, async (progressed) => {
    const { signal } = options.patience;
    const begun = await connection.transfers.begin(beginRequests(described, options.target), { signal });
    progressed();
    totalBytes = Number(begun.totalBytes);
    if (begun.alreadyCommitted) {
      savedBytes ??= totalBytes;
    } else {
      const missing = await findMissing(connection, begun.uploadId, signal);
      const missingBytes = missing.reduce((sum, digest) => sum + (described.sources.get(digest)?.length ?? 0), 0);
      savedBytes ??= totalBytes - missingBytes;
      let durableBytes = totalBytes - missingBytes;
      const report = (): void => options.onProgress({ totalBytes, savedBytes: savedBytes ?? 0, durableBytes });
      report();
      await sendChunks(connection, {
        uploadId: begun.uploadId,
        digests: missing,
        sources: described.sources,
        maxMessageBytes: begun.maxMessageBytes,
        streams: begun.maxStreams,
        signal,
        onSent: (bytes) => {
          sentBytes += bytes;
        },
        onDurable: (bytes) => {
          durableBytes += bytes;
          progressed();
          report();
        },
      });
    }
    options.onVerifying();
    return await connection.transfers.finalize({ uploadId: begun.uploadId }, { signal });
  });
  return { result: resultOf(result), totalBytes, savedBytes: savedBytes ?? 0, sentBytes };
}

function resultOf(response: FinalizeResponse): PushReport['result'] {
  switch (response.result?.$case) {
    case 'contribution':
      return { contribution: response.result.value };
    case 'model':
      return { model: response.result.value };
    case undefined:
      throw new TributaryError('INTERNAL', { what: 'The coordinator answered Finalize without a result' });
  }
}

async function* beginRequests(described: DescribedArtifact, target: BeginHeader['target']): AsyncGenerator<BeginRequest> {
  const { manifest, artifact } = described;
  yield { part: { $case: 'header', value: { target, manifestDigest: fromHex(artifact.manifestDigest) } } };
  for (let offset = 0; offset < manifest.length; offset += MANIFEST_PIECE_BYTES) {
    yield { part: { $case: 'manifestPart', value: manifest.subarray(offset, offset + MANIFEST_PIECE_BYTES) } };
  }
}

async function findMissing(connection: Connection, uploadId: string, signal: AbortSignal): Promise<string[]> {
  const digests: string[] = [];
  for await (const page of connection.transfers.findMissing({ uploadId }, { signal })) {
    for (let offset = 0; offset < page.digests.length; offset += DIGEST_BYTES) {
      digests.push(toHex(page.digests.subarray(offset, offset + DIGEST_BYTES)));
    }
  }
  return digests;
}
