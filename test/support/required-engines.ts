/** Which engines have to be there for a test run: CI installs them first and says so in TRIBUTARY_REQUIRE_ENGINES (`lapack,tensorflow`). */
import type { EngineName } from '../../shared/linalg/linear-algebra.js';

/** Whether the tests of an engine that is not there fail, rather than being skipped. */
export function engineIsRequired(engine: EngineName): boolean {
  return (process.env['TRIBUTARY_REQUIRE_ENGINES'] ?? '').split(',').includes(engine);
}
