import { type Model, ModelOrigin } from '../../shared/generated/tributary/v1/models.js';
import type { Services } from '../services.js';
import type { ModelRow } from './model-store.js';

export function modelMessage(services: Services, row: ModelRow, withFiles = true): Model {
  const files = withFiles ? services.models.artifact(row.manifest_digest).files : [];
  return {
    name: row.name,
    origin: row.origin === 'base' ? ModelOrigin.BASE : ModelOrigin.ROUND,
    round: row.round ?? '',
    weightsDigest: row.weights_digest,
    manifestDigest: row.manifest_digest,
    version: row.version,
    totalBytes: BigInt(row.total_bytes),
    tensors: row.tensors,
    parameters: BigInt(row.parameters),
    files: files.map((file) => ({ path: file.path, sizeBytes: BigInt(file.sizeBytes) })),
    createdAt: new Date(row.created_ms),
  };
}
