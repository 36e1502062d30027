/** Which models the open studies of an agent need, whether they were fetched or not. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { CandidateAccess, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Connection } from '../api/connection.js';
import { isOurs, type Offer } from './serve-slot.js';

/** @returns digests of manifests; undefined when the coordinator does not say */
export async function neededModels(connection: Connection, offer: Offer, signal: AbortSignal): Promise<Set<string> | undefined> {
  try {
    const { studies } = await connection.evaluations.listStudies({ agent: offer.agent }, { signal });
    const needed = new Set<string>();
    for (const study of studies) {
      const isLocal = study.access === CandidateAccess.LOCAL;
      if (!isLocal || study.state !== StudyState.EVALUATING || !isOurs(offer, study)) continue;
      for (const { manifestDigest } of study.contributions) needed.add(manifestDigest);
      const base = await baseOf(connection, study.baseName, signal);
      if (base !== undefined) needed.add(base);
    }
    return needed;
  } catch (error) {
    if (error instanceof TributaryError) return undefined;
    throw error;
  }
}

/** Undefined: the coordinator has it no more, and the study cannot be worked on. */
async function baseOf(connection: Connection, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await connection.models.getModel({ name }, { signal })).manifestDigest;
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'MODEL_NOT_FOUND') return undefined;
    throw error;
  }
}
