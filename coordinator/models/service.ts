/** The ModelService: what is registered and published, and its bytes by range. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ModelOrigin, type ModelServiceImplementation } from '../../shared/generated/tributary/v1/models.js';
import { pageOf, readPageToken } from '../grpc/pages.js';
import { nextPage } from '../rounds/service.js';
import type { Services } from '../services.js';
import { modelMessage } from './messages.js';
import { resolveReference } from './resolve-reference.js';

/** Bytes of one answer of GetManifest. */
const PIECE_BYTES = 1024 * 1024;

const ORIGINS: Partial<Record<ModelOrigin, 'base' | 'round'>> = { [ModelOrigin.BASE]: 'base', [ModelOrigin.ROUND]: 'round' };

export function modelService(services: Services): ModelServiceImplementation {
  return {
    listModels: async (request) => {
      const limit = pageOf(request.pageSize);
      const rows = services.models.list(ORIGINS[request.origin], limit + 1, readPageToken(request.pageToken));
      const { page, nextPageToken } = nextPage(rows, limit);
      return { models: page.map((row) => modelMessage(row)), nextPageToken };
    },
    getModel: async (request) => {
      const { row, artifact, release } = await resolveReference(services, request.name);
      release();
      return modelMessage(row, artifact);
    },
    getManifest: async function* (request) {
      const { manifest, release } = await resolveReference(services, request.name);
      release();
      for (let offset = 0; offset < manifest.length; offset += PIECE_BYTES)
        yield { manifestPart: manifest.subarray(offset, offset + PIECE_BYTES) };
    },
    // Served from the HTTP/2 stream (download.ts); the coordinator never starts without that.
    download: () => {
      throw new TributaryError('INTERNAL', { what: 'Download came past its own handler' });
    },
  };
}
