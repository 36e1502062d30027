/** The EvaluationService. What may happen when lives in states.ts and study-store.ts; this maps calls to them. */
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import type {
  EvaluationLease,
  EvaluationServiceImplementation,
  LeaseRequest,
  LeaseResponse,
  ReportRequest,
  ReportResponse,
} from '../../shared/generated/tributary/v1/evaluations.js';
import { fromErrorInfo } from '../../shared/grpc/error-trailer.js';
import { suggest } from '../../shared/util/suggest.js';
import { requireOperator, requireToken, tokenOf } from '../grpc/identity.js';
import type { Services } from '../services.js';
import type { KnownStudy } from './known-studies.js';
import { tasksFor } from './lease-desk.js';
import { candidateMessages, studyMessage, wantsGradient } from './messages.js';
import { checkMetric } from './metric-check.js';
import { candidateReference } from './references.js';
import type { Lease, Pair } from './study-rows.js';

const LONGEST_WAIT_SECONDS = 30;

/** No agent measures more at a time. */
const MOST_LEASES = 256;

export function evaluationService(services: Services): EvaluationServiceImplementation {
  return {
    getStudy: async ({ round }) => studyMessage(services, services.knownStudies.get(round)),
    listStudies: async ({ agent }) => {
      const known = services.studies.list().map(({ round }) => services.knownStudies.get(round));
      const ours = agent === '' ? known : known.filter((study) => mayMeasure(study, agent));
      return { studies: ours.map((study) => studyMessage(services, study)) };
    },
    lease: async (request, context) => {
      requireAgent(services, tokenOf(context), request.agent);
      return lease(services, request, AbortSignal.any([context.signal, services.stopping]));
    },
    heartbeat: async ({ agent, leaseIds }, context) => {
      requireAgent(services, tokenOf(context), agent);
      const held = services.studies.heartbeat(agent, leaseIds, services.config.leaseSeconds * 1000);
      for (const { round, task } of held) services.desk.noteAsked(round, [task]);
      return { leaseIds: held.map((row) => row.lease ?? '') };
    },
    report: async (request, context) => {
      requireAgent(services, tokenOf(context), request.agent);
      return report(services, request);
    },
    stopStudy: async ({ round }, context) => {
      requireOperator(services.config, tokenOf(context));
      const known = services.knownStudies.get(round);
      services.studies.change(round, 'stop_requested');
      services.logger.info({ round }, 'study stopped');
      return studyMessage(services, known);
    },
    listCandidates: async function* ({ round }) {
      yield* candidateMessages(services, services.knownStudies.get(round));
    },
  };
}

function mayMeasure({ spec }: KnownStudy, agent: string): boolean {
  return spec.tasks.some(({ owner }) => owner === undefined || owner === agent);
}

/** @throws USAGE without a name, UNAUTHENTICATED, PERMISSION_DENIED */
function requireAgent({ config }: Services, token: string | undefined, agent: string): void {
  if (agent === '')
    throw new TributaryError('USAGE', { what: 'The call does not say which agent makes it', fix: 'Give the agent a name.' });
  requireToken(config, token, agent);
}

async function lease(services: Services, request: LeaseRequest, signal: AbortSignal): Promise<LeaseResponse> {
  if (request.tasks.length === 0)
    throw new TributaryError('USAGE', { what: 'The agent offers to measure nothing', expected: 'names of tasks', fix: 'Name its tasks.' });
  const leases = await services.desk.lease(
    {
      agent: request.agent,
      round: request.round,
      tasks: request.tasks,
      most: Math.min(MOST_LEASES, Math.max(1, request.most)),
      waitMs: Math.min(LONGEST_WAIT_SECONDS, request.waitSeconds) * 1000,
    },
    signal,
  );
  for (const { round } of leases) services.notices.touch(round);
  return { leases: leases.map((one) => leaseMessage(services, one)) };
}

function leaseMessage(services: Services, { lease: leaseId, round, candidate, task: number, attempt }: Lease): EvaluationLease {
  const { spec, map } = services.knownStudies.get(round);
  const { name = '', metric = '' } = spec.tasks[number] ?? {};
  return {
    leaseId,
    round,
    candidate,
    task: name,
    metric,
    coefficients: services.studies.coefficients(round, candidate) ?? [],
    model: map.access === 'served' ? candidateReference(round, candidate) : '',
    attempt,
    wantsGradient: wantsGradient(spec, number),
  };
}

/** @throws USAGE for a pair that is not wanted, PERMISSION_DENIED for the task of another agent */
function pairOf(services: Services, { agent, round, candidate, task: name }: ReportRequest): { known: KnownStudy; pair: Pair } {
  const known = services.knownStudies.get(round);
  const { tasks } = known.spec;
  const task = tasks.findIndex((one) => one.name === name);
  if (task < 0) {
    const near = suggest(
      name,
      tasks.map((one) => one.name),
    );
    throw new TributaryError('USAGE', {
      what: `Round ${round} has no task ${name}`,
      expected: tasks.map((one) => one.name).join(', '),
      fix: near === undefined ? undefined : `Did you mean ${near}?`,
    });
  }
  const owner = tasks[task]?.owner;
  if (tasksFor(known, agent, [name]).length === 0)
    throw new TributaryError('PERMISSION_DENIED', {
      what: `Task ${name} is measured by ${owner}`,
      expected: `a report of ${owner}`,
      got: agent,
    });
  const pair = { round, candidate, task };
  if (services.studies.pair(pair) === undefined)
    throw new TributaryError('USAGE', { what: `Round ${round} wants no measurement of task ${name} of candidate ${candidate}` });
  return { known, pair };
}

function report(services: Services, request: ReportRequest): ReportResponse {
  const { known, pair } = pairOf(services, request);
  const { studies, metrics, measured } = services;
  const { outcome } = request;
  const fail = (error: TributaryError, result: 'failed' | 'refused'): boolean => {
    const counted = studies.fail(pair, request.leaseId, error.toJSON());
    if (counted) metrics.evaluations.inc({ result });
    if (counted) measured.emit({ ...pair, measured: false });
    services.desk.ring();
    return counted;
  };
  switch (outcome?.$case) {
    case 'failed':
      return { counted: fail(fromErrorInfo(outcome.value), 'failed') };
    case 'measured': {
      let checked: ReturnType<typeof checkMetric>;
      try {
        checked = checkMetric(known.spec, pair.task, outcome.value);
      } catch (error) {
        fail(toTributaryError(error), 'refused');
        throw error;
      }
      const counted = studies.record(pair, request.agent, checked);
      metrics.evaluations.inc({ result: counted ? 'measured' : 'repeated' });
      if (counted) measured.emit({ ...pair, measured: true });
      return { counted };
    }
    case undefined:
      throw new TributaryError('USAGE', { what: 'The report says neither a metric nor an error' });
  }
}
