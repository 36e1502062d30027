/**
 * Two things @grpc/grpc-js has no public way for, done by wrapping the private method that makes its HTTP/2 servers:
 * - receive windows wide enough for long lines. grpc-js reads `grpc-node.flow_control_window` on the client only; a server keeps 64 KiB,
 *   which is 1.6 MB/s at 40 ms (test/integration/slow-line.test.ts measures it through a delaying proxy);
 * - methods served from the HTTP/2 stream itself, for those that move weights or answer at once (raw-call.ts says why).
 * The version is pinned exactly, and a missing method is an error at start.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { Server } from '@grpc/grpc-js';

/** Per stream: one whole chunk on its way. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/** Per connection: 200 MB/s at 40 ms. Twice as much would hold 64 MiB more for eight busy clients, who have to stay under 400 MB. */
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024;

/** A server option: what serves a path instead of grpc-js, by path. */
export const RAW_METHODS = 'tributary.raw_methods';

/** @returns whether it serves this call; if not, grpc-js does */
export type RawMethod = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;
export type RawMethods = ReadonlyMap<string, RawMethod>;

interface Internals {
  readonly options: { readonly [RAW_METHODS]?: RawMethods };
  commonServerOptions: { settings?: Record<string, number> };
  createHttp2Server: (this: Internals, credentials: unknown) => Http2Server;
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

let hooked = false;

/** Applies to every grpc-js server created in this process afterwards. */
export function hookHttp2Servers(): void {
  if (hooked) return;
  const prototype = Server.prototype as unknown as Internals;
  const original = prototype.createHttp2Server;
  if (typeof original !== 'function') throw new Error('@grpc/grpc-js has changed: Server.createHttp2Server is gone; see http2-hooks.ts');
  prototype.createHttp2Server = function (this: Internals, credentials: unknown): Http2Server {
    this.commonServerOptions.settings = { ...this.commonServerOptions.settings, initialWindowSize: STREAM_WINDOW_BYTES };
    const server = original.call(this, credentials);
    server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    const methods = this.options[RAW_METHODS];
    if (methods !== undefined) takeOver(server, methods);
    return server;
  };
  hooked = true;
}

function takeOver(server: Http2Server, methods: RawMethods): void {
  const listeners = server.listeners('stream') as StreamListener[];
  if (listeners.length === 0) throw new Error('@grpc/grpc-js has changed: it does not listen to streams yet; see http2-hooks.ts');
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => {
    const method = methods.get(headers[':path'] ?? '');
    if (method?.(stream, headers) === true) return;
    for (const listener of listeners) listener.call(server, stream, headers, ...rest);
  });
}
