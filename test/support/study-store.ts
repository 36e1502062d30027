/** A study in a real database with a clock of its own. */

import { StudyStore } from '../../coordinator/evaluation/study-store.js';
import { MaterialisationStore } from '../../coordinator/pareto/materialisation-store.js';
import type { RoundNotice } from '../../coordinator/state/commit.js';
import { type Database, openDatabase } from '../../coordinator/state/database.js';
import type { Proposal } from '../../shared/pareto/study.js';

export interface Clock {
  nowMs: number;
}

/** A database with a base and nothing else. */
export function openWithBase(folder: string): Database {
  const db = openDatabase(folder);
  db.exec(`INSERT INTO manifests VALUES ('m', x'00', 0); INSERT INTO models VALUES ('base', 'base', NULL, 0, 'm', 'w', 0, 0, 0, 0)`);
  return db;
}

/** A published round that has a study. */
export function addStudy(
  db: Database,
  round: string,
  clock: Clock,
): { store: StudyStore; points: MaterialisationStore; notices: RoundNotice[] } {
  db.exec(`INSERT INTO rounds VALUES ('${round}', 'published', 'base', 'w', '', 0, 1, NULL, NULL, NULL, 1, 1)`);
  const notices: RoundNotice[] = [];
  const store = new StudyStore(
    db,
    () => clock.nowMs,
    (notice) => notices.push(notice),
  );
  store.insert(round);
  return { store, points: new MaterialisationStore(db, () => clock.nowMs, store), notices };
}

export const proposals = (count: number): Proposal[] =>
  Array.from({ length: count }, (_, index) => ({ kind: 'sample', coefficients: [index / 8, 1 / 3] }));
