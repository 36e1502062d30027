/** Around every call: errors leave as our codes in a trailer, durations are measured, defects are logged. */
import { isAbortError } from 'abort-controller-x';
import { type CallContext, ServerError, type ServerMiddlewareCall, Status } from 'nice-grpc-common';
import { GRPC_STATUS } from '../../shared/errors/catalogue.js';
import { type TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { setErrorTrailer } from '../../shared/grpc/error-trailer.js';
import type { Services } from '../services.js';

/** What a caller is told about a failure. */
export interface Failure {
  readonly status: Status;
  readonly message: string;
  /** For the trailer; absent when gRPC itself refused or the caller went away. */
  readonly error?: TributaryError;
}

/** Translates whatever a handler threw, and logs it if somebody should know. */
export function failureOf(services: Services, method: string, error: unknown): Failure {
  if (error instanceof ServerError) return { status: error.code, message: error.details };
  if (isAbortError(error)) return { status: Status.CANCELLED, message: 'The operation was cancelled' };
  const known = toTributaryError(error);
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
      const result = yield* call.next(call.request, context);
      end({ status: 'OK' });
      return result;
    } catch (error) {
      const failure = failureOf(services, method, error);
      end({ status: statusName(failure.status) });
      if (failure.error === undefined) throw error;
      setErrorTrailer(context.trailer, failure.error);
      throw new ServerError(failure.status, failure.message);
    }
  };
}
