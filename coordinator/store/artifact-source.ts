/**
 * Turns a stored artifact into what the merge engine reads: tensors as file ranges. Chunks kept as rows are written to a spool file
 * first, one per artifact, which can be thrown away and remade at any time.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Segment, StoredTensor, TensorMap } from '../../shared/formats/tensor.js';
import type { Artifact } from '../../shared/transfer/artifact.js';
import type { ChunkStore } from './chunk-store.js';

const ALIGNMENT_BYTES = 16;

export interface OpenedArtifact {
  readonly tensors: TensorMap;
  /** Removes the spool file. */
  close(): Promise<void>;
}

/**
 * Opens the tensors of an artifact for reading. All of its chunks must be in the store.
 * @param spoolDir folder for small chunks; `key` names the file in it, unique to this use
 */
export async function openArtifact(store: ChunkStore, artifact: Artifact, spoolDir: string, key: string): Promise<OpenedArtifact> {
  const spool = join(spoolDir, `${key}.spool`);
  const spooled = await spoolSmallChunks(store, artifact, spool);
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of artifact.tensors.values()) {
    const segments: Segment[] = [];
    for (const chunk of tensor.chunks) {
      const offset = spooled.get(chunk.digest);
      if (offset !== undefined) {
        segments.push({ path: spool, offset, length: chunk.length });
        continue;
      }
      const located = await store.locate(chunk.digest);
      if (located?.at !== 'file')
        throw new TributaryError('INTERNAL', { what: `A chunk of ${tensor.name} is missing`, where: chunk.digest });
      segments.push({ ...located.segment, length: chunk.length });
    }
    tensors.set(tensor.name, { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, sizeBytes: tensor.sizeBytes, segments });
  }
  return { tensors, close: () => rm(spool, { force: true }) };
}

/** Writes every row-kept chunk of the tensors to one file; returns digest -> offset. Offsets depend only on the artifact. */
async function spoolSmallChunks(store: ChunkStore, artifact: Artifact, path: string): Promise<Map<string, number>> {
  const offsets = new Map<string, number>();
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w');
  try {
    let position = 0;
    for (const tensor of artifact.tensors.values()) {
      for (const chunk of tensor.chunks) {
        if (offsets.has(chunk.digest) || (await store.locate(chunk.digest))?.at !== 'row') continue;
        offsets.set(chunk.digest, position);
        // Tensor data stays aligned for the kernels.
        const padding = (ALIGNMENT_BYTES - (chunk.length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;
        await file.appendFile(store.readSmall(chunk.digest));
        await file.appendFile(new Uint8Array(padding));
        position += chunk.length + padding;
      }
    }
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  return offsets;
}
