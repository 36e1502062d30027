/**
 * A gRPC call served from its HTTP/2 stream. For the methods that move weights: grpc-js joins the bytes of every message into a new buffer,
 * which at hundreds of megabytes a second is most of the work: memory is mapped, filled and collected for nothing. And for questions that
 * are answered from memory, where its layers are a good part of the work. On the line it is plain gRPC: same headers, frames,
 * status, trailers and deadlines as the methods that grpc-js serves.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { ServerError, Status } from 'nice-grpc-common';
import { ERROR_TRAILER, encodeErrorTrailer } from '../../shared/grpc/error-trailer.js';
import { FRAME_PREFIX_BYTES, frameOf } from '../../shared/transfer/grpc-frame.js';
import type { Services } from '../services.js';
import type { RawMethod } from './http2-hooks.js';
import { failureOf, statusName } from './observe.js';

export interface RawCall {
  /** To read from. Paused until something listens to `data`; `close` comes at every end. */
  readonly stream: ServerHttp2Stream;
  readonly token: string | undefined;
  /** Aborted when the caller went away, cut the stream, or its deadline passed. */
  readonly signal: AbortSignal;
  /** Sends one message. What is sent after the caller went away is dropped. */
  send(message: Uint8Array): void;
  /** Sends a message in its frame; resolves when its memory is free again, also after the caller went away. */
  sendFrame(frame: Uint8Array): Promise<void>;
  /** The one message of a call that has one. */
  receiveOnly<Message>(decode: (bytes: Buffer) => Message): Promise<Message>;
}

export interface RawMethodOptions {
  /** grpc-js serves this method too: to callers that compress. Default: these are refused. */
  readonly compressedByGrpcJs?: boolean;
}

export interface RawCalls {
  /** Makes a method out of what happens between headers and status; it must end soon after `signal` is aborted. */
  method(path: string, body: (call: RawCall) => Promise<void>, options?: RawMethodOptions): RawMethod;
  /** Resolves when no call is under way. */
  settled(): Promise<void>;
}

const RESPONSE_HEADERS = { ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-accept-encoding': 'identity' };

const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** Of a call that sends one message. */
const MAX_ONLY_BYTES = 64 * 1024;

/** setTimeout takes no more; a deadline in 24 days is none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createRawCalls(services: Services): RawCalls {
  const running = new Set<Promise<void>>();
  return {
    method: (path, body, { compressedByGrpcJs = false } = {}) => {
      const name = path.slice(path.lastIndexOf('.') + 1);
      return (stream, headers) => {
        if (compressedByGrpcJs && (headers['grpc-encoding'] ?? 'identity') !== 'identity') return false;
        const call = serve(services, name, body, stream, headers);
        running.add(call);
        void call.finally(() => running.delete(call));
        return true;
      };
    },
    settled: async () => {
      await Promise.allSettled(running);
    },
  };
}

async function serve(
  services: Services,
  name: string,
  body: (call: RawCall) => Promise<void>,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const abort = new AbortController();
  // Every error is followed by `close`, which is what counts.
  stream.on('error', () => {});
  let ended = false;
  stream.once('close', () => {
    if (!ended) abort.abort();
  });
  if (headers['content-type']?.startsWith('application/grpc') !== true) {
    stream.respond({ ':status': 415 }, { endStream: true });
    return;
  }
  const end = services.metrics.rpcs.startTimer({ method: name });
  const deadline = deadlineOf(headers, abort);
  const call: RawCall = {
    stream,
    token: headers.authorization?.replace(/^Bearer /i, ''),
    signal: abort.signal,
    send: (message) => {
      if (canSend(stream)) stream.write(frameOf(message));
    },
    sendFrame: async (frame) => {
      if (canSend(stream)) await new Promise<void>((resolve) => stream.write(frame, () => resolve()));
    },
    receiveOnly: async (decode) => decodeOnly(await readAll(stream, abort.signal), decode),
  };
  try {
    await body(call);
    abort.signal.throwIfAborted();
    ended = true;
    end({ status: 'OK' });
    finish(stream, Status.OK, '', {});
  } catch (error) {
    const late = abort.signal.reason instanceof ServerError;
    const failure = failureOf(services, name, late ? abort.signal.reason : error, abort.signal);
    end({ status: statusName(failure.status) });
    finish(
      stream,
      failure.status,
      failure.message,
      failure.error === undefined ? {} : { [ERROR_TRAILER]: encodeErrorTrailer(failure.error) },
    );
  } finally {
    clearTimeout(deadline);
  }
}

/** A stream that the caller reset may take nothing any more before it is destroyed. */
const isGone = (stream: ServerHttp2Stream): boolean => stream.destroyed || stream.closed;

/** Headers go out with the first message, not in a packet of their own. */
function respondOnce(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
}

function canSend(stream: ServerHttp2Stream): boolean {
  if (isGone(stream) || stream.writableEnded) return false;
  respondOnce(stream);
  return true;
}

function readAll(stream: ServerHttp2Stream, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let sizeBytes = 0;
    stream.on('data', (part: Buffer) => {
      sizeBytes += part.length;
      if (sizeBytes > MAX_ONLY_BYTES)
        reject(new ServerError(Status.RESOURCE_EXHAUSTED, `Received message larger than max (${MAX_ONLY_BYTES})`));
      else parts.push(part);
    });
    stream.once('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)));
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

function decodeOnly<Message>(frame: Buffer, decode: (bytes: Buffer) => Message): Message {
  if (frame[0] === 1) throw new ServerError(Status.UNIMPLEMENTED, 'This method takes no compressed messages');
  if (frame.length < FRAME_PREFIX_BYTES || frame.readUInt32BE(1) !== frame.length - FRAME_PREFIX_BYTES) {
    throw new ServerError(Status.INTERNAL, 'Expected exactly one message');
  }
  try {
    return decode(frame.subarray(FRAME_PREFIX_BYTES));
  } catch {
    throw new ServerError(Status.INTERNAL, 'Error deserializing request');
  }
}

function deadlineOf(headers: IncomingHttpHeaders, abort: AbortController): NodeJS.Timeout | undefined {
  const match = TIMEOUT.exec(String(headers['grpc-timeout'] ?? ''));
  const timeoutMs = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ''] ?? Number.NaN);
  if (!(timeoutMs <= LONGEST_TIMER_MS)) return undefined;
  return setTimeout(() => abort.abort(new ServerError(Status.DEADLINE_EXCEEDED, 'Deadline exceeded')), timeoutMs);
}

/** Status and trailers; what the caller still sends is let past unread, as grpc-js does. */
function finish(stream: ServerHttp2Stream, status: Status, message: string, trailers: Readonly<Record<string, string>>): void {
  if (isGone(stream)) return;
  respondOnce(stream);
  stream.once('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': String(status), 'grpc-message': encodeURI(message), ...trailers });
  });
  stream.removeAllListeners('data');
  stream.end();
  stream.resume();
}
