/**
 * What happens to a round at its deadline. One grace period, and only for uploads that were under way then: a push that began in time and keeps
 * moving is not thrown away for the last of its bytes. Nothing new begins after the deadline.
 */
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type { Services } from '../services.js';
import type { UploadRow } from '../transfers/upload-store.js';
import type { RoundRow } from './round-store.js';

/** An upload that brought nothing for this long is not waited for. */
const STALLED_MS = 60_000;

/** Uploads that the round still waits for; none once its grace is over. */
function underWay(services: Services, round: RoundRow): UploadRow[] {
  const nowMs = services.nowMs();
  const deadlineMs = round.deadline_ms ?? nowMs;
  if (nowMs >= deadlineMs + services.config.graceSeconds * 1000) return [];
  return services.uploads
    .openInRound(round.name)
    .filter(
      ({ id, created_ms, touched_ms }) => created_ms <= deadlineMs && (services.finalizing.has(id) || touched_ms > nowMs - STALLED_MS),
    );
}

/** @param waiting names of rounds whose grace was announced; kept by the caller from one call to the next */
export function closeOverdueRounds(services: Services, waiting: Set<string>): void {
  for (const round of services.rounds.overdue()) {
    const uploads = underWay(services, round);
    if (uploads.length > 0) {
      const contributors = uploads.map(({ contributor }) => contributor);
      if (!waiting.has(round.name))
        services.logger.info({ round: round.name, contributors }, 'deadline passed; waiting for uploads under way');
      waiting.add(round.name);
      continue;
    }
    waiting.delete(round.name);
    closeOverdue(services, round);
  }
}

function closeOverdue(services: Services, round: RoundRow): void {
  const accepted = services.rounds.accepted(round.name).length;
  if (accepted >= round.min_contributions) {
    services.rounds.close(round.name, 'deadline_met');
    services.logger.info({ round: round.name, accepted }, 'deadline passed; merging');
    return;
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

/** An upload that was open at the deadline may be continued; a new one may not begin. @throws ROUND_CLOSED */
export function requireBeforeDeadline(services: Services, round: RoundRow, open: UploadRow | undefined): void {
  const deadlineMs = round.deadline_ms;
  if (deadlineMs === null || services.nowMs() < deadlineMs || (open !== undefined && open.created_ms <= deadlineMs)) return;
  throw new TributaryError('ROUND_CLOSED', {
    what: `The deadline of round ${round.name} has passed; it only waits for uploads that were under way`,
    expected: `a push that began before ${new Date(deadlineMs).toISOString()}`,
    fix: 'Create or join a later round.',
  });
}
