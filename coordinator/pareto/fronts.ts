/**
 * The last finished fit of every study, and when the next one is made. Invariants: a fit is swapped in whole, its version is one more than that
 * of the fit before, also across restarts; at most one runs; nothing is fitted when nothing was measured since.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import type { Front } from '../../shared/generated/tributary/v1/pareto.js';
import type { MeasuredCandidate } from '../../shared/pareto/study.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import type { Services } from '../services.js';
import { countEvaluations, dominatedCandidates, type Fit, type FitState } from './fit.js';
import { type PackedFit, unpackFit } from './fit-jobs.js';
import { frontMessage } from './messages.js';

/** While measurements stream in, fits are at least so far apart, and take no more than a share of one processor. */
const PAUSE_MS = 500;
const PAUSE_PER_FIT = 4;

/** A larger fit is kept on disk only when a batch is complete: until then it is soon replaced, and quickly made again. */
const MOST_KEPT_BYTES = 256 * 1024;

/** Of many studies only the latest are asked for. */
const MOST_HELD = 64;

export interface HeldFront {
  /** 0: nothing was fitted yet. */
  readonly version: number;
  readonly fit: Fit | undefined;
  readonly fittedMs: number | undefined;
  /** What was measured when it was made. */
  readonly candidates: readonly MeasuredCandidate[];
  /** By position in `candidates`. */
  readonly dominated: readonly boolean[];
  /** As it is sent; made when it is first asked for, and again when a point of it was published or the study ended. */
  message: Front | undefined;
}

interface FitRow {
  readonly version: number;
  readonly fit: string;
  readonly covariances: Uint8Array;
  readonly fitted_ms: number;
}

export class Fronts {
  readonly #services: Services;
  readonly #held = new Map<string, HeldFront>();
  /** Rounds with measurements that no fit knows. */
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, string>();
  /** Fits under way, by round. */
  readonly #fitting = new Map<string, Promise<void>>();
  #running: Promise<void> | undefined;
  #unsubscribe: () => void = () => {};

  constructor(services: Services) {
    this.#services = services;
  }

  start(): void {
    const { hub, measured } = this.#services;
    const unsubscribes = [
      measured.subscribe((pair) => {
        if (pair.measured) this.#mark(pair.round);
      }),
      hub.subscribe(({ type, round }) => {
        if (type.startsWith('study.') || type === 'round.published') this.forgetMessage(round);
      }),
    ];
    this.#unsubscribe = () => {
      for (const unsubscribe of unsubscribes) unsubscribe();
    };
    for (const round of this.#behind()) this.#mark(round);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#dirty.clear();
    await this.#running;
  }

  /** Rounds whose kept fit does not know every measurement. */
  #behind(): string[] {
    const rows = this.#services.db
      .prepare(
        `SELECT s.round FROM studies s LEFT JOIN fits f ON f.round = s.round
         WHERE (SELECT count(*) FROM evaluations e WHERE e.round = s.round AND e.status = 'done')
           != coalesce(json_extract(nullif(f.fit, ''), '$.evaluations'), 0)`,
      )
      .all() as { round: string }[];
    return rows.map(({ round }) => round);
  }

  /** The fit that serves. @throws ROUND_NOT_FOUND, STUDY_NOT_FOUND */
  get(round: string): HeldFront {
    const held = this.#held.get(round) ?? this.#load(this.#services.knownStudies.get(round));
    // Re-inserting keeps the map in order of use.
    this.#held.delete(round);
    this.#held.set(round, held);
    if (this.#held.size > MOST_HELD) this.#forgetOne();
    return held;
  }

  /** The one that nobody asked for longest, among those that lie in the database as they are. */
  #forgetOne(): void {
    for (const round of this.#held.keys()) {
      if (this.#dirty.has(round) || this.#fitting.has(round) || !this.#services.studies.isSettled(round)) continue;
      this.#held.delete(round);
      return;
    }
  }

  message(round: string): Front {
    const held = this.get(round);
    held.message ??= frontMessage(this.#services, this.#services.knownStudies.get(round), held);
    return held.message;
  }

  forgetMessage(round: string): void {
    const held = this.#held.get(round);
    if (held !== undefined) held.message = undefined;
  }

  /** A study that measures no more has what it has: too little for surrogates then means that the measured points are all there is. */
  stateOf(round: string): FitState {
    const { fit } = this.get(round);
    const state = fit?.state ?? 'measuring';
    return state === 'measuring' && fit !== undefined && this.#services.studies.get(round).state !== 'evaluating' ? 'measured_only' : state;
  }

  /** Why predicted points are missing; for the study. */
  warnings(round: string): string[] {
    const { fit } = this.get(round);
    const failure = this.#failures.get(round);
    const { tasks } = this.#services.knownStudies.get(round).spec;
    const reasons = (this.stateOf(round) === 'measured_only' ? (fit?.surrogates ?? []) : []).flatMap(({ quality }, task) =>
      quality.usable ? [] : [`the surrogate of ${tasks[task]?.name ?? ''} is not used: ${quality.reason ?? 'it explains nothing'}`],
    );
    return failure === undefined ? reasons : [`the last fit failed: ${failure}`, ...reasons];
  }

  /** Resolves when everything measured until now is in the fit that serves, or cannot be fitted. */
  async upToDate(round: string): Promise<void> {
    if (this.#dirty.delete(round)) await this.#fit(round);
    else await this.#fitting.get(round);
  }

  #mark(round: string): void {
    this.#dirty.add(round);
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  async #drain(): Promise<void> {
    for (let [round] = this.#dirty; round !== undefined; [round] = this.#dirty) {
      this.#dirty.delete(round);
      await this.#fit(round);
      const pauseMs = Math.max(PAUSE_MS, PAUSE_PER_FIT * 1000 * (this.get(round).fit?.seconds ?? 0));
      await sleep(pauseMs, undefined, { signal: this.#services.stopping }).catch(() => {});
    }
  }

  async #fit(round: string): Promise<void> {
    const fitting = (this.#fitting.get(round) ?? Promise.resolve()).then(() => this.#fitOnce(round));
    this.#fitting.set(round, fitting);
    await fitting;
    if (this.#fitting.get(round) === fitting) this.#fitting.delete(round);
  }

  async #fitOnce(round: string): Promise<void> {
    const { studies, knownStudies, threads, nowMs, metrics, logger, stopping, notices } = this.#services;
    if (stopping.aborted) return;
    const known = knownStudies.get(round);
    const candidates = studies.candidates(round, known.spec.tasks.length);
    const before = this.get(round);
    if (countEvaluations(candidates) === (before.fit?.evaluations ?? 0)) return;
    let packed: PackedFit;
    try {
      packed = await threads.run('fit', { spec: known.spec, candidates });
    } catch (error) {
      if (stopping.aborted) return;
      const { message } = toTributaryError(error);
      this.#failures.set(round, message);
      this.forgetMessage(round);
      logger.error({ round, err: error }, 'fit failed; the one before serves on');
      return;
    }
    if (stopping.aborted) return;
    this.#failures.delete(round);
    const fit = unpackFit(packed);
    const held = this.#hold(known, this.get(round).version + 1, fit, nowMs(), candidates);
    this.#held.set(round, held);
    this.#keep(round, held, packed);
    metrics.fitSeconds.observe(fit.seconds);
    notices.touch(round);
    logger.info({ round, version: held.version, evaluations: fit.evaluations, state: fit.state, seconds: fit.seconds }, 'front fitted');
  }

  #hold(known: KnownStudy, version: number, fit: Fit, fittedMs: number, candidates: readonly MeasuredCandidate[]): HeldFront {
    return { version, fit, fittedMs, candidates, dominated: dominatedCandidates(known.spec, candidates), message: undefined };
  }

  #load(known: KnownStudy): HeldFront {
    const { db, studies } = this.#services;
    const row = db.prepare('SELECT * FROM fits WHERE round = ?').get(known.round.name) as FitRow | undefined;
    if (row === undefined || row.fit === '')
      return { version: row?.version ?? 0, fit: undefined, fittedMs: undefined, candidates: [], dominated: [], message: undefined };
    const { covariances: bytes } = row;
    const fit = unpackFit({ json: row.fit, covariances: new Float64Array(Uint8Array.from(bytes).buffer) });
    return this.#hold(known, row.version, fit, row.fitted_ms, studies.candidates(known.round.name, known.spec.tasks.length));
  }

  #keep(round: string, { version, fittedMs }: HeldFront, { json, covariances }: PackedFit): void {
    const { db, studies } = this.#services;
    const isLarge = json.length + covariances.byteLength > MOST_KEPT_BYTES;
    if (isLarge && !studies.isSettled(round)) {
      // The version is kept all the same, so that it never goes back.
      db.prepare(
        `INSERT INTO fits (round, version, fit, covariances, fitted_ms) VALUES (?1, ?2, '', x'', ?3)
         ON CONFLICT (round) DO UPDATE SET version = ?2`,
      ).run(round, version, fittedMs ?? 0);
      return;
    }
    db.prepare('INSERT OR REPLACE INTO fits (round, version, fit, covariances, fitted_ms) VALUES (?, ?, ?, ?, ?)').run(
      round,
      version,
      json,
      Buffer.from(covariances.buffer, covariances.byteOffset, covariances.byteLength),
      fittedMs ?? 0,
    );
  }
}
