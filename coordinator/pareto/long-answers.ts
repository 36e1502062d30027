/**
 * Answers that take a search or all sets of contributions: computed in the thread of fits when they are first asked for, kept for the fit they
 * are of.
 */
import type { Attribution } from '../../shared/pareto/attribute.js';
import type { PredictedFront } from '../../shared/pareto/study.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import type { Services } from '../services.js';
import { type FitJobs, packSurrogates } from './fit-jobs.js';
import { requireServing } from './questions.js';

const MOST_KEPT = 64;

type LongKind = 'whatIf' | 'attribute';

export class LongAnswers {
  readonly #services: Services;
  readonly #kept = new Map<string, Promise<unknown>>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** @throws FRONT_NOT_READY, CONTRIBUTION_NOT_FOUND */
  async whatIf(known: KnownStudy, without: readonly string[]): Promise<PredictedFront> {
    const { surrogates } = requireServing(this.#services, known);
    return this.#once('whatIf', known, without, () => ({ spec: known.spec, surrogates: packSurrogates(surrogates), without }));
  }

  /** @throws FRONT_NOT_READY */
  async attribute(known: KnownStudy, coefficients: readonly number[]): Promise<readonly Attribution[]> {
    const { surrogates } = requireServing(this.#services, known);
    return this.#once('attribute', known, coefficients, () => ({
      spec: known.spec,
      surrogates: packSurrogates(surrogates),
      coefficients,
    }));
  }

  async #once<Kind extends LongKind>(
    kind: Kind,
    { round }: KnownStudy,
    about: readonly (string | number)[],
    input: () => FitJobs[Kind]['in'],
  ): Promise<FitJobs[Kind]['out']> {
    const { fronts, threads } = this.#services;
    const key = JSON.stringify([kind, round.name, fronts.get(round.name).version, ...about]);
    const before = this.#kept.get(key) as Promise<FitJobs[Kind]['out']> | undefined;
    if (before !== undefined) return before;
    const found = threads.run(kind, input());
    found.catch(() => this.#kept.delete(key));
    this.#kept.set(key, found);
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size > MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    return found;
  }
}
