/** Around every call: the caller is known, errors leave as our codes in a trailer, durations are measured, defects are logged. */
import { isAbortError } from 'abort-controller-x';
import { type CallContext, ServerError, type ServerMiddlewareCall, Status } from 'nice-grpc-common';
import { GRPC_STATUS } from '../../shared/errors/catalogue.js';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { setErrorTrailer } from '../../shared/grpc/error-trailer.js';
import type { Services } from '../services.js';
import { requireToken, tokenOf } from './identity.js';

/** Health and reflection answer anyone. */
const OURS = '/tributary.';

/** What a caller is told about a failure. */
export interface Failure {
  readonly status: Status;
  readonly message: string;
  /** For the trailer; absent when gRPC itself refused or the caller went away. */
  readonly error?: TributaryError;
}

/** Translates whatever a handler threw, and logs it if somebody should know. `signal` is aborted when the caller went away. */
export function failureOf(services: Services, method: string, error: unknown, signal: AbortSignal): Failure {
  if (error instanceof ServerError) return { status: error.code, message: error.details };
  const stopping = services.stopping.aborted && isAbortError(error) && !signal.aborted;
  if (isAbortError(error) && !stopping) return { status: Status.CANCELLED, message: 'The operation was cancelled' };
  const known = stopping
    ? new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator is shutting down' })
    : toTributaryError(error);
  const log = known.code === 'INTERNAL' || known.code === 'IO_ERROR' ? 'error' : 'info';
  services.logger[log]({ method, code: known.code, ...(log === 'error' ? { err: error } : {}) }, known.message);
  return { status: GRPC_STATUS[known.entry.status], message: `${known.code}: ${known.message}`, error: known };
}

/** Name of a status as metrics have it. */
export function statusName(status: Status): string {
  return Status[status] ?? 'UNKNOWN';
}

export function observe(services: Services) {
  return async function* <Request, Response>(
    call: ServerMiddlewareCall<Request, Response>,
    context: CallContext,
  ): AsyncGenerator<Response, Response | void, undefined> {
    const method = call.method.path.slice(call.method.path.lastIndexOf('.') + 1);
    const end = services.metrics.rpcs.startTimer({ method });
    try {
      if (call.method.path.startsWith(OURS)) requireToken(services.config, tokenOf(context), '');
      const result = yield* call.next(call.request, context);
      end({ status: 'OK' });
      return result;
    } catch (error) {
      const failure = failureOf(services, method, error, context.signal);
      end({ status: statusName(failure.status) });
      if (failure.error === undefined) throw error;
      setErrorTrailer(context.trailer, failure.error);
      throw new ServerError(failure.status, failure.message);
    }
  };
}
