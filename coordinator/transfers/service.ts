/** The TransferService: each call in a file of its own. */
import type { CallContext } from 'nice-grpc-common';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { FindMissingResponse, TransferServiceImplementation, Upload } from '../../shared/generated/tributary/v1/transfers.js';
import { UploadState } from '../../shared/generated/tributary/v1/transfers.js';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import { requireToken, tokenOf } from '../grpc/identity.js';
import type { Services } from '../services.js';
import { packDigests } from '../store/chunk-store.js';
import { begin } from './begin.js';
import { finalize } from './finalize.js';
import type { UploadRow } from './upload-store.js';

/** Digests in one FindMissing answer: 128 KiB. */
const DIGESTS_PER_PAGE = 4096;

export function transferService(services: Services): TransferServiceImplementation {
  const owned = (uploadId: string, context: CallContext): UploadRow => {
    const upload = services.uploads.get(uploadId);
    requireToken(services.config, tokenOf(context), upload.contributor);
    return upload;
  };
  return {
    begin: (requests, context) => begin(services, requests, tokenOf(context)),
    findMissing: (request, context) => findMissing(services, owned(request.uploadId, context)),
    // Served from the HTTP/2 stream (write.ts); the coordinator never starts without that.
    write: () => {
      throw new TributaryError('INTERNAL', { what: 'Write came past its own handler' });
    },
    getUpload: async (request, context) => await describe(services, owned(request.uploadId, context)),
    finalize: async (request, context) => await finalize(services, owned(request.uploadId, context).id),
    abort: async (request, context) => {
      const upload = owned(request.uploadId, context);
      if (upload.state === 'receiving') services.uploads.finish(upload.id, 'aborted', null);
      return {};
    },
  };
}

async function* findMissing(services: Services, upload: UploadRow): AsyncGenerator<FindMissingResponse> {
  let page: string[] = [];
  for (const digest of uniqueChunks(services.models.artifact(upload.manifest_digest)).keys()) {
    if (await services.chunks.has(digest)) continue;
    page.push(digest);
    if (page.length === DIGESTS_PER_PAGE) {
      yield { digests: packDigests(page) };
      page = [];
    }
  }
  if (page.length > 0) yield { digests: packDigests(page) };
}

const STATES: Record<UploadRow['state'], UploadState> = {
  receiving: UploadState.RECEIVING,
  committed: UploadState.COMMITTED,
  refused: UploadState.REFUSED,
  aborted: UploadState.REFUSED,
};

async function describe(services: Services, upload: UploadRow): Promise<Upload> {
  let missing = 0;
  for (const [digest, length] of uniqueChunks(services.models.artifact(upload.manifest_digest))) {
    if (!(await services.chunks.has(digest))) missing += length;
  }
  return {
    uploadId: upload.id,
    state: services.finalizing.has(upload.id) ? UploadState.VERIFYING : STATES[upload.state],
    totalBytes: BigInt(upload.total_bytes),
    missingBytes: BigInt(missing),
  };
}
