/**
 * Rounds and contributions in the database. Invariant: every change goes through `change`, which asks the table of states.ts, and
 * writes the new state and its event in one transaction.
 */
import type { ErrorCode } from '../../shared/errors/catalogue.js';
import { type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import { commit, type Emit, type Journal, type RoundNotice } from '../state/commit.js';
import type { Database } from '../state/database.js';
import { ROUND_TABLE, type RoundEvent, type RoundState } from './states.js';

export interface RoundRow {
  readonly name: string;
  readonly state: RoundState;
  readonly base_name: string;
  readonly base_digest: string;
  readonly recipe: string;
  readonly quorum: number;
  readonly min_contributions: number;
  readonly deadline_ms: number | null;
  readonly model: string | null;
  readonly error: string | null;
  readonly created_ms: number;
  readonly updated_ms: number;
}

export type ContributionStatus = 'accepted' | 'quarantined' | 'withdrawn' | 'superseded';

export interface ContributionRow {
  readonly id: number;
  readonly round: string;
  readonly contributor: string;
  readonly status: ContributionStatus;
  readonly kind: ArtifactForm;
  readonly manifest_digest: string;
  readonly weights_digest: string;
  readonly reason: string | null;
  readonly samples: number | null;
  readonly steps: number | null;
  readonly norm: number;
  readonly total_bytes: number;
  readonly sent_bytes: number;
  readonly created_ms: number;
  readonly updated_ms: number;
}

export type NewContribution = Omit<ContributionRow, 'id' | 'status' | 'reason' | 'created_ms' | 'updated_ms'> & {
  /** Why it is quarantined; undefined: it is accepted. */
  readonly reason: SerializedError | undefined;
};

export type RoundPatch = Partial<{ model: string; error: SerializedError | null }>;

export class RoundStore {
  readonly #db: Database;
  readonly #nowMs: () => number;
  readonly #journal: Journal;

  constructor(db: Database, nowMs: () => number, notify: (notice: RoundNotice) => void) {
    this.#db = db;
    this.#nowMs = nowMs;
    this.#journal = { db, nowMs, notify };
  }

  create(round: Omit<RoundRow, 'state' | 'model' | 'error' | 'created_ms' | 'updated_ms'>): RoundRow {
    return commit(this.#journal, (emit) => {
      const now = this.#nowMs();
      this.#db
        .prepare(
          `INSERT INTO rounds (name, state, base_name, base_digest, recipe, quorum, min_contributions, deadline_ms, created_ms, updated_ms)
           VALUES (?, 'open', ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          round.name,
          round.base_name,
          round.base_digest,
          round.recipe,
          round.quorum,
          round.min_contributions,
          round.deadline_ms,
          now,
          now,
        );
      emit(round.name, 'round.created');
      return this.get(round.name);
    });
  }

  find(name: string): RoundRow | undefined {
    return this.#db.prepare('SELECT * FROM rounds WHERE name = ?').get(name) as RoundRow | undefined;
  }

  get(name: string): RoundRow {
    const round = this.find(name);
    if (round === undefined) {
      throw new TributaryError('ROUND_NOT_FOUND', {
        what: `There is no round named ${name}`,
        fix: '`tributary round list` shows the rounds.',
      });
    }
    return round;
  }

  list(state: RoundState | undefined, limit: number, before: { createdMs: number; name: string } | undefined): RoundRow[] {
    return this.#db
      .prepare(
        `SELECT * FROM rounds WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR (created_ms, name) < (?2, ?3))
         ORDER BY created_ms DESC, name DESC LIMIT ?4`,
      )
      .all(state ?? null, before?.createdMs ?? null, before?.name ?? null, limit) as RoundRow[];
  }

  countByState(): { state: RoundState; count: number }[] {
    return this.#db.prepare('SELECT state, count(*) AS count FROM rounds GROUP BY state').all() as { state: RoundState; count: number }[];
  }

  countContributions(): { status: ContributionStatus; count: number }[] {
    return this.#db.prepare('SELECT status, count(*) AS count FROM contributions GROUP BY status').all() as {
      status: ContributionStatus;
      count: number;
    }[];
  }

  overdue(): RoundRow[] {
    return this.#db.prepare("SELECT * FROM rounds WHERE state = 'open' AND deadline_ms <= ?").all(this.#nowMs()) as RoundRow[];
  }

  /** The newest row of each contributor that is not superseded, by contributor name. */
  contributions(round: string): ContributionRow[] {
    const rows = this.#db
      .prepare("SELECT * FROM contributions WHERE round = ? AND status != 'superseded' ORDER BY id")
      .all(round) as ContributionRow[];
    const newest = new Map<string, ContributionRow>();
    for (const row of rows) {
      // A later failed push does not hide that an earlier one takes part.
      if (newest.get(row.contributor)?.status !== 'accepted') newest.set(row.contributor, row);
    }
    return [...newest.values()].sort((a, b) => (a.contributor < b.contributor ? -1 : 1));
  }

  accepted(round: string): ContributionRow[] {
    return this.contributions(round).filter((row) => row.status === 'accepted');
  }

  contribution(id: number): ContributionRow {
    return this.#db.prepare('SELECT * FROM contributions WHERE id = ?').get(id) as ContributionRow;
  }

  /** Throws unless the round can take contributions now. */
  requireOpen(name: string): RoundRow {
    const round = this.get(name);
    this.#outcome(round, 'contribution_accepted');
    return round;
  }

  /**
   * Adds a finished contribution; an accepted one supersedes the contributor's earlier one and may close the round.
   * `also` runs in the same transaction. Throws ROUND_CLOSED if the round no longer takes contributions.
   */
  addContribution(contribution: NewContribution, also: (row: ContributionRow) => void): ContributionRow {
    return commit(this.#journal, (emit) => {
      const round = this.requireOpen(contribution.round);
      const now = this.#nowMs();
      const accepted = contribution.reason === undefined;
      const { round: name, contributor } = contribution;
      if (accepted) {
        this.#db
          .prepare(
            "UPDATE contributions SET status = 'superseded', updated_ms = ? WHERE round = ? AND contributor = ? AND status = 'accepted'",
          )
          .run(now, name, contributor);
      }
      const { lastInsertRowid } = this.#db
        .prepare(
          `INSERT INTO contributions (round, contributor, status, kind, manifest_digest, weights_digest, reason, samples, steps, norm,
             total_bytes, sent_bytes, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          name,
          contributor,
          accepted ? 'accepted' : 'quarantined',
          contribution.kind,
          contribution.manifest_digest,
          contribution.weights_digest,
          accepted ? null : JSON.stringify(contribution.reason),
          contribution.samples,
          contribution.steps,
          contribution.norm,
          contribution.total_bytes,
          contribution.sent_bytes,
          now,
          now,
        );
      const row = this.contribution(Number(lastInsertRowid));
      also(row);
      emit(name, accepted ? 'contribution.accepted' : 'contribution.quarantined', contributor);
      if (accepted && round.quorum > 0 && this.accepted(name).length >= round.quorum) this.#apply(round, 'quorum_reached', {}, emit);
      return row;
    });
  }

  withdraw(name: string, contributor: string): void {
    commit(this.#journal, (emit) => {
      const round = this.get(name);
      this.#outcome(round, 'contribution_withdrawn');
      const { changes } = this.#db
        .prepare(
          "UPDATE contributions SET status = 'withdrawn', updated_ms = ? WHERE round = ? AND contributor = ? AND status = 'accepted'",
        )
        .run(this.#nowMs(), name, contributor);
      if (changes === 0) {
        throw new TributaryError('CONTRIBUTION_NOT_FOUND', { what: `${contributor} has no accepted contribution in round ${name}` });
      }
      emit(name, 'contribution.withdrawn', contributor);
    });
  }

  /** Closes by hand, at the deadline, or again after a failure. */
  close(name: string, event: 'close_requested' | 'deadline_met'): RoundRow {
    return commit(this.#journal, (emit) => {
      const round = this.get(name);
      const accepted = this.accepted(name).length;
      if ((round.state === 'open' || round.state === 'failed') && accepted < round.min_contributions) {
        throw new TributaryError('NO_CONTRIBUTIONS', {
          what: `Round ${name} cannot close yet`,
          expected: `at least ${round.min_contributions} accepted contributions`,
          got: `${accepted}`,
          fix: 'Wait for more pushes, or cancel the round.',
        });
      }
      return this.#apply(round, event, event === 'close_requested' ? { error: null } : {}, emit);
    });
  }

  /** Any other event. `also` runs in the same transaction. */
  change(name: string, event: RoundEvent, patch: RoundPatch = {}, also: () => void = () => {}): RoundRow {
    return commit(this.#journal, (emit) => {
      also();
      return this.#apply(this.get(name), event, patch, emit);
    });
  }

  #outcome(round: RoundRow, event: RoundEvent): RoundState {
    const outcome = ROUND_TABLE[round.state][event];
    if (outcome.kind === 'to') return outcome.state;
    if (outcome.kind === 'stay') return round.state;
    throw new TributaryError(outcome.code satisfies ErrorCode, {
      what: `Round ${round.name} is ${round.state}: ${REFUSED[event]}`,
      fix: outcome.code === 'ROUND_CLOSED' ? 'Create or join a later round.' : undefined,
    });
  }

  #apply(round: RoundRow, event: RoundEvent, patch: RoundPatch, emit: Emit): RoundRow {
    const state = this.#outcome(round, event);
    if (state !== round.state) {
      this.#db
        .prepare('UPDATE rounds SET state = ?, model = ?, error = ?, updated_ms = ? WHERE name = ?')
        .run(
          state,
          patch.model ?? round.model,
          patch.error === undefined ? round.error : patch.error === null ? null : JSON.stringify(patch.error),
          this.#nowMs(),
          round.name,
        );
      emit(round.name, `round.${state}`);
    }
    return this.get(round.name);
  }
}

const REFUSED: Record<RoundEvent, string> = {
  contribution_accepted: 'it takes no more contributions',
  contribution_withdrawn: 'its contributions are fixed',
  close_requested: 'it cannot be closed',
  quorum_reached: 'it is not collecting',
  deadline_met: 'it is not collecting',
  deadline_missed: 'it is not collecting',
  merge_succeeded: 'no merge is running',
  merge_failed: 'no merge is running',
  cancel_requested: 'it cannot be cancelled',
};
