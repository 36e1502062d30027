/** A coordinator in this process, typed clients for studies and fronts, and agents whose metrics are known functions of the coefficients. */

import { pino } from 'pino';
import { type Connection, connect } from '../../client/api/connection.js';
import { loadConfig } from '../../coordinator/config.js';
import { type Coordinator, startCoordinator } from '../../coordinator/coordinator.js';
import { type EvaluationLease, MetricReport, type Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { eventually } from './eventually.js';

export interface RunningCoordinator extends Coordinator {
  readonly address: string;
}

export async function startInProcess(data: string, settings: Readonly<Record<string, unknown>> = {}): Promise<RunningCoordinator> {
  const flags = { data, listen: '127.0.0.1:0', http: '127.0.0.1:0', threads: 1, ...settings };
  const coordinator = await startCoordinator(loadConfig({ environment: {}, flags }), pino({ level: 'silent' }));
  return { ...coordinator, address: `127.0.0.1:${coordinator.grpcPort}` };
}

export type StudyClients = Connection;

export const connectStudy = (address: string, token?: string): StudyClients => connect({ server: address, token, tls: undefined });

/** By task, of the coefficients. */
export type KnownMetrics = Readonly<Record<string, (coefficients: readonly number[]) => number>>;

/** Distance from 1 falls with the square of the distance from a contributor's own corner. */
export const twoTasks: KnownMetrics = {
  alpha: ([a = 0, b = 0]) => 1 - (a - 1) ** 2 - b ** 2,
  beta: ([a = 0, b = 0]) => 1 - a ** 2 - (b - 1) ** 2,
};

export interface AgentOptions {
  readonly agent: string;
  readonly metrics: KnownMetrics;
  readonly round?: string;
  readonly most?: number;
  readonly waitSeconds?: number;
  /** Ends the agent before it takes another lease. */
  readonly until?: () => boolean | Promise<boolean>;
  readonly signal?: AbortSignal;
}

export async function lease({ evaluations }: StudyClients, options: AgentOptions): Promise<EvaluationLease[]> {
  const { agent, metrics, round = '', most = 8, waitSeconds = 0, signal } = options;
  const request = { agent, round, tasks: Object.keys(metrics), most, waitSeconds };
  return (await evaluations.lease(request, signal === undefined ? {} : { signal })).leases;
}

export async function report(clients: StudyClients, { agent, metrics }: AgentOptions, one: EvaluationLease): Promise<boolean> {
  const value = metrics[one.task]?.(one.coefficients) ?? Number.NaN;
  const { leaseId, round, candidate, task } = one;
  const outcome = { $case: 'measured' as const, value: MetricReport.fromPartial({ value, count: 100n }) };
  return (await clients.evaluations.report({ agent, leaseId, round, candidate, task, outcome })).counted;
}

/** Measures until nothing is left, or `until` says so. @returns how many reports counted */
export async function runAgent(clients: StudyClients, options: AgentOptions): Promise<number> {
  let counted = 0;
  for (;;) {
    if ((await options.until?.()) === true) return counted;
    const leases = await lease(clients, options);
    if (leases.length === 0 && options.until === undefined) return counted;
    for (const one of leases) if (await report(clients, options, one)) counted++;
  }
}

/** Runs an agent until the study is no longer evaluating. */
export async function measureAll(clients: StudyClients, options: AgentOptions & { readonly round: string }): Promise<Study> {
  const state = async (): Promise<StudyState> => (await clients.evaluations.getStudy({ round: options.round })).state;
  await runAgent(clients, {
    ...options,
    waitSeconds: options.waitSeconds ?? 1,
    until: async () => (await state()) !== StudyState.EVALUATING,
  });
  return clients.evaluations.getStudy({ round: options.round });
}

export async function studyIs(clients: StudyClients, round: string, state: StudyState): Promise<Study> {
  return eventually(`the study of ${round}`, async () => {
    const study = await clients.evaluations.getStudy({ round });
    return study.state === state ? study : undefined;
  });
}
