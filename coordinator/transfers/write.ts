/**
 * TransferService.Write: one answer per chunk, given when the chunk is durable (or had the wrong digest). A stream that breaks off
 * in the middle of a chunk leaves nothing behind; whether it broke or ended makes no difference, since only answers count.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ChunkState, type WriteRequest, type WriteResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import { AsyncQueue } from '../../shared/util/async-queue.js';
import { toHex } from '../../shared/util/hex.js';
import type { Services } from '../services.js';
import type { ChunkWriter } from '../store/chunk-store.js';

/** How often a stream that makes progress renews its upload's lease. */
const TOUCH_EVERY_MS = 30_000;

/** A chunk without a new piece for this long is given up, so that a stalled client cannot hold a place others wait for. */
const STALL_MS = 60_000;

interface OpenChunk {
  readonly digest: string;
  readonly sizeBytes: number;
  received: number;
  readonly writer: ChunkWriter;
  readonly release: () => void;
}

export async function* write(services: Services, requests: AsyncIterable<WriteRequest>): AsyncGenerator<WriteResponse> {
  const answers = new AsyncQueue<WriteResponse>();
  services.metrics.openWriteStreams.inc();
  const reading = readChunks(services, requests, answers).then(
    () => answers.end(),
    (error: unknown) => answers.fail(error),
  );
  try {
    yield* answers;
  } finally {
    await reading;
    services.metrics.openWriteStreams.dec();
  }
}

async function readChunks(services: Services, requests: AsyncIterable<WriteRequest>, answers: AsyncQueue<WriteResponse>): Promise<void> {
  let open: OpenChunk | undefined;
  let expected: Map<string, number> | undefined;
  let uploadId = '';
  let touchedMs = 0;
  const commits = new Set<Promise<void>>();
  const unstored = new AbortController();
  try {
    for await (const request of untilStalled(requests, () => open?.digest, unstored.signal)) {
      if (expected === undefined || request.uploadId !== uploadId) {
        uploadId = request.uploadId;
        expected = chunksOf(services, uploadId);
      }
      if (open === undefined) {
        const digest = toHex(request.digest);
        checkFirst(request, digest, expected);
        // Waiting here stops reading; flow control then stops the sender. This bounds the coordinator's memory.
        const release = await services.receiving.acquire(request.sizeBytes);
        open = { digest, sizeBytes: request.sizeBytes, received: 0, writer: services.chunks.receive(digest, request.sizeBytes), release };
      }
      checkNext(request, open);
      await open.writer.append(request.data);
      open.received += request.data.length;
      services.metrics.receivedBytes.inc(request.data.length);
      if (open.received < open.sizeBytes) continue;
      const commit = commitChunk(services, open, answers).catch((error: unknown) => unstored.abort(error));
      open = undefined;
      commits.add(commit);
      void commit.finally(() => commits.delete(commit));
      if (services.nowMs() - touchedMs > TOUCH_EVERY_MS) {
        touchedMs = services.nowMs();
        services.uploads.touch(uploadId);
      }
    }
    await Promise.all(commits);
    unstored.signal.throwIfAborted();
  } finally {
    if (open !== undefined) {
      open.release();
      await open.writer.abandon();
    }
    await Promise.all(commits);
  }
}

async function commitChunk(services: Services, chunk: OpenChunk, answers: AsyncQueue<WriteResponse>): Promise<void> {
  try {
    const durable = await chunk.writer.commit();
    services.metrics.chunks.inc({ result: durable ? 'durable' : 'digest_mismatch' });
    answers.push({
      digest: Buffer.from(chunk.digest, 'hex'),
      state: durable ? ChunkState.DURABLE : ChunkState.DIGEST_MISMATCH,
    });
  } catch (error) {
    await chunk.writer.abandon();
    throw error;
  } finally {
    chunk.release();
  }
}

function chunksOf(services: Services, uploadId: string): Map<string, number> {
  const upload = services.uploads.get(uploadId);
  return uniqueChunks(services.models.artifact(upload.manifest_digest));
}

function checkFirst(request: WriteRequest, digest: string, expected: Map<string, number>): void {
  const sizeBytes = expected.get(digest);
  if (sizeBytes === undefined) {
    throw new TributaryError('MANIFEST_INVALID', {
      what: 'The upload has no such chunk',
      where: digest,
      fix: 'Send only what FindMissing names.',
    });
  }
  if (request.sizeBytes !== sizeBytes) {
    throw new TributaryError('MANIFEST_INVALID', {
      what: 'The chunk has another size in the manifest',
      where: digest,
      expected: `${sizeBytes} bytes`,
      got: `${request.sizeBytes}`,
    });
  }
}

function checkNext(request: WriteRequest, open: OpenChunk): void {
  const digest = toHex(request.digest);
  if (
    digest !== open.digest ||
    request.offset !== open.received ||
    open.received + request.data.length > open.sizeBytes ||
    request.data.length === 0
  ) {
    throw new TributaryError('MANIFEST_INVALID', {
      what: 'The pieces of a chunk must follow one another on one stream',
      where: open.digest,
      expected: `the piece at ${open.received}`,
      got: `${request.data.length} bytes at ${request.offset} of ${digest}`,
    });
  }
}

/** Passes requests on; throws when `busy` names a chunk and no request comes for STALL_MS, and why `unstored` was aborted. */
async function* untilStalled(
  requests: AsyncIterable<WriteRequest>,
  busy: () => string | undefined,
  unstored: AbortSignal,
): AsyncGenerator<WriteRequest> {
  const iterator = requests[Symbol.asyncIterator]();
  for (;;) {
    unstored.throwIfAborted();
    const next = iterator.next();
    const digest = busy();
    let timer: NodeJS.Timeout | undefined;
    let giveUp = (): void => {};
    const broken = new Promise<never>((_, reject) => {
      giveUp = () => reject(unstored.reason as Error);
      unstored.addEventListener('abort', giveUp);
      if (digest === undefined) return;
      const error = new TributaryError('COORDINATOR_UNAVAILABLE', {
        what: `No progress for ${STALL_MS / 1000} s`,
        where: `chunk ${digest}`,
        fix: 'Send the chunk again.',
      });
      timer = setTimeout(() => reject(error), STALL_MS);
    });
    let result: IteratorResult<WriteRequest, unknown>;
    try {
      result = await Promise.race([next, broken]);
    } finally {
      clearTimeout(timer);
      unstored.removeEventListener('abort', giveUp);
    }
    if (result.done === true) return;
    yield result.value;
  }
}
