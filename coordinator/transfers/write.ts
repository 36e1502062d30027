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
  let fail: (error: unknown) => void = () => {};
  const receiver = new ChunkReceiver(services, {
    onAnswer: (answer) => call.send(WriteResponse.encode(answer).finish()),
    onFailure: (error) => fail(error),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      fail = reject;
      readChunks(call, receiver, resolve, reject);
    });
  } finally {
    await receiver.close();
    services.metrics.openWriteStreams.dec();
  }
}

/** Reads until the stream's end, whichever way it comes, or until something is wrong with it. */
function readChunks({ stream, signal }: RawCall, receiver: ChunkReceiver, onEnd: () => void, onError: (error: unknown) => void): void {
  const frames = new WriteFrames();
  let over = false;
  const stall = setTimeout(() => {
    const digest = receiver.openDigest;
    if (digest === undefined) return;
    fail(
      new TributaryError('COORDINATOR_UNAVAILABLE', {
        what: `No progress for ${STALL_MS / 1000} s`,
        where: `chunk ${digest}`,
        fix: 'Send the chunk again.',
      }),
    );
  }, STALL_MS);
  const stop = (): void => {
    over = true;
    clearTimeout(stall);
  };
  const end = (): void => {
    stop();
    onEnd();
  };
  const fail = (error: unknown): void => {
    stop();
    onError(error);
  };
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
        void room.then(takeIn, fail);
        return;
      }
      if (stream.isPaused()) stream.resume();
    } catch (error) {
      fail(error);
    }
  };
  if (signal.aborted) return end();
  signal.addEventListener('abort', end, { once: true });
  stream.on('end', end);
  stream.on('data', (bytes: Buffer) => {
    if (over) return;
    frames.push(bytes);
    takeIn();
  });
}
