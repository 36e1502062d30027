/**
 * Takes studies from batch to batch. Every step is asked for again at the start of the coordinator and changes nothing when it was done
 * before: a design is a pure function of the study and of what was measured.
 */
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import type { MeasuredCandidate, Proposal, StudySpec } from '../../shared/pareto/study.js';
import type { Services } from '../services.js';
import type { StudyRow } from './study-rows.js';

export type Propose = (spec: StudySpec, history: readonly MeasuredCandidate[]) => Promise<readonly Proposal[]>;

const MINUTE_MS = 60_000;

export class StudyRunner {
  readonly #services: Services;
  readonly #propose: Propose;
  /** Rounds being taken on; true: something happened meanwhile. */
  readonly #busy = new Map<string, boolean>();
  readonly #running = new Set<Promise<void>>();
  #unsubscribe: () => void = () => {};

  constructor(services: Services, propose: Propose) {
    this.#services = services;
    this.#propose = propose;
  }

  start(): void {
    const { hub, measured, studies } = this.#services;
    const unsubscribes = [
      hub.subscribe(({ type, round }) => {
        if (type === 'round.published') this.advance(round);
      }),
      measured.subscribe(({ round }) => {
        if (studies.isSettled(round)) this.advance(round);
      }),
    ];
    this.#unsubscribe = () => {
      for (const unsubscribe of unsubscribes) unsubscribe();
    };
    for (const { round, state } of studies.list()) if (state === 'evaluating') this.advance(round);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await Promise.allSettled(this.#running);
  }

  /** Proposes the next batch, or ends the study, if the batch before is complete. */
  advance(round: string): void {
    if (this.#busy.has(round)) {
      this.#busy.set(round, true);
      return;
    }
    this.#busy.set(round, false);
    const run = this.#advance(round)
      .catch((error: unknown) => this.#services.logger.error({ round, err: error }, 'a study could not be taken on'))
      .finally(() => {
        const again = this.#busy.get(round) === true;
        this.#busy.delete(round);
        this.#running.delete(run);
        if (again) this.advance(round);
      });
    this.#running.add(run);
  }

  async #advance(round: string): Promise<void> {
    const { studies, knownStudies, desk, logger, stopping } = this.#services;
    for (;;) {
      const study = studies.find(round);
      if (study?.state !== 'evaluating' || !studies.isSettled(round)) return;
      const { spec } = knownStudies.get(round);
      if (this.#isTimeUp(study, spec)) {
        if (!(await this.#frontServes(round))) return;
        studies.change(round, 'budget_spent');
        logger.info({ round }, 'study complete: its minutes are over');
        return;
      }
      const history = studies.candidates(round, spec.tasks.length).filter(({ batch }) => batch >= 0);
      let proposals: readonly Proposal[];
      try {
        proposals = await this.#propose(spec, history);
      } catch (error) {
        if (stopping.aborted || studies.get(round).state !== 'evaluating') return;
        const known = toTributaryError(error);
        studies.change(round, 'design_failed', known.toJSON());
        logger.error({ round, code: known.code, err: error }, 'study stopped: no next batch');
        return;
      }
      if (stopping.aborted || studies.get(round).state !== 'evaluating') return;
      if (proposals.length === 0) {
        if (!(await this.#frontServes(round))) return;
        studies.change(round, 'design_finished');
        logger.info({ round, candidates: history.length }, 'study complete');
        return;
      }
      if (studies.addBatch(round, study.batches, proposals, spec.tasks.length))
        logger.info({ round, batch: study.batches, candidates: proposals.length }, 'candidates to measure');
      desk.ring();
    }
  }

  /** Who sees a study complete sees its last front. @returns whether the study still waits for its end */
  async #frontServes(round: string): Promise<boolean> {
    const { fronts, stopping, studies } = this.#services;
    await fronts.upToDate(round);
    return !stopping.aborted && studies.get(round).state === 'evaluating';
  }

  /** The first batch is always measured. */
  #isTimeUp({ batches, created_ms: createdMs }: StudyRow, { budget }: StudySpec): boolean {
    return batches > 0 && budget?.kind === 'minutes' && this.#services.nowMs() >= createdMs + budget.minutes * MINUTE_MS;
  }
}
