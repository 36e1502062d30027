/**
 * A TCP line with faults, in front of a real server: delay without loss of bandwidth, cuts, and flipped bits. Bytes wait in a queue
 * until they are due; a full queue or a slow reader stops the sender, as a real line would.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface ProxyOptions {
  readonly targetPort: number;
  /** In each direction; twice this is the round trip. */
  readonly oneWayDelayMs?: number;
  /** Called for bytes on their way to the server, with all bytes of that direction so far. */
  readonly onUpload?: (totalBytes: number) => void;
  /** The same for bytes on their way to the client. */
  readonly onDownload?: (totalBytes: number) => void;
}

export interface DelayProxy {
  readonly port: number;
  /** `HOST:PORT` for --server. */
  readonly address: string;
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  /** Inverts one bit of the byte at this offset of everything sent to the server. Once. */
  flipBitAt(uploadOffset: number): void;
  /** Resets every connection; new ones are taken. */
  cut(): void;
  close(): Promise<void>;
}

/** More than any bandwidth-delay product in the tests; beyond it the sender has to wait. */
const LARGEST_QUEUE_BYTES = 128 * 1024 * 1024;

export async function startDelayProxy(options: ProxyOptions): Promise<DelayProxy> {
  const sockets = new Set<Socket>();
  const delayMs = options.oneWayDelayMs ?? 0;
  let uploadedBytes = 0;
  let downloadedBytes = 0;
  let flipAt = -1;
  const onUpload = (data: Buffer): void => {
    const inThis = flipAt - uploadedBytes;
    if (inThis >= 0 && inThis < data.length) {
      data[inThis] = (data[inThis] as number) ^ 0x10;
      flipAt = -1;
    }
    uploadedBytes += data.length;
    options.onUpload?.(uploadedBytes);
  };
  const onDownload = (data: Buffer): void => {
    downloadedBytes += data.length;
    options.onDownload?.(downloadedBytes);
  };
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    const upstream = connect({ port: options.targetPort, host: '127.0.0.1', noDelay: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    carry(client, upstream, delayMs, onUpload);
    carry(upstream, client, delayMs, onDownload);
    client.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    address: `127.0.0.1:${port}`,
    get uploadedBytes() {
      return uploadedBytes;
    },
    get downloadedBytes() {
      return downloadedBytes;
    },
    flipBitAt: (offset) => {
      flipAt = offset;
    },
    cut,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}

/** Passes bytes on `delayMs` after they came, in order, at whatever rate both ends manage. */
function carry(from: Socket, to: Socket, delayMs: number, onData: (data: Buffer) => void): void {
  const queue: { readonly data: Buffer; readonly dueMs: number }[] = [];
  let queuedBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let blocked = false;
  let ended = false;
  const forward = (): void => {
    timer = undefined;
    while (!blocked && queue[0] !== undefined) {
      const waitMs = queue[0].dueMs - performance.now();
      if (waitMs > 0.5) {
        timer = setTimeout(forward, waitMs);
        return;
      }
      const { data } = queue.shift() as { data: Buffer };
      queuedBytes -= data.length;
      if (!to.write(data)) blocked = true;
      if (queuedBytes < LARGEST_QUEUE_BYTES) from.resume();
    }
    if (ended && queue.length === 0) to.end();
  };
  to.on('drain', () => {
    blocked = false;
    if (timer === undefined) forward();
  });
  from.on('data', (data: Buffer) => {
    onData(data);
    queue.push({ data, dueMs: performance.now() + delayMs });
    queuedBytes += data.length;
    if (queuedBytes >= LARGEST_QUEUE_BYTES) from.pause();
    if (timer === undefined) forward();
  });
  from.on('end', () => {
    ended = true;
    if (timer === undefined) forward();
  });
  from.on('close', () => clearTimeout(timer));
}
