/** What a contribution's manifest alone shows to be wrong. Runs before a byte of weights is sent. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { isFloatDType, type TensorInfo } from '../../shared/formats/tensor.js';
import type { Artifact } from '../../shared/transfer/artifact.js';

/** How many offending tensors a message names. */
const NAMED = 3;

/**
 * Throws TENSOR_MISSING, TENSOR_EXTRA, SHAPE_MISMATCH or DTYPE_MISMATCH when the contribution's tensors are not the base's.
 * Another floating-point width is fine (an F32 fine-tune of a BF16 base); floating point against integer is not.
 */
export function checkStructure(base: Artifact, contribution: Artifact, contributor: string, baseName: string): void {
  const where = `contribution of ${contributor}`;
  const missing = [...base.tensors.keys()].filter((name) => !contribution.tensors.has(name));
  if (missing.length > 0) {
    throw new TributaryError('TENSOR_MISSING', {
      what: `${missing.length} of the base's tensors are missing: ${some(missing)}`,
      where,
      expected: `the ${base.tensors.size} tensors of ${baseName}`,
      got: `${contribution.tensors.size} tensors`,
      fix: 'Push the whole checkpoint, fine-tuned from this base.',
    });
  }
  const extra = [...contribution.tensors.keys()].filter((name) => !base.tensors.has(name));
  if (extra.length > 0) {
    throw new TributaryError('TENSOR_EXTRA', {
      what: `${extra.length} tensors are not in the base: ${some(extra)}`,
      where,
      expected: `the ${base.tensors.size} tensors of ${baseName}`,
      got: `${contribution.tensors.size} tensors`,
      fix: 'Remove them (new heads or buffers cannot be merged), or use the base they belong to.',
    });
  }
  for (const tensor of contribution.tensors.values()) {
    const reference = base.tensors.get(tensor.name) as TensorInfo;
    if (`${tensor.shape}` !== `${reference.shape}`) {
      throw new TributaryError('SHAPE_MISMATCH', {
        what: `${tensor.name} has another shape than in ${baseName}`,
        where,
        expected: `[${reference.shape.join(', ')}]`,
        got: `[${tensor.shape.join(', ')}]`,
        fix: 'Push a checkpoint fine-tuned from this base.',
      });
    }
    if (isFloatDType(tensor.dtype) !== isFloatDType(reference.dtype)) {
      throw new TributaryError('DTYPE_MISMATCH', {
        what: `${tensor.name} has another kind of dtype than in ${baseName}`,
        where,
        expected: reference.dtype,
        got: tensor.dtype,
        fix: 'Save the checkpoint unquantised.',
      });
    }
  }
}

function some(names: readonly string[]): string {
  return names.slice(0, NAMED).join(', ') + (names.length > NAMED ? ', ...' : '');
}

const METADATA_BASE = 'tributary.base_digest';

/** Throws BASE_MISMATCH when the contribution says, by flag or in its own metadata, that it was made from another base. */
export function checkBase(declared: string, contribution: Artifact, base: { name: string; digest: string }): void {
  const claims = [
    { digest: declared, where: 'the base named in the push' },
    { digest: contribution.metadata.get(METADATA_BASE) ?? '', where: `${METADATA_BASE} in the checkpoint's metadata` },
  ];
  for (const claim of claims) {
    if (claim.digest !== '' && claim.digest !== base.digest) {
      throw new TributaryError('BASE_MISMATCH', {
        what: 'The checkpoint was made from another base than the round uses',
        where: claim.where,
        expected: `${base.name} (${base.digest.slice(0, 16)}...)`,
        got: `${claim.digest.slice(0, 16)}...`,
        fix: `Fine-tune from ${base.name} (tributary pull ${base.name}), or push to a round of the other base.`,
      });
    }
  }
}
