/**
 * What HTTP/2 in Node does between two processes when nobody looks at the bytes: the line's floor of the transfer bench.
 * Run as `server` it prints its port; as `client PORT BYTES` it sends that many on four streams and prints the seconds it took.
 */
import { once } from 'node:events';
import { type ClientHttp2Stream, connect, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

/** Those of coordinator/grpc/http2-hooks.ts. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
const STREAMS = 4;
const PIECE_BYTES = 1024 * 1024;

async function serve(): Promise<void> {
  const server = createServer({ settings: { initialWindowSize: STREAM_WINDOW_BYTES } });
  server.on('session', (session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
  server.on('stream', (stream) => {
    stream.resume();
    stream.on('end', () => {
      stream.respond({ ':status': 200 });
      stream.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
}

async function send(port: number, bytes: number): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`);
  await once(session, 'connect');
  const piece = Buffer.alloc(PIECE_BYTES, 1);
  const started = performance.now();
  await Promise.all(Array.from({ length: STREAMS }, () => sendStream(session.request({ ':method': 'POST' }), piece, bytes / STREAMS)));
  process.stdout.write(`${(performance.now() - started) / 1000}\n`);
  session.close();
}

async function sendStream(stream: ClientHttp2Stream, piece: Buffer, bytes: number): Promise<void> {
  const answered = once(stream, 'response');
  for (let sent = 0; sent < bytes; sent += piece.length) if (!stream.write(piece)) await once(stream, 'drain');
  stream.end();
  await answered;
  stream.resume();
}

const [role, port = '0', bytes = '0'] = process.argv.slice(2);
await (role === 'server' ? serve() : send(Number(port), Number(bytes)));
