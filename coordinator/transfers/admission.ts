/** Whether a contribution belongs to the round's base, as far as it says so itself. Runs before a byte of weights is sent. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Artifact, BASE_DIGEST_KEY } from '../../shared/transfer/artifact.js';

/** Throws BASE_MISMATCH when the contribution says, by flag or in its own metadata, that it was made from another base. */
export function checkBase(declared: string, contribution: Artifact, base: { name: string; digest: string }): void {
  const claims = [
    { digest: declared, where: 'the base named in the push' },
    { digest: contribution.metadata.get(BASE_DIGEST_KEY) ?? '', where: `${BASE_DIGEST_KEY} in the checkpoint's metadata` },
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
