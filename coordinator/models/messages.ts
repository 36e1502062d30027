import { type Model, ModelOrigin } from '../../shared/generated/tributary/v1/models.js';
import type { Artifact } from '../../shared/transfer/artifact.js';
import type { ModelRow } from './model-store.js';

/** @param artifact undefined: without files */
export function modelMessage(row: ModelRow, artifact?: Artifact): Model {
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
    files: (artifact?.files ?? []).map((file) => ({ path: file.path, sizeBytes: BigInt(file.sizeBytes) })),
    createdAt: new Date(row.created_ms),
  };
}
