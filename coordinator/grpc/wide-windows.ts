/**
 * Gives the HTTP/2 sessions of a @grpc/grpc-js server receive windows wide enough for long lines. grpc-js reads
 * `grpc-node.flow_control_window` on the client only; a server keeps 64 KiB, which is 1.6 MB/s at 40 ms. There is no public way, so
 * this wraps one private method; the version is pinned exactly, a missing method is an error at start, and
 * test/integration/slow-line.test.ts measures the effect through a delaying proxy.
 */
import type { Http2Server, ServerHttp2Session } from 'node:http2';
import { Server } from '@grpc/grpc-js';

/** Per stream: one whole chunk on its way. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/** Per connection: a client's four streams. */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

interface Internals {
  commonServerOptions: { settings?: Record<string, number> };
  createHttp2Server: (this: Internals, credentials: unknown) => Http2Server;
}

let widened = false;

/** Applies to every grpc-js server created in this process afterwards. */
export function widenServerWindows(): void {
  if (widened) return;
  const prototype = Server.prototype as unknown as Internals;
  const original = prototype.createHttp2Server;
  if (typeof original !== 'function') throw new Error('@grpc/grpc-js has changed: Server.createHttp2Server is gone; see wide-windows.ts');
  prototype.createHttp2Server = function (this: Internals, credentials: unknown): Http2Server {
    this.commonServerOptions.settings = { ...this.commonServerOptions.settings, initialWindowSize: STREAM_WINDOW_BYTES };
    const server = original.call(this, credentials);
    server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    return server;
  };
  widened = true;
}
