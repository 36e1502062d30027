/** What happens by the clock: deadlines, giving up uploads nobody continues, freeing chunks nobody needs. */
import { TributaryError, toTributaryError } from '../shared/errors/tributary-error.js';
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
  const deadlines = setInterval(
    guarded(() => closeOverdueRounds(services)),
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

function closeOverdueRounds(services: Services): void {
  for (const round of services.rounds.overdue()) {
    const accepted = services.rounds.accepted(round.name).length;
    if (accepted >= round.min_contributions) {
      services.rounds.close(round.name, 'deadline_met');
      services.logger.info({ round: round.name, accepted }, 'deadline passed; merging');
      continue;
    }
    const error = new TributaryError('NO_CONTRIBUTIONS', {
      what: 'The deadline passed before enough contributions were accepted',
      where: `round ${round.name}`,
      expected: `at least ${round.min_contributions}`,
      got: `${accepted}`,
      fix: 'Create another round.',
    });
    services.rounds.change(round.name, 'deadline_missed', { error: toTributaryError(error).toJSON() });
    services.logger.warn({ round: round.name, accepted }, 'deadline missed');
  }
}

function expireUploads(services: Services): void {
  const expired = services.uploads.expireIdle();
  if (expired > 0) services.logger.info({ expired }, 'gave up idle uploads');
}
