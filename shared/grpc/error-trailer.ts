/** How a TributaryError crosses gRPC: status and message for anyone, and an ErrorInfo in a binary trailer for our own clients. */
import type { Metadata, MetadataValue } from 'nice-grpc-common';
import { GRPC_STATUS, isErrorCode } from '../errors/catalogue.js';
import { deserializeError, type ErrorDetails, TributaryError } from '../errors/tributary-error.js';
import { ErrorInfo } from '../generated/tributary/v1/common.js';

export const ERROR_TRAILER = 'tributary-error-bin';

export function toErrorInfo(error: TributaryError): ErrorInfo {
  const { what, where = '', expected = '', got = '', fix = '' } = error.details;
  return { code: error.code, what, where, expected, got, fix };
}

export function fromErrorInfo(info: ErrorInfo): TributaryError {
  const text = (value: string): string | undefined => (value === '' ? undefined : value);
  const details: ErrorDetails = {
    what: info.what,
    where: text(info.where),
    expected: text(info.expected),
    got: text(info.got),
    fix: text(info.fix),
  };
  return deserializeError({ code: info.code, details });
}

export function setErrorTrailer(trailer: Metadata, error: TributaryError): void {
  trailer.set(ERROR_TRAILER, ErrorInfo.encode(toErrorInfo(error)).finish());
}

/** The trailer's value as HTTP/2 carries binary metadata. */
export function encodeErrorTrailer(error: TributaryError): string {
  return Buffer.from(ErrorInfo.encode(toErrorInfo(error)).finish()).toString('base64');
}

/** The error a trailer carries, if it carries one. */
export function readErrorTrailer(trailer: Metadata): TributaryError | undefined {
  const value: MetadataValue<typeof ERROR_TRAILER> | undefined = trailer.get(ERROR_TRAILER);
  return value === undefined ? undefined : decodeErrorTrailer(value);
}

export function decodeErrorTrailer(value: Uint8Array): TributaryError {
  return fromErrorInfo(ErrorInfo.decode(value));
}

/** For a status without our trailer (a proxy, a foreign server, a broken connection). */
export function fromBareStatus(status: number, message: string, server: string): TributaryError {
  if (status === GRPC_STATUS.UNAVAILABLE || status === GRPC_STATUS.ABORTED) {
    return new TributaryError('COORDINATOR_UNAVAILABLE', {
      what: `The coordinator did not answer: ${message}`,
      where: server,
      fix: 'Check that it runs and that --server (or TRIBUTARY_SERVER) names it.',
    });
  }
  const name = Object.entries(GRPC_STATUS).find(([, code]) => code === status)?.[0];
  if (name !== undefined && isErrorCode(name)) return new TributaryError(name, { what: message, where: server });
  return new TributaryError('INTERNAL', { what: `gRPC status ${name ?? status}: ${message}`, where: server });
}
