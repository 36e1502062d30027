/** Questions about a front, answered from the fit that serves. Nothing here waits for a fit. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Front, type QueryRequest, QueryResponse, Scalarisation } from '../../shared/generated/tributary/v1/pareto.js';
import { bestMeasured, choose } from '../../shared/pareto/queries.js';
import type { Question } from '../../shared/pareto/question.js';
import type { PredictedFront, Surrogate } from '../../shared/pareto/study.js';
import type { KnownStudy } from '../evaluation/known-studies.js';
import type { Services } from '../services.js';
import { type Fit, leastMeasurements } from './fit.js';
import { predictedMessage } from './messages.js';

/** What is asked, as arithmetic has it. */
export function questionOf(by: QueryRequest['by']): Question {
  switch (by?.$case) {
    case 'preference':
      return {
        by: 'preference',
        weights: by.value.weights,
        scalarisation: by.value.scalarisation === Scalarisation.CHEBYSHEV ? 'chebyshev' : 'linear',
      };
    case 'constraints':
      return { by: 'constraints', constraints: by.value.constraints, objective: by.value.objective };
    case 'nearest':
      return { by: 'nearest', wishes: by.value.wishes };
    case 'knee':
      return { by: 'knee' };
    case undefined:
      throw new TributaryError('USAGE', {
        what: 'The query asks nothing',
        expected: 'a preference, constraints, nearest or knee',
      });
  }
}

/** @throws FRONT_NOT_READY when too little is measured for surrogates */
export function requireFit(services: Services, { round, spec }: KnownStudy): Fit {
  const { fit } = services.fronts.get(round.name);
  if (fit !== undefined && services.fronts.stateOf(round.name) !== 'measuring') return fit;
  const least = leastMeasurements(spec);
  const counts = spec.tasks.map(({ name }, task) => `${name} ${fit?.surrogates[task]?.quality.measurements ?? 0}`);
  throw new TributaryError('FRONT_NOT_READY', {
    what: `Too little of round ${round.name} is measured for a front`,
    expected: `${least} measured candidates of every task`,
    got: counts.join(', '),
    fix: `\`tributary round watch ${round.name}\` shows how far the agents are.`,
  });
}

export interface ServingFit extends Fit {
  readonly front: PredictedFront;
  readonly surrogates: readonly Surrogate[];
}

/** @throws FRONT_NOT_READY when too little is measured, or a surrogate explains nothing */
export function requireServing(services: Services, known: KnownStudy): ServingFit {
  const { front, ...fit } = requireFit(services, known);
  if (front !== undefined) return { ...fit, front };
  throw new TributaryError('FRONT_NOT_READY', {
    what: `The surrogates of round ${known.round.name} are not good enough to answer this`,
    expected: `a held-out R2 of at least ${known.spec.surrogate.minR2} in every task`,
    got: services.fronts.warnings(known.round.name).join('; '),
    fix: 'Ask for measured points (query), or measure more candidates.',
  });
}

/** Of one front; a question that is asked again costs nothing. */
const MOST_ANSWERS = 256;

export class Answers {
  readonly #services: Services;
  /** By front as it is sent, then by question. */
  readonly #answers = new WeakMap<Front, Map<string, QueryResponse>>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** @throws FRONT_NOT_READY, USAGE, NO_SUCH_POINT */
  query(known: KnownStudy, by: QueryRequest['by']): QueryResponse {
    const question = questionOf(by);
    const front = this.#services.fronts.message(known.round.name);
    let answers = this.#answers.get(front);
    if (answers === undefined) this.#answers.set(front, (answers = new Map()));
    const key = JSON.stringify(question);
    const before = answers.get(key);
    if (before !== undefined) return before;
    const answer = this.#answer(known, question, front);
    if (answers.size >= MOST_ANSWERS) answers.clear();
    answers.set(key, answer);
    return answer;
  }

  #answer(known: KnownStudy, question: Question, message: Front): QueryResponse {
    const { fronts } = this.#services;
    const { spec, round } = known;
    const { front, surrogates } = requireFit(this.#services, known);
    const { candidates } = fronts.get(round.name);
    const best = bestMeasured(question, spec.tasks, candidates);
    const bestPoint = best === undefined ? undefined : message.measured.find(({ candidate }) => candidate === best.id);
    const { version, warnings } = message;
    if (front === undefined) {
      if (bestPoint === undefined)
        throw new TributaryError('NO_SUCH_POINT', { what: 'No measured point answers this, and none is predicted' });
      return QueryResponse.fromPartial({ point: bestPoint, bestMeasured: bestPoint, version, warnings });
    }
    const { point, score } = choose(question, { tasks: spec.tasks, dimensions: spec.dimensions, surrogates, front });
    return QueryResponse.fromPartial({
      point: predictedMessage(point),
      ...(bestPoint === undefined ? {} : { bestMeasured: bestPoint }),
      score: question.by === 'preference' ? score : 0,
      version,
      warnings,
    });
  }
}
