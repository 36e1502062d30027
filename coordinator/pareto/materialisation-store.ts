/**
 * Points that become models, in the database. A materialisation goes one way: evaluating (agents measure it), merging, published or failed; a failed
 * one may be asked for again. Invariant: what a method changes is on stable storage when it returns.
 */
import { type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { StudyStore } from '../evaluation/study-store.js';
import { type Database, inTransaction } from '../state/database.js';

export interface MaterialisationRow {
  readonly name: string;
  readonly round: string;
  readonly candidate: number;
  readonly state: 'evaluating' | 'merging' | 'published' | 'failed';
  readonly error: string | null;
  readonly created_ms: number;
  readonly updated_ms: number;
}

export interface NewMaterialisation {
  readonly name: string;
  readonly round: string;
  readonly coefficients: readonly number[];
  readonly taskCount: number;
  /** Publish without waiting for agents. */
  readonly unmeasured: boolean;
}

export class MaterialisationStore {
  readonly #db: Database;
  readonly #nowMs: () => number;
  readonly #studies: StudyStore;

  constructor(db: Database, nowMs: () => number, studies: StudyStore) {
    this.#db = db;
    this.#nowMs = nowMs;
    this.#studies = studies;
  }

  find(name: string): MaterialisationRow | undefined {
    return this.#db.prepare('SELECT * FROM materialisations WHERE name = ?').get(name) as MaterialisationRow | undefined;
  }

  inState(state: MaterialisationRow['state']): MaterialisationRow[] {
    return this.#db.prepare('SELECT * FROM materialisations WHERE state = ? ORDER BY created_ms, name').all(state) as MaterialisationRow[];
  }

  /** Names of models by number of candidate; the first published counts. */
  publishedByCandidate(round: string): Map<number, string> {
    const rows = this.#db
      .prepare("SELECT candidate, name FROM materialisations WHERE round = ? AND state = 'published' ORDER BY updated_ms DESC, name DESC")
      .all(round) as { candidate: number; name: string }[];
    return new Map(rows.map(({ candidate, name }) => [candidate, name]));
  }

  /** A candidate with the same coefficients is taken as it is, with what is measured of it; otherwise one is added. */
  create({ name, round, coefficients, taskCount, unmeasured }: NewMaterialisation): MaterialisationRow {
    return inTransaction(this.#db, () => {
      const candidate = this.#studies.findWhole(round, coefficients, taskCount) ?? this.#studies.addChosen(round, coefficients, taskCount);
      const now = this.#nowMs();
      this.#db
        .prepare('INSERT INTO materialisations (name, round, candidate, state, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?)')
        .run(name, round, candidate, unmeasured ? 'merging' : 'evaluating', now, now);
      return this.#get(name);
    });
  }

  /** @returns false when it was in another state */
  change(name: string, from: MaterialisationRow['state'], to: MaterialisationRow['state'], error?: SerializedError): boolean {
    return inTransaction(this.#db, () => this.changeInTransaction(name, from, to, error));
  }

  changeInTransaction(name: string, from: MaterialisationRow['state'], to: MaterialisationRow['state'], error?: SerializedError): boolean {
    const { changes } = this.#db
      .prepare('UPDATE materialisations SET state = ?, error = ?, updated_ms = ? WHERE name = ? AND state = ?')
      .run(to, error === undefined ? null : JSON.stringify(error), this.#nowMs(), name, from);
    return changes > 0;
  }

  #get(name: string): MaterialisationRow {
    const row = this.find(name);
    if (row === undefined) throw new TributaryError('INTERNAL', { what: `There is no materialisation ${name}` });
    return row;
  }
}
