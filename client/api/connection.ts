/** One connection to a coordinator: typed clients, credentials on every call, and errors as TributaryErrors. */
import { readFileSync } from 'node:fs';
import { ChannelCredentials, Client as GrpcClient } from '@grpc/grpc-js';
import { type Client, type ClientMiddlewareCall, createChannel, createClientFactory } from 'nice-grpc';
import { type CallOptions, ClientError, Metadata } from 'nice-grpc-common';
import type { TributaryError } from '../../shared/errors/tributary-error.js';
import { EvaluationServiceDefinition } from '../../shared/generated/tributary/v1/evaluations.js';
import { ModelServiceDefinition } from '../../shared/generated/tributary/v1/models.js';
import { ParetoServiceDefinition } from '../../shared/generated/tributary/v1/pareto.js';
import { RoundServiceDefinition } from '../../shared/generated/tributary/v1/rounds.js';
import { TransferServiceDefinition } from '../../shared/generated/tributary/v1/transfers.js';
import { fromBareStatus, readErrorTrailer } from '../../shared/grpc/error-trailer.js';
import type { ClientSettings } from '../settings.js';
import { createWriteCall, type WriteCall } from './write-call.js';

export interface Connection {
  readonly server: string;
  readonly transfers: Omit<Client<typeof TransferServiceDefinition>, 'write'> & { readonly write: WriteCall };
  readonly rounds: Client<typeof RoundServiceDefinition>;
  readonly models: Client<typeof ModelServiceDefinition>;
  readonly evaluations: Client<typeof EvaluationServiceDefinition>;
  readonly pareto: Client<typeof ParetoServiceDefinition>;
  close(): void;
}

/** Receive window of downloads: what four parallel streams need at 40 ms and 400 MB/s. */
const WINDOW_BYTES = 16 * 1024 * 1024;

export function connect(settings: Pick<ClientSettings, 'server' | 'token' | 'tls'>): Connection {
  const credentials = credentialsOf(settings.tls);
  const channel = createChannel(settings.server, credentials, {
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 20_000,
    // Reconnecting is our callers' decision; gRPC's own back-off would make them wait up to two minutes.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc.enable_retries': 0,
  });
  const factory = createClientFactory().use(translateErrors(settings));
  return {
    server: settings.server,
    transfers: {
      ...factory.create(TransferServiceDefinition, channel),
      write: createWriteCall(new GrpcClient(settings.server, credentials, { channelOverride: channel }), settings),
    },
    rounds: factory.create(RoundServiceDefinition, channel),
    models: factory.create(ModelServiceDefinition, channel),
    evaluations: factory.create(EvaluationServiceDefinition, channel),
    pareto: factory.create(ParetoServiceDefinition, channel),
    close: () => channel.close(),
  };
}

function credentialsOf(tls: ClientSettings['tls']): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  const read = (path: string | undefined): Buffer | null => (path === undefined ? null : readFileSync(path));
  return ChannelCredentials.createSsl(read(tls.ca), read(tls.key), read(tls.cert));
}

function translateErrors(settings: Pick<ClientSettings, 'server' | 'token'>) {
  return async function* <Request, Response>(
    call: ClientMiddlewareCall<Request, Response>,
    options: CallOptions,
  ): AsyncGenerator<Response, Response | void, undefined> {
    const metadata = Metadata(options.metadata);
    if (settings.token !== undefined) metadata.set('authorization', `Bearer ${settings.token}`);
    let fromTrailer: TributaryError | undefined;
    const onTrailer = (trailer: Metadata): void => {
      fromTrailer = readErrorTrailer(trailer);
    };
    try {
      return yield* call.next(call.request, { ...options, metadata, onTrailer });
    } catch (error) {
      if (fromTrailer !== undefined) throw fromTrailer;
      if (error instanceof ClientError) throw fromBareStatus(error.code, error.details, settings.server);
      throw error;
    }
  };
}
