import { describe, it } from 'vitest';
import type { EngineName } from '../../shared/linalg/linear-algebra.js';

/**
 * Tests of an engine that need not be on every machine. Where it is not (`missing` says why) they are skipped, but fail when
 * TRIBUTARY_REQUIRE_ENGINES=lapack,tensorflow names it, as CI does.
 */
export function describeNative(name: EngineName, missing: string | undefined, declare: () => void): void {
  const required = (process.env['TRIBUTARY_REQUIRE_ENGINES'] ?? '').split(',').includes(name);
  describe(name, () => {
    if (missing === undefined) declare();
    else if (required) {
      it('is required here', () => {
        throw new Error(missing);
      });
    } else it.skip(`not here: ${missing}`, () => {});
  });
}
