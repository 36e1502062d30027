/**
 * Sends chunks on a few parallel Write streams. Each stream has at most one chunk's worth of bytes unanswered, so a break costs at most
 * one chunk per stream, and memory is bounded by streams times chunk size.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { ChunkState } from '../../shared/generated/tributary/v1/transfers.js';
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';
import { type EncodedWrite, encodeAround, WRITE_HEADER_BYTES } from '../../shared/transfer/write-codec.js';
import { fromHex, toHex } from '../../shared/util/hex.js';
import type { Connection } from '../api/connection.js';

/** How often one chunk may arrive damaged before the push gives up. */
const MAX_DAMAGED = 3;

/** One whole chunk with the fields around its pieces; many small chunks share it. */
const ARENA_BYTES = CHUNK_BYTES + 64 * 1024;

export interface SendOptions {
  readonly uploadId: string;
  readonly digests: readonly string[];
  readonly sources: ReadonlyMap<string, Segment>;
  readonly maxMessageBytes: number;
  readonly streams: number;
  readonly signal: AbortSignal;
  readonly onSent: (bytes: number) => void;
  readonly onDurable: (bytes: number) => void;
}

/** Resolves when every chunk is durable at the coordinator. Rejects with the first stream's error; the others are stopped then. */
export async function sendChunks(connection: Connection, options: SendOptions): Promise<void> {
  const queue = [...options.digests].reverse();
  const files = new OpenFiles();
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const damaged = new Map<string, number>();
  const streams = Math.min(options.streams, queue.length);
  try {
    const all = Array.from({ length: streams }, () =>
      sendStream(connection, { ...options, signal }, queue, files, damaged).catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    );
    const results = await Promise.allSettled(all);
    options.signal.throwIfAborted();
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw failures.find((error) => error instanceof TributaryError) ?? failures[0];
  } finally {
    await files.close();
  }
}

async function sendStream(
  connection: Connection,
  options: SendOptions,
  queue: string[],
  files: OpenFiles,
  damaged: Map<string, number>,
): Promise<void> {
  const unacknowledged = new Map<string, number>();
  let wake: (() => void) | undefined;
  let over = false;
  const change = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  // One buffer for as long as the stream lives: its bytes are free again when every chunk in it is answered.
  const arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
  let used = 0;
  async function* requests(): AsyncGenerator<EncodedWrite> {
    for (;;) {
      const digest = queue.pop();
      if (digest === undefined) {
        // A chunk still on its way may come back damaged.
        if (unacknowledged.size === 0 || over) return;
        await change();
        continue;
      }
      const source = options.sources.get(digest) as Segment;
      const pieces = Math.ceil(source.length / options.maxMessageBytes);
      if (used + source.length + pieces * WRITE_HEADER_BYTES > ARENA_BYTES) {
        while (unacknowledged.size > 0) {
          if (over) return;
          await change();
        }
        used = 0;
      }
      unacknowledged.set(digest, source.length);
      const fields = { uploadId: options.uploadId, digest: fromHex(digest), sizeBytes: source.length };
      for (let offset = 0; offset < source.length; offset += options.maxMessageBytes) {
        const length = Math.min(options.maxMessageBytes, source.length - offset);
        const start = used + WRITE_HEADER_BYTES;
        used = start + length;
        await files.read(source.path, source.offset + offset, arena.subarray(start, used));
        options.onSent(length);
        yield encodeAround({ ...fields, offset }, arena, start, length);
      }
    }
  }
  try {
    for await (const answer of connection.transfers.write(requests(), { signal: options.signal })) {
      const digest = toHex(answer.digest);
      const length = unacknowledged.get(digest);
      if (length === undefined) continue;
      unacknowledged.delete(digest);
      if (answer.state === ChunkState.DIGEST_MISMATCH) {
        const times = (damaged.get(digest) ?? 0) + 1;
        damaged.set(digest, times);
        if (times >= MAX_DAMAGED) throw damagedError(digest, options.sources.get(digest) as Segment, times);
        queue.push(digest);
      } else {
        options.onDurable(length);
      }
      wake?.();
    }
  } finally {
    over = true;
    wake?.();
  }
  if (unacknowledged.size > 0) {
    throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator ended a stream early', where: connection.server });
  }
}

function damagedError(digest: string, source: Segment, times: number): TributaryError {
  return new TributaryError('DIGEST_MISMATCH', {
    what: `A chunk arrived with other bytes than its digest says, ${times} times`,
    where: `${source.path}, bytes ${source.offset} to ${source.offset + source.length}`,
    expected: digest,
    fix: 'The file changed while it was pushed, or the line damages data. Push again when nothing writes to it.',
  });
}

/** Keeps the few files of a checkpoint open while it is sent. */
class OpenFiles {
  readonly #handles = new Map<string, Promise<FileHandle>>();

  async read(path: string, offset: number, into: Uint8Array): Promise<void> {
    let handle = this.#handles.get(path);
    if (handle === undefined) {
      handle = open(path, 'r');
      this.#handles.set(path, handle);
    }
    const { bytesRead } = await (await handle).read(into, 0, into.length, offset);
    // A shorter file gives wrong bytes, which the coordinator's digest check reports.
    if (bytesRead < into.length) into.fill(0, bytesRead);
  }

  async close(): Promise<void> {
    for (const handle of this.#handles.values()) await (await handle).close().catch(() => {});
  }
}
