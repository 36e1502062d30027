/**
 * For properties whose runs are merges: shrinking a failure takes hundreds of them, longer than a test may. Importing this ends it in time, so that what
 * failed is told with its numbers and its seed; a run that never ends is a failure too.
 */
import fc from 'fast-check';

/** Below `testTimeout` of vitest.config.ts. */
const LIMIT_MS = 50_000;

fc.configureGlobal({ interruptAfterTimeLimit: LIMIT_MS, markInterruptAsFailure: true });
