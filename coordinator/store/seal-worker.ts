/**
 * Runs in worker threads: makes received bytes a chunk. SHA-256, writing and fsync block here, off the thread that serves gRPC.
 * The file is written past the page cache where the system can: a chunk must be on the disk before it is acknowledged anyway, and the
 * copy into the cache costs more than the hash.
 * Invariant: a file under its final name is complete, has the digest of that name, and its bytes are durable.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fsyncSync, ftruncateSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { type SerializedError, TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { createAlignedMemory } from '../../shared/kernels/web-assembly.js';
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';

export interface SealJob {
  /** Begins with the chunk's bytes; comes back in the answer. */
  readonly memory: ArrayBuffer;
  readonly sizeBytes: number;
  readonly temporary: string;
  readonly final: string;
  /** 64 hex digits. */
  readonly digest: string;
}

export interface Sealed {
  /** True: the chunk is durable under its final name. False: the bytes do not have the digest; nothing is left. */
  readonly durable: boolean;
  readonly memory: ArrayBuffer;
}

export type SealReply = { readonly kind: 'sealed'; readonly sealed: Sealed } | { readonly kind: 'failed'; readonly error: SerializedError };

/** Unbuffered writes want offset, length and memory in whole blocks of the device; no device has larger ones. */
const BLOCK_BYTES = 4096;

/** Small enough to stay in the second-level cache from the hash to the write. */
const PIECE_BYTES = 256 * 1024;

/** A chunk's bytes where the disk can fetch them. */
const aligned = createAlignedMemory(CHUNK_BYTES);

/** False once the file system refused: some (tmpfs, some network file systems) know no unbuffered writes. */
let unbuffered = constants.O_DIRECT !== undefined;

function seal({ memory, ...job }: SealJob): Sealed {
  const hash = createHash('sha256');
  for (let at = 0; at < job.sizeBytes; at += PIECE_BYTES) {
    const piece = Buffer.from(memory, at, Math.min(PIECE_BYTES, job.sizeBytes - at));
    hash.update(piece);
    aligned.set(piece, at);
  }
  const durable = hash.digest('hex') === job.digest;
  if (durable) {
    try {
      if (!unbuffered || !writeUnbuffered(job)) writeBuffered(job);
      renameSync(job.temporary, job.final);
      syncFolder(dirname(job.final));
    } catch (error) {
      remove(job.temporary);
      throw error;
    }
  }
  return { durable, memory };
}

type Target = Omit<SealJob, 'memory'>;

/** False when the file system does not know how. */
function writeUnbuffered({ temporary, sizeBytes }: Target): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(temporary, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_DIRECT);
    const wholeBlocks = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    writePiece(fd, temporary, 0, wholeBlocks);
    if (wholeBlocks !== sizeBytes) ftruncateSync(fd, sizeBytes);
    fsyncSync(fd);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    unbuffered = false;
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** In pieces: for large writes Linux takes huge pages, which a virtual machine may have to fetch from its host. */
function writeBuffered({ temporary, sizeBytes }: Target): void {
  const fd = openSync(temporary, 'w');
  try {
    for (let at = 0; at < sizeBytes; at += PIECE_BYTES) writePiece(fd, temporary, at, Math.min(PIECE_BYTES, sizeBytes - at));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writePiece(fd: number, path: string, at: number, length: number): void {
  if (writeSync(fd, aligned, at, length, at) === length) return;
  const fix = 'Free some space and run the same command again; it resumes.';
  throw new TributaryError('DISK_FULL', { what: 'The disk took only part of a write', where: path, fix });
}

/** Makes the rename durable. A file system commits its journal for all that ask at the same time, so many threads cost little more than one. */
function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    return;
  }
}

parentPort?.on('message', (job: SealJob) => {
  try {
    const sealed = seal(job);
    parentPort?.postMessage({ kind: 'sealed', sealed } satisfies SealReply, [sealed.memory]);
  } catch (error) {
    parentPort?.postMessage({ kind: 'failed', error: toTributaryError(error, job.temporary).toJSON() } satisfies SealReply);
  }
});
