/**
 * TransferService.Write: carries a stream's bytes into chunks and their answers back. Whether a stream broke or ended makes no difference,
 * since only answers count. It is read only while the chunk it brings has room.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { WriteResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { requireToken } from '../grpc/identity.js';
import type { RawCall } from '../grpc/raw-call.js';
import type { Services } from '../services.js';
import { ChunkReceiver } from './chunk-receiver.js';
import { WriteFrames } from './write-frames.js';

/** A chunk without a new byte for this long is given up, so that a stalled client cannot hold a place others wait for. */
const STALL_MS = 60_000;

export async function write(services: Services, call: RawCall): Promise<void> {
  requireToken(services.config, call.token, '');
  services.metrics.openWriteStreams.inc();
  const receiver = new ChunkReceiver(services, {
    onAnswer: (answer) => call.send(WriteResponse.encode(answer).finish()),
    onUnstored: () => reading.stop(),
  });
  const reading = readChunks(call, receiver, services.stopping);
  try {
    await reading.ended;
  } finally {
    services.metrics.openWriteStreams.dec();
    await receiver.close();
  }
}

interface Reading {
  /** Resolves at the stream's end, whichever way it comes; rejects when something is wrong with it. */
  readonly ended: Promise<void>;
  stop(): void;
}

function readChunks({ stream, signal }: RawCall, receiver: ChunkReceiver, stopping: AbortSignal): Reading {
  const frames = new WriteFrames();
  let over = false;
  let end = (_error?: unknown): void => {};
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => {
      over = true;
      clearTimeout(stall);
      if (error === undefined) resolve();
      else reject(error as Error);
    };
  });
  const stop = (): void => end();
  const stall = setTimeout(() => {
    const digest = receiver.openDigest;
    if (digest !== undefined) end(stalled(digest));
  }, STALL_MS);
  /** Takes in what was pushed, up to a chunk that has to wait for room. */
  const takeIn = (): void => {
    if (over) return;
    stall.refresh();
    try {
      for (let event = frames.next(); event !== undefined; event = frames.next()) {
        if (event.kind === 'data') {
          receiver.add(event.data);
          continue;
        }
        const room = receiver.begin(event.request, event.dataBytes);
        if (room === undefined) continue;
        stream.pause();
        void room.then(takeIn, end);
        return;
      }
      if (stream.isPaused()) stream.resume();
    } catch (error) {
      end(error);
    }
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  // Whole chunks are still answered; the client goes on when the coordinator is back.
  const leave = (): void => end(new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator is shutting down' }));
  stopping.addEventListener('abort', leave, { once: true, signal });
  if (stopping.aborted) leave();
  stream.on('end', stop);
  stream.on('data', (bytes: Buffer) => {
    if (over) return;
    frames.push(bytes);
    takeIn();
  });
  return { ended, stop };
}

function stalled(digest: string): TributaryError {
  return new TributaryError('COORDINATOR_UNAVAILABLE', {
    what: `No progress for ${STALL_MS / 1000} s`,
    where: `chunk ${digest}`,
    fix: 'Send the chunk again.',
  });
}
