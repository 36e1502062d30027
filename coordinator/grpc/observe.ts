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
      const stopping = services.stopping.aborted && isAbortError(error) && !context.signal.aborted;
      if (error instanceof ServerError || (isAbortError(error) && !stopping)) {
        end({ status: error instanceof ServerError ? (Status[error.code] ?? 'UNKNOWN') : 'CANCELLED' });
        throw error;
      }
      const known = stopping
        ? new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator is shutting down' })
        : toTributaryError(error);
      end({ status: known.entry.status });
      const log = known.code === 'INTERNAL' || known.code === 'IO_ERROR' ? 'error' : 'info';
      services.logger[log]({ method, code: known.code, ...(log === 'error' ? { err: error } : {}) }, known.message);
      setErrorTrailer(context.trailer, known);
      throw new ServerError(GRPC_STATUS[known.entry.status], `${known.code}: ${known.message}`);
    }
  };
}
