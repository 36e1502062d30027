/**
 * The content-addressed store: bytes by their SHA-256. Three places, one meaning:
 * a file of its own (`chunks/ab/<digest>`), a row for chunks under 64 KiB (a file each would cost more than the bytes), or a range
 * of a published model's file (so that models are stored once and still serve as bases).
 * Invariants: a chunk that `has` reports is durable and has its digest; chunks never change.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Segment } from '../../shared/formats/tensor.js';
import { fromHex } from '../../shared/util/hex.js';
import type { Database } from '../state/database.js';
import { inTransaction } from '../state/database.js';
import { ReceivingMemory, type Room } from './receiving-memory.js';
import { SealPool } from './seal-pool.js';

/** Below this a chunk is a row. SQLite reads and writes blobs under about 100 KB faster than a file system does files. */
const SMALL_CHUNK_BYTES = 64 * 1024;

/** Waiting for the disk dominates sealing, and it serves several at once better than one, so more threads than cores. */
const SEAL_THREADS = 4;

/** Small chunks that wait this long are committed together: one fsync for all of them. */
const GROUP_COMMIT_MS = 5;

export type Located = { readonly at: 'file'; readonly segment: Segment } | { readonly at: 'row' };

/** Receives one chunk: its bytes are put into `bytes`, then exactly one of `commit` and `abandon` ends it. */
export interface IncomingChunk {
  /** As long as the chunk. Not to be touched after the end. */
  readonly bytes: Buffer;
  /** False when the bytes do not have the announced digest; they are gone then. */
  commit(): Promise<boolean>;
  abandon(): void;
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
  readonly #pool = new SealPool(SEAL_THREADS);
  readonly #memory = new ReceivingMemory();
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

  readSmall(digest: string): Uint8Array {
    const row = this.#db.prepare('SELECT data FROM small_chunks WHERE digest = ?').get(digest) as { data: Uint8Array } | undefined;
    if (row === undefined) throw new TributaryError('INTERNAL', { what: 'A small chunk that is referred to is missing', where: digest });
    return row.data;
  }

  /** Waits for room to receive a chunk of `sizeBytes` bytes; this bounds the memory of all that is being received. */
  async receive(digest: string, sizeBytes: number): Promise<IncomingChunk> {
    const small = sizeBytes < SMALL_CHUNK_BYTES;
    const room = await (small ? this.#memory.takeBuffer(sizeBytes) : this.#memory.takeSlot(sizeBytes));
    return {
      bytes: room.bytes,
      commit: () => (small ? this.#commitSmall(digest, room) : this.#commitFile(digest, sizeBytes, room)),
      abandon: () => room.release(room.memory),
    };
  }

  /** Records where the chunks of a published model lie. To be called inside the transaction that publishes it. */
  place(chunks: Iterable<PlacedChunk>): void {
    const insert = this.#db.prepare('INSERT OR IGNORE INTO placed_chunks (digest, path, offset) VALUES (?, ?, ?)');
    for (const chunk of chunks) insert.run(chunk.digest, chunk.path, chunk.offset);
  }

  #pathOf(digest: string): string {
    return join(this.#dataDir, 'chunks', digest.slice(0, 2), digest);
  }

  async #commitSmall(digest: string, room: Room): Promise<boolean> {
    try {
      if (createHash('sha256').update(room.bytes).digest('hex') !== digest) return false;
      await new Promise<void>((resolve, reject) => {
        this.#smallQueue.push({ digest, data: room.bytes, resolve, reject });
        this.#flushTimer ??= setTimeout(() => this.#flushSmall(), GROUP_COMMIT_MS);
      });
      return true;
    } finally {
      room.release();
    }
  }

  async #commitFile(digest: string, sizeBytes: number, { memory, release }: Room): Promise<boolean> {
    const temporary = join(this.#dataDir, 'incoming', `${digest.slice(0, 16)}-${randomUUID()}`);
    let back: ArrayBuffer | undefined;
    try {
      const sealed = await this.#pool.run({ memory, sizeBytes, temporary, final: this.#pathOf(digest), digest });
      back = sealed.memory;
      return sealed.durable;
    } finally {
      release(back);
    }
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
}

/** Digests as they travel: 32 bytes each, concatenated. */
export function packDigests(digests: readonly string[]): Uint8Array {
  return new Uint8Array(Buffer.concat(digests.map(fromHex)));
}
