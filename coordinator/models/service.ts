/** The ModelService: what is registered and published, and its bytes by range. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import {
  type DownloadRequest,
  type DownloadResponse,
  ModelOrigin,
  type ModelServiceImplementation,
} from '../../shared/generated/tributary/v1/models.js';
import type { ArtifactFile } from '../../shared/transfer/artifact.js';
import { pageOf, readPageToken } from '../grpc/pages.js';
import { nextPage } from '../rounds/service.js';
import type { Services } from '../services.js';
import { modelMessage } from './messages.js';

/** Bytes of one answer: large enough for speed, small enough that the 26 messages gRPC buffers stay small. */
const PIECE_BYTES = 1024 * 1024;

const ORIGINS: Partial<Record<ModelOrigin, 'base' | 'round'>> = { [ModelOrigin.BASE]: 'base', [ModelOrigin.ROUND]: 'round' };

export function modelService(services: Services): ModelServiceImplementation {
  return {
    listModels: async (request) => {
      const limit = pageOf(request.pageSize);
      const rows = services.models.list(ORIGINS[request.origin], limit + 1, readPageToken(request.pageToken));
      const { page, nextPageToken } = nextPage(rows, limit);
      return { models: page.map((row) => modelMessage(services, row, false)), nextPageToken };
    },
    getModel: async (request) => modelMessage(services, services.models.resolve(request.name)),
    getManifest: async function* (request) {
      const bytes = services.models.manifestBytes(services.models.resolve(request.name).manifest_digest);
      for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES)
        yield { manifestPart: bytes.subarray(offset, offset + PIECE_BYTES) };
    },
    download: (request) => download(services, request),
  };
}

async function* download(services: Services, request: DownloadRequest): AsyncGenerator<DownloadResponse> {
  const model = services.models.resolve(request.name);
  const file = services.models.artifact(model.manifest_digest).files.find((candidate) => candidate.path === request.path);
  if (file === undefined) throw new TributaryError('FILE_NOT_FOUND', { what: `${model.name} has no file ${request.path}` });
  const start = Number(request.offset);
  const end = request.lengthBytes === 0n ? file.sizeBytes : Math.min(file.sizeBytes, start + Number(request.lengthBytes));
  for await (const piece of readRange(services, file, start, end)) {
    services.metrics.servedBytes.inc(piece.data.length);
    yield piece;
  }
}

/** Bytes `[start, end)` of a file from its header and chunks. */
async function* readRange(services: Services, file: ArtifactFile, start: number, end: number): AsyncGenerator<DownloadResponse> {
  let position = start;
  const header = file.header ?? new Uint8Array(0);
  if (position < Math.min(header.length, end)) {
    const data = header.subarray(position, Math.min(header.length, end));
    yield { offset: BigInt(position), data };
    position += data.length;
  }
  let index = firstChunkEndingAfter(file, position);
  while (position < end) {
    const chunk = file.chunks[index];
    if (chunk === undefined) return;
    const inChunk = position - chunk.offset;
    const length = Math.min(chunk.length - inChunk, end - position, PIECE_BYTES);
    yield { offset: BigInt(position), data: await services.chunks.read(chunk.digest, inChunk, length) };
    position += length;
    if (position === chunk.offset + chunk.length) index++;
  }
}

function firstChunkEndingAfter(file: ArtifactFile, position: number): number {
  let low = 0;
  let high = file.chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const chunk = file.chunks[middle];
    if (chunk !== undefined && chunk.offset + chunk.length <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
