/** The ParetoService. Everything but Attribute and WhatIf is answered from memory at once; these are computed in the thread of fits, and remembered. */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import {
  type AttributeRequest,
  type AttributeResponse,
  type Front,
  type Materialisation,
  type MaterialiseRequest,
  type ParetoServiceImplementation,
  type QueryRequest,
  type QueryResponse,
  type WhatIfRequest,
} from '../../shared/generated/tributary/v1/pareto.js';
import { checkCoefficients, type KnownStudy } from '../evaluation/known-studies.js';
import { requireOperator, tokenOf } from '../grpc/identity.js';
import type { Services } from '../services.js';
import { materialisationMessage, whatIfMessage } from './messages.js';

export function paretoService(services: Services): ParetoServiceImplementation {
  return {
    getFront: async ({ round }) => getFront(services, round),
    query: async (request) => answerQuery(services, request),
    attribute: async (request) => attributeAt(services, request),
    whatIf: async (request) => frontWithout(services, request),
    materialise: async (request, context) => {
      requireOperator(services.config, tokenOf(context));
      return materialise(services, request);
    },
  };
}

export function getFront(services: Services, round: string): Front {
  const end = services.metrics.querySeconds.startTimer({ kind: 'front' });
  try {
    return services.fronts.message(round);
  } finally {
    end();
  }
}

export function answerQuery(services: Services, { round, by }: QueryRequest): QueryResponse {
  const end = services.metrics.querySeconds.startTimer({ kind: by?.$case ?? 'none' });
  try {
    return services.answers.query(services.knownStudies.get(round), by);
  } finally {
    end();
  }
}

export async function attributeAt(
  services: Services,
  { round, coefficients }: Pick<AttributeRequest, 'round' | 'coefficients'>,
): Promise<AttributeResponse> {
  const end = services.metrics.querySeconds.startTimer({ kind: 'attribute' });
  try {
    const known = services.knownStudies.get(round);
    const at = coefficients.length === 0 ? averageOf(known) : checkCoefficients(known, coefficients);
    const { version } = services.fronts.get(round);
    const attributions = await services.longAnswers.attribute(known, at);
    return { attributions: attributions.map((one) => ({ ...one })), version, coefficients: at };
  } finally {
    end();
  }
}

/** The uniform soup, as far as the box reaches; parameters as plain merging has them. */
function averageOf({ spec: { contributors, dimensions } }: KnownStudy): number[] {
  return dimensions.map(({ contributor, lower, upper, neutral }) =>
    Math.min(upper, Math.max(lower, contributor === undefined ? neutral : 1 / contributors.length)),
  );
}

async function frontWithout(services: Services, { round, without }: WhatIfRequest): Promise<Front> {
  const end = services.metrics.querySeconds.startTimer({ kind: 'what_if' });
  try {
    const known = services.knownStudies.get(round);
    const names = [...new Set(without)].sort();
    const { contributors } = known.spec;
    if (names.length === 0 || contributors.every((contributor) => names.includes(contributor)))
      throw new TributaryError('USAGE', {
        what: 'A front without some contributions leaves out one at least, and not all',
        expected: `some of ${contributors.join(', ')}`,
        got: names.join(', '),
      });
    const front = services.fronts.message(round);
    return whatIfMessage(front, await services.longAnswers.whatIf(known, names), names);
  } finally {
    end();
  }
}

/** @throws NAME_TAKEN, USAGE, FRONT_NOT_READY, NO_SUCH_POINT */
function materialise(services: Services, request: MaterialiseRequest): Materialisation {
  const { round, name, coefficients, query, unmeasured } = request;
  const known = services.knownStudies.get(round);
  services.names.check(name, 'the name of a model');
  const message = (): Materialisation => {
    const row = services.materialisations.find(name);
    if (row === undefined) throw new TributaryError('INTERNAL', { what: `There is no materialisation ${name}` });
    return materialisationMessage(services, known, row);
  };
  const isAsked = coefficients.length > 0 || query !== undefined;
  const existing = services.materialisations.find(name);
  if (existing !== undefined) {
    const own = services.studies.coefficients(existing.round, existing.candidate) ?? [];
    if (existing.round !== round || (coefficients.length > 0 && JSON.stringify(coefficients) !== JSON.stringify(own)))
      throw new TributaryError('NAME_TAKEN', {
        what: `${name} is another point${existing.round === round ? '' : ` of round ${existing.round}`}`,
        expected: own.join(', '),
        got: coefficients.join(', '),
        fix: `Choose another name, or go on with that point: --at ${atText(services, existing.round, own)}`,
      });
    // Asking again for what failed tries again; asking how far it is does not.
    if (existing.state === 'failed' && isAsked) services.materialisations.change(name, 'failed', 'merging');
    else if (existing.state === 'evaluating' && unmeasured) services.materialisations.change(name, 'evaluating', 'merging');
    services.materialiser.advance(name);
    return message();
  }
  if (!isAsked)
    throw new TributaryError('MODEL_NOT_FOUND', {
      what: `No point of round ${round} is being published as ${name}`,
      expected: 'coefficients, or a query',
    });
  services.names.requireFree(name);
  const point = coefficients.length > 0 ? coefficients : pointOf(services, known, query);
  const taskCount = known.spec.tasks.length;
  // What was measured may lie outside of the box, as single models do in a small one.
  const isMeasured = services.studies.findWhole(round, point, taskCount) !== undefined;
  const checked = isMeasured ? point : checkCoefficients(known, point);
  services.materialisations.create({ name, round, coefficients: checked, taskCount, unmeasured });
  services.logger.info({ round, model: name, unmeasured }, 'point chosen');
  services.materialiser.advance(name);
  return message();
}

/** Coefficients as the command line takes them. */
function atText(services: Services, round: string, coefficients: readonly number[]): string {
  const { dimensions } = services.knownStudies.get(round).spec;
  return dimensions.map(({ name }, index) => `${name}=${coefficients[index] ?? 0}`).join(',');
}

function pointOf(services: Services, known: KnownStudy, query: MaterialiseRequest['query']): readonly number[] {
  const { point } = services.answers.query(known, query?.by);
  return point?.coefficients ?? [];
}
