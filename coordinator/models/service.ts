/** The ModelService: what is registered and published, and its bytes by range. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ModelOrigin, type ModelServiceImplementation } from '../../shared/generated/tributary/v1/models.js';
import { pageOf, readPageToken } from '../grpc/pages.js';
import { nextPage } from '../rounds/service.js';
import type { Services } from '../services.js';
import { modelMessage } from './messages.js';

/** Bytes of one answer of GetManifest. */
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
    // Served from the HTTP/2 stream (download.ts); the coordinator never starts without that.
    download: () => {
      throw new TributaryError('INTERNAL', { what: 'Download came past its own handler' });
    },
  };
}
