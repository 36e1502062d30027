/** One transaction together with the events it makes: they are stored in it, and announced after it. */
import { type Database, inTransaction } from './database.js';

export type Emit = (round: string, type: string, contributor?: string) => void;

/** Something watchers want to know: what happened to which round, and to whose contribution. */
export interface RoundNotice {
  readonly round: string;
  readonly type: string;
  readonly contributor: string;
  readonly atMs: number;
}

export interface Journal {
  readonly db: Database;
  readonly nowMs: () => number;
  readonly notify: (notice: RoundNotice) => void;
}

/** Stores the event of a transaction that is open. */
export function storeEvent({ db, nowMs }: Pick<Journal, 'db' | 'nowMs'>, round: string, type: string, contributor = ''): RoundNotice {
  const atMs = nowMs();
  db.prepare('INSERT INTO events (round, type, contributor, at_ms) VALUES (?, ?, ?, ?)').run(round, type, contributor, atMs);
  return { round, type, contributor, atMs };
}

export function commit<T>(journal: Journal, body: (emit: Emit) => T): T {
  const notices: RoundNotice[] = [];
  const result = inTransaction(journal.db, () =>
    body((round, type, contributor) => void notices.push(storeEvent(journal, round, type, contributor))),
  );
  for (const notice of notices) journal.notify(notice);
  return result;
}
