/**
 * What random masks depend on: the digest of a model's weights, the same that it has in a round, so that the same models give the same merge
 * in both. Costs a reading of all inputs, so only rules that draw at random ask for it.
 */
import { hashSegments } from '../../shared/merge/hash-segments.js';
import type { MergeInput } from '../../shared/merge/types.js';
import { cutRange } from '../../shared/transfer/chunk-layout.js';
import { type DigestedTensor, weightsDigestOf } from '../../shared/transfer/weights-digest.js';
import { toHex } from '../../shared/util/hex.js';

export async function withDigests(
  inputs: readonly MergeInput[],
  options: { readonly threads?: number | undefined; readonly signal?: AbortSignal | undefined },
): Promise<MergeInput[]> {
  // Tensors of a folder lie in one piece each.
  const jobs = inputs.flatMap(({ tensors }) =>
    [...tensors.values()].flatMap(({ segments }) =>
      segments.flatMap(({ path, offset, length }) => cutRange(offset, length).map((range) => [{ path, ...range }])),
    ),
  );
  const digests = (await hashSegments(jobs, options)).values();
  return inputs.map((input) => {
    const described = new Map<string, DigestedTensor>();
    for (const [name, tensor] of input.tensors) {
      const { dtype, shape, sizeBytes } = tensor;
      const chunks = cutRange(0, sizeBytes).map(() => ({ digest: toHex(digests.next().value ?? new Uint8Array()) }));
      described.set(name, { name, dtype, shape, chunks });
    }
    return { ...input, weightsDigest: weightsDigestOf(described) };
  });
}
