import { describe, it } from 'vitest';
import type { EngineName } from '../../shared/linalg/linear-algebra.js';
import { engineIsRequired } from './required-engines.js';

/**
 * Tests of an engine that need not be on every machine. Where it is not (`missing` says why) they are skipped, or fail where it is required.
 */
export function describeNative(name: EngineName, missing: string | undefined, declare: () => void): void {
  describe(name, () => {
    if (missing === undefined) declare();
    else if (engineIsRequired(name)) {
      it('is required here', () => {
        throw new Error(missing);
      });
    } else it.skip(`not here: ${missing}`, () => {});
  });
}
