/** What happens by the clock: deadlines, giving up uploads nobody continues, freeing chunks nobody needs. */
import { closeOverdueRounds } from './rounds/deadlines.js';
import type { Services } from './services.js';
import { collectGarbage } from './store/collect.js';

const DEADLINES_EVERY_MS = 500;
const EXPIRY_EVERY_MS = 3600 * 1000;
const COLLECT_EVERY_MS = 6 * 3600 * 1000;

export function startMaintenance(services: Services): () => void {
  const guarded = (what: () => void) => (): void => {
    try {
      what();
    } catch (error) {
      services.logger.error({ err: error }, 'maintenance failed');
    }
  };
  const waiting = new Set<string>();
  const deadlines = setInterval(
    guarded(() => closeOverdueRounds(services, waiting)),
    DEADLINES_EVERY_MS,
  );
  const expiry = setInterval(
    guarded(() => expireUploads(services)),
    EXPIRY_EVERY_MS,
  );
  const garbage = setInterval(() => {
    collectGarbage(services).then(
      (collected) => services.logger.info(collected, 'freed chunks that nothing needs'),
      (error: unknown) => services.logger.error({ err: error }, 'freeing chunks failed'),
    );
  }, COLLECT_EVERY_MS);
  expireUploads(services);
  return () => {
    clearInterval(garbage);
    clearInterval(deadlines);
    clearInterval(expiry);
  };
}

function expireUploads(services: Services): void {
  const expired = services.uploads.expireIdle();
  if (expired > 0) services.logger.info({ expired }, 'gave up idle uploads');
}
