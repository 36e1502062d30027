/** The gRPC face: five services, health and reflection on one port. */
import { readFileSync } from 'node:fs';
import { ServerCredentials } from '@grpc/grpc-js';
import { createServer, type Server } from 'nice-grpc';
import { HealthDefinition, HealthServiceImpl, HealthState } from 'nice-grpc-server-health';
import { ServerReflection, ServerReflectionService } from 'nice-grpc-server-reflection';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { EvaluationServiceDefinition } from '../../shared/generated/tributary/v1/evaluations.js';
import { ModelServiceDefinition } from '../../shared/generated/tributary/v1/models.js';
import { ParetoServiceDefinition } from '../../shared/generated/tributary/v1/pareto.js';
import { RoundServiceDefinition } from '../../shared/generated/tributary/v1/rounds.js';
import { TransferServiceDefinition } from '../../shared/generated/tributary/v1/transfers.js';
import type { CoordinatorConfig } from '../config.js';
import { evaluationService } from '../evaluation/service.js';
import { download } from '../models/download.js';
import { modelService } from '../models/service.js';
import { sendFront, sendQuery } from '../pareto/quick-calls.js';
import { paretoService } from '../pareto/service.js';
import { roundService } from '../rounds/service.js';
import type { Services } from '../services.js';
import { transferService } from '../transfers/service.js';
import { write } from '../transfers/write.js';
import { hookHttp2Servers, RAW_METHODS, type RawMethods } from './http2-hooks.js';
import { observe } from './observe.js';
import { createRawCalls, type RawCall, type RawMethodOptions } from './raw-call.js';

export interface GrpcFace {
  readonly port: number;
  setServing(serving: boolean): void;
  /** Waits for calls to end, at most `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

const SERVICES = [
  TransferServiceDefinition.fullName,
  RoundServiceDefinition.fullName,
  ModelServiceDefinition.fullName,
  EvaluationServiceDefinition.fullName,
  ParetoServiceDefinition.fullName,
];

export async function startGrpc(services: Services): Promise<GrpcFace> {
  hookHttp2Servers();
  const health = HealthState();
  const raw = createRawCalls(services);
  const rawMethod = (service: string, method: string, body: (call: RawCall) => Promise<void>, options?: RawMethodOptions) => {
    const path = `/${service}/${method}`;
    return [path, raw.method(path, body, options)] as const;
  };
  const { fullName: pareto, methods: questions } = ParetoServiceDefinition;
  const rawMethods: RawMethods = new Map([
    rawMethod(TransferServiceDefinition.fullName, TransferServiceDefinition.methods.write.name, (call) => write(services, call)),
    rawMethod(ModelServiceDefinition.fullName, ModelServiceDefinition.methods.download.name, (call) => download(services, call)),
    rawMethod(pareto, questions.getFront.name, (call) => sendFront(services, call), { compressedByGrpcJs: true }),
    rawMethod(pareto, questions.query.name, (call) => sendQuery(services, call), { compressedByGrpcJs: true }),
  ]);
  const server = createServer({
    // Clients ping every 30 s so that dead lines are noticed; the default would answer that with too_many_pings.
    'grpc.http2.min_ping_interval_without_data_ms': 10_000,
    'grpc.keepalive_permit_without_calls': 1,
    [RAW_METHODS]: rawMethods,
  });
  const observed = server.use(observe(services));
  observed.add(TransferServiceDefinition, transferService(services));
  observed.add(RoundServiceDefinition, roundService(services));
  observed.add(ModelServiceDefinition, modelService(services));
  observed.add(EvaluationServiceDefinition, evaluationService(services));
  observed.add(ParetoServiceDefinition, paretoService(services));
  observed.add(HealthDefinition, HealthServiceImpl(health));
  observed.add(
    ServerReflectionService,
    ServerReflection(readFileSync(new URL('../../shared/generated/tributary.protoset', import.meta.url)), SERVICES),
  );
  const port = await listen(observed, services.config);
  const setServing = (serving: boolean): void => {
    for (const name of ['', ...SERVICES]) health.setStatus(serving ? 'healthy' : 'unhealthy', name);
  };
  return {
    port,
    setServing,
    stop: async (graceMs) => {
      setServing(false);
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), graceMs);
      });
      const outcome = await Promise.race([observed.shutdown().then(() => 'done' as const), patience]);
      clearTimeout(timer);
      if (outcome === 'late') observed.forceShutdown();
      await raw.settled();
    },
  };
}

async function listen(server: Server, config: CoordinatorConfig): Promise<number> {
  try {
    return await server.listen(config.listen, credentialsOf(config));
  } catch (error) {
    throw portError(error, config.listen);
  }
}

/** grpc-js reports a taken port as text, net as a code. */
export function portError(error: unknown, address: string): unknown {
  if (!(error instanceof Error) || !/EADDRINUSE/.test(`${(error as NodeJS.ErrnoException).code} ${error.message}`)) return error;
  return new TributaryError(
    'PORT_IN_USE',
    {
      what: 'The address is in use',
      where: address,
      expected: 'a free port',
      fix: 'Stop the other program, or choose another with --listen or --http (port 0: any free one).',
    },
    { cause: error },
  );
}

function credentialsOf(config: CoordinatorConfig): ServerCredentials {
  if (config.tls === undefined) return ServerCredentials.createInsecure();
  const clientCa = config.tls.clientCa === undefined ? null : readFileSync(config.tls.clientCa);
  const pair = { cert_chain: readFileSync(config.tls.cert), private_key: readFileSync(config.tls.key) };
  return ServerCredentials.createSsl(clientCa, [pair], clientCa !== null);
}
