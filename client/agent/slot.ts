/** A folder in which candidate after candidate of one study at a time stands: merged here, or fetched as the coordinator merged it. */
import { rm } from 'node:fs/promises';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { type CandidateMerger, createCandidateMerger } from '../../shared/merge/candidate-merger.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import type { Connection } from '../api/connection.js';
import type { Patience } from '../api/retry.js';
import { pullInPlace } from '../pull/pull.js';
import type { OpenedStudy } from './open-study.js';

export interface SlotOptions {
  readonly connection: Connection;
  readonly folder: string;
  readonly pool: WorkerPool;
  readonly findEngine: () => Promise<FoundEngine>;
  readonly patience: Patience;
}

export interface WantedCandidate {
  readonly coefficients: readonly number[];
  /** Served candidates: what ModelService knows it by. */
  readonly model: string;
}

export interface Slot {
  readonly folder: string;
  /** Makes the folder this candidate; until it has returned, the folder is none. @throws what merging or fetching throws, INTERRUPTED */
  prepare(study: OpenedStudy, candidate: WantedCandidate, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function createSlot({ connection, folder, pool, findEngine, patience }: SlotOptions): Slot {
  let merger: CandidateMerger | undefined;
  /** Whose candidate stands there. */
  let standing: OpenedStudy | undefined;

  async function leave(): Promise<void> {
    await merger?.close();
    merger = undefined;
    standing = undefined;
    await rm(folder, { recursive: true, force: true });
  }

  return {
    folder,
    async prepare(study, { coefficients, model }, signal) {
      if (standing !== study) await leave();
      standing = study;
      if (study.local === undefined) {
        const onProgress = (): void => {};
        await pullInPlace(connection, {
          name: model,
          outDir: folder,
          threads: pool.threads,
          patience: { ...patience, signal },
          onProgress,
        });
        return;
      }
      merger ??= createCandidateMerger({ ...study.local, folder, pool, findEngine });
      await merger.merge(coefficients, signal);
    },
    close: leave,
  };
}
