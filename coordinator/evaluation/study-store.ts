/**
 * Studies, candidates and (candidate, task) pairs in the database. Invariants: a state changes through the table of states.ts only; a pair is
 * measured once; whatever a method changes is on stable storage when it returns.
 */
import { randomUUID } from 'node:crypto';
import { type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { MeasuredCandidate, Proposal } from '../../shared/pareto/study.js';
import type { RoundNotice } from '../state/commit.js';
import { commit, type Emit, type Journal } from '../state/commit.js';
import type { Database } from '../state/database.js';
import { STUDY_TABLE, type StudyEvent, type StudyState } from './states.js';
import {
  type CandidateRow,
  candidateOf,
  type Lease,
  type Pair,
  type PairRow,
  type Report,
  type StudyRow,
  type TaskCounts,
} from './study-rows.js';

/** A pair that failed so often is given up. */
export const MOST_FAILURES = 3;

/**
 * So many candidates that fail, with no measurement of their task since the first of it, are the evaluator's fault and not theirs: none is given up until one
 * succeeds, or has failed MOST_FAILURES_IN_A_ROW times. Whoever repairs the evaluator finds the study waiting. A candidate that failed before another was
 * measured is to blame itself: coefficients at which a loss overflows stay what they are, however often they are tried at the end. So are metrics that are
 * refused once the task was measured at all; before that the unit is wrong (percent instead of a share, say), and the study waits as well.
 */
const BROKEN_AT = 3;
const MOST_FAILURES_IN_A_ROW = 20;

/** Candidates of one task that first failed since it was last measured. */
const FAILED_IN_A_ROW = `SELECT count(*) FROM evaluations f WHERE f.round = ?1 AND f.task = ?2 AND f.status IN ('open', 'leased') AND f.failures > 0
  AND NOT f.blamed`;

/** Batch of points that a person chose. */
export const CHOSEN_BATCH = -1;

/** Pairs that may be handed out: of studies that go on, and of points that are being materialised. */
const WANTED = `(s.state = 'evaluating' OR EXISTS (SELECT 1 FROM materialisations m
  WHERE m.round = e.round AND m.candidate = e.candidate AND m.state = 'evaluating'))`;

export class StudyStore {
  readonly #db: Database;
  readonly #nowMs: () => number;
  readonly #journal: Journal;

  constructor(db: Database, nowMs: () => number, notify: (notice: RoundNotice) => void) {
    this.#db = db;
    this.#nowMs = nowMs;
    this.#journal = { db, nowMs, notify };
  }

  /** To be called inside the transaction that publishes the round. */
  insert(round: string): void {
    this.#db.prepare("INSERT INTO studies (round, state, batches, created_ms) VALUES (?, 'evaluating', 0, ?)").run(round, this.#nowMs());
  }

  find(round: string): StudyRow | undefined {
    return this.#db.prepare('SELECT * FROM studies WHERE round = ?').get(round) as StudyRow | undefined;
  }

  get(round: string): StudyRow {
    const study = this.find(round);
    if (study !== undefined) return study;
    throw new TributaryError('STUDY_NOT_FOUND', {
      what: `Round ${round} has no study`,
      expected: 'a published round whose recipe has a map block',
      fix: `\`tributary round show ${round}\` says how far it is.`,
    });
  }

  /** Oldest first. */
  list(): StudyRow[] {
    return this.#db.prepare('SELECT * FROM studies ORDER BY created_ms, round').all() as StudyRow[];
  }

  /** Names of rounds in which something may be handed out now or later, oldest first. */
  active(): string[] {
    const rows = this.#db
      .prepare(
        `SELECT round FROM studies s WHERE state = 'evaluating' OR EXISTS (SELECT 1 FROM materialisations m
           WHERE m.round = s.round AND m.state = 'evaluating') ORDER BY created_ms, round`,
      )
      .all() as { round: string }[];
    return rows.map(({ round }) => round);
  }

  countByState(): { state: StudyState; count: number }[] {
    return this.#db.prepare('SELECT state, count(*) AS count FROM studies GROUP BY state').all() as { state: StudyState; count: number }[];
  }

  countLeases(): number {
    const { count } = this.#db
      .prepare("SELECT count(*) AS count FROM evaluations WHERE status = 'leased' AND expires_ms > ?")
      .get(this.#nowMs()) as { count: number };
    return count;
  }

  /** @returns false when that batch was proposed already or the study ended */
  addBatch(round: string, batch: number, proposals: readonly Proposal[], taskCount: number): boolean {
    return commit(this.#journal, (emit) => {
      const study = this.get(round);
      if (study.batches !== batch || STUDY_TABLE[study.state].batch_proposed.kind === 'refuse') return false;
      for (const proposal of proposals) this.#insertCandidate(round, batch, proposal, taskCount);
      this.#db.prepare('UPDATE studies SET batches = ? WHERE round = ?').run(batch + 1, round);
      emit(round, 'study.batch');
      return true;
    });
  }

  /** A point that a person chose. To be called inside a transaction. @returns its number */
  addChosen(round: string, coefficients: readonly number[], taskCount: number): number {
    this.#outcome(this.get(round), 'point_chosen');
    return this.#insertCandidate(round, CHOSEN_BATCH, { kind: 'materialised', coefficients }, taskCount);
  }

  #insertCandidate(round: string, batch: number, { kind, label, coefficients, tasks }: Proposal, taskCount: number): number {
    const { id } = this.#db.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM candidates WHERE round = ?').get(round) as { id: number };
    this.#db
      .prepare('INSERT INTO candidates (round, id, batch, kind, label, coefficients, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(round, id, batch, kind, label ?? null, JSON.stringify(coefficients), this.#nowMs());
    const pair = this.#db.prepare(
      "INSERT INTO evaluations (round, candidate, task, status, attempts, failures) VALUES (?, ?, ?, 'open', 0, 0)",
    );
    for (const task of tasks ?? Array.from({ length: taskCount }, (_, index) => index)) pair.run(round, id, task);
    return id;
  }

  /** @returns the study after the event, whether or not that changed it @throws ROUND_STATE */
  change(round: string, event: Exclude<StudyEvent, 'batch_proposed' | 'point_chosen'>, error?: SerializedError): StudyRow {
    return commit(this.#journal, (emit) => this.#apply(this.get(round), event, error, emit));
  }

  #outcome(study: StudyRow, event: StudyEvent): StudyState {
    const outcome = STUDY_TABLE[study.state][event];
    if (outcome.kind === 'to') return outcome.state;
    if (outcome.kind === 'stay') return study.state;
    throw new TributaryError(outcome.code, { what: `The study of round ${study.round} is ${study.state}: it takes no ${event}` });
  }

  #apply(study: StudyRow, event: StudyEvent, error: SerializedError | undefined, emit: Emit): StudyRow {
    const state = this.#outcome(study, event);
    if (state !== study.state) {
      this.#db
        .prepare('UPDATE studies SET state = ?, error = ?, ended_ms = ? WHERE round = ?')
        .run(state, error === undefined ? null : JSON.stringify(error), this.#nowMs(), study.round);
      emit(study.round, `study.${state}`);
    }
    return this.get(study.round);
  }

  /** Candidates with what is known of them, in the order of their numbers. */
  candidates(round: string, taskCount: number): MeasuredCandidate[] {
    const rows = this.#db
      .prepare('SELECT id, batch, kind, label, coefficients FROM candidates WHERE round = ? ORDER BY id')
      .all(round) as CandidateRow[];
    const byCandidate = new Map<number, PairRow[]>();
    for (const pair of this.pairs(round)) {
      const own = byCandidate.get(pair.candidate);
      if (own === undefined) byCandidate.set(pair.candidate, [pair]);
      else own.push(pair);
    }
    return rows.map((row) => candidateOf(row, byCandidate.get(row.id) ?? [], taskCount));
  }

  /** One that exists. */
  candidate(round: string, id: number, taskCount: number): MeasuredCandidate {
    const row = this.#db.prepare('SELECT id, batch, kind, label, coefficients FROM candidates WHERE round = ? AND id = ?').get(round, id);
    return candidateOf(row as CandidateRow, this.pairsOf(round, id), taskCount);
  }

  /** A candidate with these coefficients and every task among its pairs; undefined: there is none. */
  findWhole(round: string, coefficients: readonly number[], taskCount: number): number | undefined {
    const row = this.#db
      .prepare(
        `SELECT id FROM candidates c WHERE round = ?1 AND coefficients = ?2
           AND (SELECT count(*) FROM evaluations e WHERE e.round = ?1 AND e.candidate = c.id) = ?3 ORDER BY id LIMIT 1`,
      )
      .get(round, JSON.stringify(coefficients), taskCount) as { id: number } | undefined;
    return row?.id;
  }

  pairsOf(round: string, candidate: number): PairRow[] {
    return this.#db.prepare('SELECT * FROM evaluations WHERE round = ? AND candidate = ? ORDER BY task').all(round, candidate) as PairRow[];
  }

  coefficients(round: string, candidate: number): number[] | undefined {
    const row = this.#db.prepare('SELECT coefficients FROM candidates WHERE round = ? AND id = ?').get(round, candidate) as
      | { coefficients: string }
      | undefined;
    return row === undefined ? undefined : (JSON.parse(row.coefficients) as number[]);
  }

  countCandidates(round: string): number {
    return (this.#db.prepare('SELECT count(*) AS count FROM candidates WHERE round = ?').get(round) as { count: number }).count;
  }

  /** In the order of candidates, then tasks. */
  pairs(round: string): PairRow[] {
    return this.#db.prepare('SELECT * FROM evaluations WHERE round = ? ORDER BY candidate, task').all(round) as PairRow[];
  }

  pair({ round, candidate, task }: Pair): PairRow | undefined {
    return this.#db.prepare('SELECT * FROM evaluations WHERE round = ? AND candidate = ? AND task = ?').get(round, candidate, task) as
      | PairRow
      | undefined;
  }

  /** Whether every pair is measured or given up: of one candidate, or of all that the design proposed. */
  isSettled(round: string, candidate?: number): boolean {
    const left = this.#db
      .prepare(
        `SELECT 1 FROM evaluations e JOIN candidates c ON c.round = e.round AND c.id = e.candidate
         WHERE e.round = ?1 AND e.status IN ('open', 'leased') AND (CASE WHEN ?2 IS NULL THEN c.batch >= 0 ELSE c.id = ?2 END) LIMIT 1`,
      )
      .get(round, candidate ?? null);
    return left === undefined;
  }

  /** By number of task; tasks without pairs are left out. */
  counts(round: string): TaskCounts[] {
    return this.#db
      .prepare(
        `SELECT task, sum(status = 'done') AS done, sum(status = 'leased' AND expires_ms > ?2) AS leased,
           sum(status = 'open' OR (status = 'leased' AND expires_ms <= ?2)) AS open, sum(status = 'failed') AS failed
         FROM evaluations WHERE round = ?1 GROUP BY task ORDER BY task`,
      )
      .all(round, this.#nowMs()) as TaskCounts[];
  }

  /** Times of the newest measurements, newest first. */
  lastReports(round: string, most: number): number[] {
    const rows = this.#db
      .prepare("SELECT reported_ms FROM evaluations WHERE round = ? AND status = 'done' ORDER BY reported_ms DESC LIMIT ?")
      .all(round, most) as { reported_ms: number }[];
    return rows.map(({ reported_ms: atMs }) => atMs);
  }

  /** Pairs that were given up, with the last error of each. */
  givenUp(round: string): PairRow[] {
    return this.#db
      .prepare("SELECT * FROM evaluations WHERE round = ? AND status = 'failed' ORDER BY candidate, task")
      .all(round) as PairRow[];
  }

  /**
   * Hands out open pairs of one candidate among these tasks: that with the lowest number, those that failed before after the others.
   * @returns the leases, and how many of them had expired in other hands
   */
  lease(round: string, agent: string, tasks: readonly number[], most: number, leaseMs: number): { leases: Lease[]; expired: number } {
    const now = this.#nowMs();
    const free = this.#db.prepare(
      `SELECT e.* FROM evaluations e JOIN studies s ON s.round = e.round
       WHERE e.round = ?1 AND e.status IN ('open', 'leased') AND (e.status = 'open' OR e.expires_ms <= ?2) AND ${WANTED}
         AND e.task IN (SELECT value FROM json_each(?3)) ORDER BY e.failures, e.candidate, e.task LIMIT ?4`,
    );
    // Nothing to hand out is the usual answer to an agent that waits, and takes no transaction.
    if (free.get(round, now, JSON.stringify(tasks), 1) === undefined) return { leases: [], expired: 0 };
    return commit(this.#journal, () => {
      const rows = free.all(round, now, JSON.stringify(tasks), most) as PairRow[];
      const ofOne = rows.filter(({ candidate }) => candidate === rows[0]?.candidate);
      const take = this.#db.prepare(
        `UPDATE evaluations SET status = 'leased', attempts = attempts + 1, lease = ?, agent = ?, expires_ms = ?
         WHERE round = ? AND candidate = ? AND task = ?`,
      );
      const leases = ofOne.map(({ candidate, task, attempts }): Lease => {
        const lease = randomUUID();
        take.run(lease, agent, now + leaseMs, round, candidate, task);
        return { lease, round, candidate, task, attempt: attempts };
      });
      return { leases, expired: ofOne.filter(({ status }) => status === 'leased').length };
    });
  }

  /** When the next lease expires, Unix ms; undefined: none is out. */
  nextExpiryMs(): number | undefined {
    const row = this.#db
      .prepare("SELECT min(expires_ms) AS at FROM evaluations WHERE status = 'leased' AND expires_ms > ?")
      .get(this.#nowMs()) as { at: number | null };
    return row.at ?? undefined;
  }

  /** Prolongs leases that nobody else has taken. @returns those that still count */
  heartbeat(agent: string, leases: readonly string[], leaseMs: number): PairRow[] {
    if (leases.length === 0) return [];
    return commit(this.#journal, () => {
      const held = this.#db
        .prepare("SELECT * FROM evaluations WHERE status = 'leased' AND agent = ? AND lease IN (SELECT value FROM json_each(?))")
        .all(agent, JSON.stringify(leases)) as PairRow[];
      const prolong = this.#db.prepare("UPDATE evaluations SET expires_ms = ? WHERE lease = ? AND status = 'leased'");
      for (const { lease } of held) prolong.run(this.#nowMs() + leaseMs, lease);
      return held;
    });
  }

  /** @returns whether it counted; false: the pair was measured before */
  record(pair: Pair, agent: string, report: Report): boolean {
    return commit(this.#journal, () => {
      this.#outcome(this.get(pair.round), 'measured');
      const { changes } = this.#db
        .prepare(
          `UPDATE evaluations SET status = 'done', agent = ?, expires_ms = NULL, value = ?, count = ?, standard_error = ?, metrics = ?,
             gradient = ?, reported_ms = ? WHERE round = ? AND candidate = ? AND task = ? AND status != 'done'`,
        )
        .run(
          agent,
          report.value,
          report.count ?? null,
          report.standardError ?? null,
          report.metrics === undefined ? null : JSON.stringify(report.metrics),
          report.gradient === undefined ? null : JSON.stringify(report.gradient),
          this.#nowMs(),
          pair.round,
          pair.candidate,
          pair.task,
        );
      if (changes > 0)
        this.#db
          .prepare("UPDATE evaluations SET blamed = 1 WHERE round = ? AND task = ? AND failures > 0 AND status IN ('open', 'leased')")
          .run(pair.round, pair.task);
      return changes > 0;
    });
  }

  /** Ends a lease without a measurement. @returns whether it counted; false: the lease is another's now, or over */
  fail({ round, candidate, task }: Pair, lease: string, error: SerializedError): boolean {
    return commit(this.#journal, () => {
      const { changes } = this.#db
        .prepare(
          `UPDATE evaluations SET status = 'open', failures = failures + 1, expires_ms = NULL, error = ?, reported_ms = ?
           WHERE round = ? AND candidate = ? AND task = ? AND status = 'leased' AND lease = ?`,
        )
        .run(JSON.stringify(error), this.#nowMs(), round, candidate, task, lease);
      if (changes === 0) return false;
      const isPatient = this.isBroken(round, task) && (error.code !== 'METRIC_REFUSED' || !this.#wasMeasured(round, task));
      this.#db
        .prepare("UPDATE evaluations SET status = 'failed' WHERE round = ? AND candidate = ? AND task = ? AND failures >= ?")
        .run(round, candidate, task, isPatient ? MOST_FAILURES_IN_A_ROW : MOST_FAILURES);
      return true;
    });
  }

  #wasMeasured(round: string, task: number): boolean {
    const row = this.#db.prepare("SELECT 1 FROM evaluations WHERE round = ? AND task = ? AND status = 'done' LIMIT 1").get(round, task);
    return row !== undefined;
  }

  /** Whether nothing of a task succeeds at the moment, whatever the candidate. */
  isBroken(round: string, task: number): boolean {
    const row = this.#db.prepare(`SELECT (${FAILED_IN_A_ROW}) AS count`).get(round, task) as { count: number };
    return row.count >= BROKEN_AT;
  }

  /** The newest error of a task. */
  lastError(round: string, task: number): string | undefined {
    const row = this.#db
      .prepare('SELECT error FROM evaluations WHERE round = ? AND task = ? AND error IS NOT NULL ORDER BY reported_ms DESC LIMIT 1')
      .get(round, task) as { error: string } | undefined;
    return row?.error;
  }
}
