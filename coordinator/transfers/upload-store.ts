/** Uploads in the database: what is on its way, to where, and how it ended. */
import { randomUUID } from 'node:crypto';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Database } from '../state/database.js';

export interface UploadRow {
  readonly id: string;
  readonly state: 'receiving' | 'committed' | 'refused' | 'aborted';
  readonly target: 'contribution' | 'base';
  readonly target_name: string;
  readonly contributor: string;
  readonly manifest_digest: string;
  readonly samples: number | null;
  readonly steps: number | null;
  readonly total_bytes: number;
  readonly missing_bytes: number;
  readonly contribution_id: number | null;
  readonly touched_ms: number;
  readonly created_ms: number;
}

export type NewUpload = Pick<
  UploadRow,
  'target' | 'target_name' | 'contributor' | 'manifest_digest' | 'samples' | 'steps' | 'total_bytes' | 'missing_bytes'
>;

/** An upload without progress for this long is given up. Chunks it brought may still serve a later one. */
export const UPLOAD_IDLE_MS = 24 * 3600 * 1000;

export class UploadStore {
  readonly #db: Database;
  readonly #nowMs: () => number;

  constructor(db: Database, nowMs: () => number) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  get(id: string): UploadRow {
    const row = this.#db.prepare('SELECT * FROM uploads WHERE id = ?').get(id) as UploadRow | undefined;
    if (row === undefined || row.state === 'aborted') {
      throw new TributaryError('UPLOAD_NOT_FOUND', {
        what: 'There is no such upload, or it expired',
        where: id,
        fix: 'Push again; what arrived is kept.',
      });
    }
    return row;
  }

  findOpen(upload: Pick<UploadRow, 'target' | 'target_name' | 'contributor' | 'manifest_digest'>): UploadRow | undefined {
    return this.#db
      .prepare(
        "SELECT * FROM uploads WHERE target = ? AND target_name = ? AND contributor = ? AND manifest_digest = ? AND state = 'receiving'",
      )
      .get(upload.target, upload.target_name, upload.contributor, upload.manifest_digest) as UploadRow | undefined;
  }

  /** Open uploads to a round, for its table of contributors. */
  openInRound(round: string): UploadRow[] {
    return this.#db
      .prepare("SELECT * FROM uploads WHERE target = 'contribution' AND target_name = ? AND state = 'receiving' ORDER BY created_ms")
      .all(round) as UploadRow[];
  }

  create(upload: NewUpload, state: UploadRow['state'] = 'receiving', contributionId: number | null = null): UploadRow {
    const id = randomUUID();
    const now = this.#nowMs();
    this.#db
      .prepare(
        `INSERT INTO uploads (id, state, target, target_name, contributor, manifest_digest, samples, steps, total_bytes, missing_bytes,
           contribution_id, touched_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        id,
        state,
        upload.target,
        upload.target_name,
        upload.contributor,
        upload.manifest_digest,
        upload.samples,
        upload.steps,
        upload.total_bytes,
        upload.missing_bytes,
        contributionId,
        now,
        now,
      );
    return this.get(id);
  }

  /** The newest statement of samples and steps counts. */
  updateFacts(id: string, samples: number | null, steps: number | null): void {
    this.#db.prepare('UPDATE uploads SET samples = ?, steps = ?, touched_ms = ? WHERE id = ?').run(samples, steps, this.#nowMs(), id);
  }

  touch(id: string): void {
    this.#db.prepare('UPDATE uploads SET touched_ms = ? WHERE id = ?').run(this.#nowMs(), id);
  }

  finish(id: string, state: 'committed' | 'refused' | 'aborted', contributionId: number | null): void {
    this.#db
      .prepare('UPDATE uploads SET state = ?, contribution_id = ?, touched_ms = ? WHERE id = ?')
      .run(state, contributionId, this.#nowMs(), id);
  }

  /** Gives up uploads that made no progress for UPLOAD_IDLE_MS; returns how many. */
  expireIdle(): number {
    return Number(
      this.#db
        .prepare("UPDATE uploads SET state = 'aborted' WHERE state = 'receiving' AND touched_ms < ?")
        .run(this.#nowMs() - UPLOAD_IDLE_MS).changes,
    );
  }
}
