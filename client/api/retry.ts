/** Patience with a coordinator that restarts or a line that breaks: as long as there is progress, and a while without. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';

export interface Patience {
  /** How long to go on without any progress, in milliseconds. */
  readonly withoutProgressMs: number;
  readonly signal: AbortSignal;
  readonly onRetry: (error: TributaryError, inMs: number) => void;
}

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 2_000;

/**
 * Runs `attempt` until it succeeds, fails for good, or nothing moved for `withoutProgressMs`.
 * `attempt` calls `progressed` whenever something was acknowledged.
 */
export async function persevere<T>(patience: Patience, attempt: (progressed: () => void) => Promise<T>): Promise<T> {
  let lastProgressMs = Date.now();
  let delayMs = FIRST_DELAY_MS;
  const progressed = (): void => {
    lastProgressMs = Date.now();
    delayMs = FIRST_DELAY_MS;
  };
  for (;;) {
    patience.signal.throwIfAborted();
    try {
      return await attempt(progressed);
    } catch (error) {
      const mayRetry = error instanceof TributaryError && error.code === 'COORDINATOR_UNAVAILABLE';
      if (!mayRetry || Date.now() - lastProgressMs > patience.withoutProgressMs) throw error;
      const waitMs = delayMs * (0.5 + Math.random());
      patience.onRetry(error, waitMs);
      await sleep(waitMs, undefined, { signal: patience.signal });
      delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
    }
  }
}
