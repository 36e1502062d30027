/** The name of a set of weights: the same for the same tensors, however they are cut into files. */
import { createHash } from 'node:crypto';
import type { TensorInfo } from '../formats/tensor.js';
import { fromHex } from '../util/hex.js';

export interface DigestedTensor extends TensorInfo {
  /** In order, each of at most CHUNK_BYTES from the tensor's first byte; hex SHA-256. */
  readonly chunks: readonly { readonly digest: string }[];
}

/** Hex SHA-256 over the tensors sorted by name: name, dtype, shape, chunk digests. */
export function weightsDigestOf(tensors: ReadonlyMap<string, DigestedTensor>): string {
  const hash = createHash('sha256');
  for (const name of [...tensors.keys()].sort(compareStrings)) {
    const tensor = tensors.get(name) as DigestedTensor;
    hash.update(`${JSON.stringify([tensor.name, tensor.dtype, tensor.shape])}\n`);
    for (const chunk of tensor.chunks) hash.update(fromHex(chunk.digest));
  }
  return hash.digest('hex');
}

function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
