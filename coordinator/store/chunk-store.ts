/**
 * The content-addressed store: bytes by their SHA-256. Three places, one meaning:
 * a file of its own (`chunks/ab/<digest>`), a row for chunks under 64 KiB (a file each would cost more than the bytes), or a range
 * of a published model's file (so that models are stored once and still serve as bases).
 * Invariants: a chunk that `has` reports is durable and has its digest; chunks never change.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { access, type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Piscina } from 'piscina';
import { deserializeError, type SerializedError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { fromHex } from '../../shared/util/hex.js';
import type { Database } from '../state/database.js';
import { inTransaction } from '../state/database.js';
import { DirectorySync } from './directory-sync.js';
import type { SealJob } from './seal-worker.js';

/** Below this a chunk is a row. SQLite reads and writes blobs under about 100 KB faster than a file system does files. */
const SMALL_CHUNK_BYTES = 64 * 1024;

/** fsync dominates sealing and the disk serves several at once better than one, so more threads than cores. */
const SEAL_THREADS = 4;

/** Small chunks that wait this long are committed together: one fsync for all of them. */
const GROUP_COMMIT_MS = 5;

export type Located = { readonly at: 'file'; readonly segment: Segment } | { readonly at: 'row' };

/** Receives one chunk. Exactly one of `commit` and `abandon` ends it. */
export interface ChunkWriter {
  append(data: Uint8Array): Promise<void>;
  /** False when the bytes do not have the announced digest; they are gone then. */
  commit(): Promise<boolean>;
  abandon(): Promise<void>;
}

export interface PlacedChunk {
  readonly digest: string;
  /** Relative to the data folder. */
  readonly path: string;
  readonly offset: number;
}

export class ChunkStore {
  readonly #db: Database;
  readonly #dataDir: string;
  readonly #nowMs: () => number;
  readonly #pool: Piscina<SealJob, boolean | SerializedError>;
  readonly #directories = new DirectorySync();
  #smallQueue: { digest: string; data: Uint8Array; resolve: () => void; reject: (error: unknown) => void }[] = [];
  #flushTimer: NodeJS.Timeout | undefined;

  constructor(db: Database, dataDir: string, nowMs: () => number) {
    this.#db = db;
    this.#dataDir = dataDir;
    this.#nowMs = nowMs;
    const incoming = join(dataDir, 'incoming');
    mkdirSync(incoming, { recursive: true });
    // What a killed process was receiving is worth nothing: it was never acknowledged.
    for (const name of readdirSync(incoming)) rmSync(join(incoming, name), { force: true });
    for (let prefix = 0; prefix < 256; prefix++) {
      mkdirSync(join(dataDir, 'chunks', prefix.toString(16).padStart(2, '0')), { recursive: true });
    }
    this.#pool = new Piscina({
      filename: new URL('./seal-worker.js', import.meta.url).href,
      name: 'seal',
      minThreads: 1,
      maxThreads: SEAL_THREADS,
      idleTimeout: 10_000,
    });
  }

  async close(): Promise<void> {
    this.#flushSmall();
    await this.#pool.close();
  }

  async has(digest: string): Promise<boolean> {
    return (await this.locate(digest)) !== undefined;
  }

  /** Where the bytes of a chunk lie, or undefined if the store does not have it. */
  async locate(digest: string): Promise<Located | undefined> {
    if (this.#db.prepare('SELECT 1 FROM small_chunks WHERE digest = ?').get(digest) !== undefined) return { at: 'row' };
    const placed = this.#db.prepare('SELECT path, offset FROM placed_chunks WHERE digest = ?').get(digest) as
      | { path: string; offset: number }
      | undefined;
    if (placed !== undefined) {
      return { at: 'file', segment: { path: join(this.#dataDir, placed.path), offset: placed.offset, length: 0 } };
    }
    const path = this.#pathOf(digest);
    try {
      await access(path);
    } catch {
      return undefined;
    }
    return { at: 'file', segment: { path, offset: 0, length: 0 } };
  }

  /** Bytes `[offset, offset + length)` of a chunk the store has. */
  async read(digest: string, offset: number, length: number): Promise<Uint8Array> {
    const located = await this.locate(digest);
    if (located === undefined) throw new TributaryError('INTERNAL', { what: 'A chunk that is referred to is missing', where: digest });
    if (located.at === 'row') return this.readSmall(digest).subarray(offset, offset + length);
    const file = await open(located.segment.path, 'r');
    try {
      const buffer = new Uint8Array(length);
      const { bytesRead } = await file.read(buffer, 0, length, located.segment.offset + offset);
      if (bytesRead !== length)
        throw new TributaryError('INTERNAL', { what: 'A chunk is shorter than it was', where: located.segment.path });
      return buffer;
    } finally {
      await file.close();
    }
  }

  readSmall(digest: string): Uint8Array {
    const row = this.#db.prepare('SELECT data FROM small_chunks WHERE digest = ?').get(digest) as { data: Uint8Array } | undefined;
    if (row === undefined) throw new TributaryError('INTERNAL', { what: 'A small chunk that is referred to is missing', where: digest });
    return row.data;
  }

  /** Starts receiving a chunk of `sizeBytes` bytes. */
  receive(digest: string, sizeBytes: number): ChunkWriter {
    return sizeBytes < SMALL_CHUNK_BYTES ? this.#receiveSmall(digest, sizeBytes) : this.#receiveFile(digest, sizeBytes);
  }

  /** Records where the chunks of a published model lie. To be called inside the transaction that publishes it. */
  place(chunks: Iterable<PlacedChunk>): void {
    const insert = this.#db.prepare('INSERT OR IGNORE INTO placed_chunks (digest, path, offset) VALUES (?, ?, ?)');
    for (const chunk of chunks) insert.run(chunk.digest, chunk.path, chunk.offset);
  }

  #pathOf(digest: string): string {
    return join(this.#dataDir, 'chunks', digest.slice(0, 2), digest);
  }

  #receiveSmall(digest: string, sizeBytes: number): ChunkWriter {
    const parts: Uint8Array[] = [];
    return {
      append: async (data) => {
        parts.push(data);
      },
      commit: async () => {
        const data = Buffer.concat(parts);
        if (data.length !== sizeBytes || createHash('sha256').update(data).digest('hex') !== digest) return false;
        await new Promise<void>((resolve, reject) => {
          this.#smallQueue.push({ digest, data, resolve, reject });
          this.#flushTimer ??= setTimeout(() => this.#flushSmall(), GROUP_COMMIT_MS);
        });
        return true;
      },
      abandon: async () => {},
    };
  }

  #flushSmall(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const batch = this.#smallQueue;
    if (batch.length === 0) return;
    this.#smallQueue = [];
    try {
      const createdMs = this.#nowMs();
      inTransaction(this.#db, () => {
        const insert = this.#db.prepare('INSERT OR IGNORE INTO small_chunks (digest, data, created_ms) VALUES (?, ?, ?)');
        for (const { digest, data } of batch) insert.run(digest, data, createdMs);
      });
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  #receiveFile(digest: string, sizeBytes: number): ChunkWriter {
    const temporary = join(this.#dataDir, 'incoming', `${digest.slice(0, 16)}-${randomUUID()}`);
    let file: FileHandle | undefined;
    let position = 0;
    const closeFile = async (): Promise<void> => {
      await file?.close();
      file = undefined;
    };
    return {
      append: async (data) => {
        file ??= await open(temporary, 'wx');
        const { bytesWritten } = await file.write(data, 0, data.length, position);
        if (bytesWritten !== data.length)
          throw new TributaryError('DISK_FULL', { what: 'The disk took only part of a write', where: temporary });
        position += data.length;
      },
      commit: async () => {
        await closeFile();
        const final = this.#pathOf(digest);
        const sealed = await this.#pool.run({ temporary, final, digest, sizeBytes });
        if (typeof sealed === 'object') throw deserializeError(sealed);
        if (!sealed) return false;
        await this.#directories.sync(dirname(final));
        return true;
      },
      abandon: async () => {
        await closeFile();
        await unlink(temporary).catch(() => {});
      },
    };
  }
}

/** Digests as they travel: 32 bytes each, concatenated. */
export function packDigests(digests: readonly string[]): Uint8Array {
  return new Uint8Array(Buffer.concat(digests.map(fromHex)));
}
