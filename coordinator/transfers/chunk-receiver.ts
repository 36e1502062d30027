/**
 * What a Write stream means: pieces become chunks, one answer per chunk, given when the chunk is durable (or had the wrong digest).
 * A stream that breaks off in the middle of a chunk leaves nothing behind.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { ChunkState, type WriteRequest, type WriteResponse } from '../../shared/generated/tributary/v1/transfers.js';
import { uniqueChunks } from '../../shared/transfer/artifact.js';
import { toHex } from '../../shared/util/hex.js';
import type { Services } from '../services.js';
import type { IncomingChunk } from '../store/chunk-store.js';

/** How often a stream that makes progress renews its upload's lease. */
const TOUCH_EVERY_MS = 30_000;

interface OpenChunk extends IncomingChunk {
  readonly digest: string;
  received: number;
}

export interface ReceiverEvents {
  readonly onAnswer: (answer: WriteResponse) => void;
  /** A chunk could not be stored: `close` says why. */
  readonly onUnstored: () => void;
}

export class ChunkReceiver {
  readonly #services: Services;
  readonly #events: ReceiverEvents;
  readonly #commits = new Set<Promise<void>>();
  #expected: Map<string, number> | undefined;
  #uploadId = '';
  #touchedMs = 0;
  #open: OpenChunk | undefined;
  #closed = false;
  #unstored: { readonly error: unknown } | undefined;

  constructor(services: Services, events: ReceiverEvents) {
    this.#services = services;
    this.#events = events;
  }

  /** The chunk of which some but not all bytes are here. */
  get openDigest(): string | undefined {
    return this.#open?.digest;
  }

  /**
   * A request with `dataBytes` of data comes. The returned promise, if any, has to be awaited before its data is added: there is no room
   * yet. Not reading meanwhile lets flow control stop the sender. @throws MANIFEST_INVALID, UPLOAD_NOT_FOUND
   */
  begin(request: WriteRequest, dataBytes: number): Promise<void> | undefined {
    if (this.#expected === undefined || request.uploadId !== this.#uploadId) {
      this.#uploadId = request.uploadId;
      this.#expected = uniqueChunks(this.#services.models.artifact(this.#services.uploads.get(request.uploadId).manifest_digest));
    }
    const digest = toHex(request.digest);
    if (this.#open !== undefined) {
      checkPiece(request, digest, dataBytes, this.#open.digest, this.#open.received, this.#open.bytes.length);
      return undefined;
    }
    checkChunk(request, digest, this.#expected);
    checkPiece(request, digest, dataBytes, digest, 0, request.sizeBytes);
    return this.#makeRoom(digest, request.sizeBytes);
  }

  /** The next bytes of the request that began last. */
  add(data: Uint8Array): void {
    const open = this.#open as OpenChunk;
    open.bytes.set(data, open.received);
    open.received += data.length;
    this.#services.metrics.receivedBytes.inc(data.length);
    if (open.received < open.bytes.length) return;
    this.#open = undefined;
    const commit = this.#commit(open);
    this.#commits.add(commit);
    void commit.finally(() => this.#commits.delete(commit));
    this.#touch();
  }

  /** Gives up the open chunk; resolves when every whole one is answered. @throws what kept one from being stored */
  async close(): Promise<void> {
    this.#closed = true;
    this.#open?.abandon();
    this.#open = undefined;
    await Promise.all(this.#commits);
    if (this.#unstored !== undefined) throw this.#unstored.error;
  }

  async #makeRoom(digest: string, sizeBytes: number): Promise<void> {
    const chunk = await this.#services.chunks.receive(digest, sizeBytes);
    if (this.#closed) chunk.abandon();
    else this.#open = { ...chunk, digest, received: 0 };
  }

  async #commit(chunk: OpenChunk): Promise<void> {
    try {
      const durable = await chunk.commit();
      this.#services.metrics.chunks.inc({ result: durable ? 'durable' : 'digest_mismatch' });
      this.#events.onAnswer({
        digest: Buffer.from(chunk.digest, 'hex'),
        state: durable ? ChunkState.DURABLE : ChunkState.DIGEST_MISMATCH,
      });
    } catch (error) {
      this.#unstored ??= { error };
      this.#events.onUnstored();
    }
  }

  #touch(): void {
    const nowMs = this.#services.nowMs();
    if (nowMs - this.#touchedMs <= TOUCH_EVERY_MS) return;
    this.#touchedMs = nowMs;
    this.#services.uploads.touch(this.#uploadId);
  }
}

function checkChunk(request: WriteRequest, digest: string, expected: ReadonlyMap<string, number>): void {
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

function checkPiece(request: WriteRequest, digest: string, dataBytes: number, wanted: string, received: number, sizeBytes: number): void {
  if (digest === wanted && request.offset === received && received + dataBytes <= sizeBytes && dataBytes > 0) return;
  throw new TributaryError('MANIFEST_INVALID', {
    what: 'The pieces of a chunk must follow one another on one stream',
    where: wanted,
    expected: `the piece at ${received}`,
    got: `${dataBytes} bytes at ${request.offset} of ${digest}`,
  });
}
