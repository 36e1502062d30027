/** Studies and fronts over HTTP, for dashboards and scripts: what the gRPC services answer, as JSON, under the same tokens. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { GrpcStatusName } from '../../shared/errors/catalogue.js';
import { toTributaryError } from '../../shared/errors/tributary-error.js';
import { FrontState } from '../../shared/generated/tributary/v1/pareto.js';
import { candidateMessages, studyMessage } from '../evaluation/messages.js';
import { requireToken } from '../grpc/identity.js';
import { answerQuery, attributeAt, getFront } from '../pareto/service.js';
import type { Services } from '../services.js';
import { type EnumNames, enumNames, protoJson, STUDY_STATES } from './proto-json.js';
import { type Parameters, readNumber, readParameters, readQuestion, requireKnown } from './query-string.js';

/** As google.rpc.Code maps them. */
const HTTP_STATUS: Readonly<Record<GrpcStatusName, number>> = {
  CANCELLED: 499,
  INVALID_ARGUMENT: 400,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

const FRONT_STATES = enumNames('FRONT_STATE', FrontState);

interface Asked {
  readonly round: string;
  readonly parameters: Parameters;
}

interface Resource {
  /** Parameters it knows; undefined: it checks them itself. */
  readonly known?: readonly string[];
  readonly state?: EnumNames;
  readonly answer: (services: Services, asked: Asked) => unknown;
}

const RESOURCES: Readonly<Record<string, Resource>> = {
  front: { known: [], state: FRONT_STATES, answer: (services, { round }) => getFront(services, round) },
  query: { answer: (services, { round, parameters }) => answerQuery(services, { round, by: readQuestion(parameters) }) },
  study: { known: [], state: STUDY_STATES, answer: (services, { round }) => studyMessage(services, services.knownStudies.get(round)) },
  candidates: {
    known: [],
    answer: (services, { round }) => ({ candidates: candidateMessages(services, services.knownStudies.get(round)) }),
  },
  attribute: {
    known: ['coefficients'],
    answer: (services, { round, parameters: { coefficients } }) =>
      attributeAt(services, { round, coefficients: coefficients?.split(',').map((text) => readNumber(text, 'A coefficient')) ?? [] }),
  },
};

export function addApi(app: FastifyInstance, services: Services): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply, resource: Resource): Promise<unknown> => {
    try {
      requireToken(services.config, request.headers.authorization?.replace(/^Bearer /i, ''), '');
      const { round } = request.params as { round: string };
      const parameters = readParameters(request.query);
      if (resource.known !== undefined) requireKnown(parameters, resource.known);
      return protoJson(await resource.answer(services, { round, parameters }), resource.state);
    } catch (error) {
      const { code, details, entry } = toTributaryError(error);
      if (entry.status === 'INTERNAL') services.logger.error({ path: request.url, err: error }, 'an HTTP call failed');
      return reply.code(HTTP_STATUS[entry.status]).send({ error: { code, ...details } });
    }
  };
  for (const [name, resource] of Object.entries(RESOURCES))
    app.get(`/api/v1/rounds/:round/${name}`, async (request, reply) => answer(request, reply, resource));
}
