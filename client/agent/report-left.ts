/** At its start an agent reports what an earlier one in its work folder measured and could not say. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Patience, persevere } from '../api/retry.js';
import { isFinal, type Reporting, reportKept } from './report.js';
import { studyIdentity } from './study-identity.js';
import type { Measurement } from './unreported.js';

/** `dropped`: not wanted any more. `left`: stays on disk for another time. */
export type LeftResult = { readonly kind: 'counted' } | { readonly kind: 'dropped' | 'left'; readonly why: string };

const GONE = new Set(['ROUND_NOT_FOUND', 'STUDY_NOT_FOUND']);

/** Undefined: there is no such study. */
async function identityOf({ connection }: Reporting, round: string, patience: Patience): Promise<string | undefined> {
  try {
    const { signal } = patience;
    return studyIdentity(await persevere(patience, () => connection.evaluations.getStudy({ round }, { signal })));
  } catch (error) {
    if (error instanceof TributaryError && GONE.has(error.code)) return undefined;
    throw error;
  }
}

/** @throws COORDINATOR_UNAVAILABLE when the patience is over; the reason of its signal */
export async function reportLeft(
  reporting: Reporting,
  patience: Patience,
  onLeft: (measurement: Measurement, result: LeftResult) => void,
): Promise<void> {
  const { connection, unreported } = reporting;
  for (const kept of await unreported.list()) {
    const { measurement } = kept;
    if ((await identityOf(reporting, measurement.round, patience)) !== measurement.study) {
      if (measurement.server !== connection.server) {
        onLeft(measurement, { kind: 'left', why: `it belongs to the coordinator ${measurement.server}` });
        continue;
      }
      await unreported.forget(kept);
      onLeft(measurement, { kind: 'dropped', why: 'its study is gone' });
      continue;
    }
    const reported = await reportKept(reporting, kept);
    if (reported.kind === 'counted') onLeft(measurement, { kind: 'counted' });
    else if (reported.kind === 'refused')
      onLeft(measurement, { kind: isFinal(reported) ? 'dropped' : 'left', why: reported.error.message });
    else onLeft(measurement, { kind: 'dropped', why: 'the pair was measured meanwhile' });
  }
}
