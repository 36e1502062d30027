/**
 * Runs in worker threads: makes received bytes a chunk. SHA-256, writing and fsync block here, off the thread that serves gRPC.
 * The file is written past the page cache where the system can: a chunk must be on the disk before it is acknowledged anyway, and the
 * copy into the cache costs more than the hash.
 * Invariant: a file under its final name is complete, has the digest of that name, and its bytes are durable.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fsyncSync, ftruncateSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { TributaryError } from '../../shared/errors/tributary-error.js';

export interface SealJob {
  /** Where the bytes begin in the receiving memory. */
  readonly offset: number;
  readonly sizeBytes: number;
  readonly temporary: string;
  readonly final: string;
  /** 64 hex digits. */
  readonly digest: string;
}

/** What piscina hands to a worker as its data. */
export interface SealWorkerData {
  readonly memory: SharedArrayBuffer;
}

/** Unbuffered writes want offset, length and memory in whole blocks of the device; no device has larger ones. */
const BLOCK_BYTES = 4096;

/** Buffered writes go in pieces: for large ones Linux takes huge pages, which a virtual machine may have to fetch from its host. */
const PIECE_BYTES = 256 * 1024;

const { memory } = workerData as SealWorkerData;

/** False once the file system refused: some (tmpfs, some network file systems) know no unbuffered writes. */
let unbuffered = constants.O_DIRECT !== undefined;

/** True: the file has its final name (whose folder is not synced yet). False: the bytes do not have the digest; nothing was written. */
export function seal(job: SealJob): boolean {
  if (
    createHash('sha256')
      .update(Buffer.from(memory, job.offset, job.sizeBytes))
      .digest('hex') !== job.digest
  )
    return false;
  try {
    writeDurably(job);
    renameSync(job.temporary, job.final);
  } catch (error) {
    remove(job.temporary);
    throw error;
  }
  return true;
}

function writeDurably(job: SealJob): void {
  if (unbuffered && writeUnbuffered(job)) return;
  const fd = openSync(job.temporary, 'w');
  try {
    writeAll(fd, job, job.sizeBytes, PIECE_BYTES);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** False when the file system does not know how. */
function writeUnbuffered(job: SealJob): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(job.temporary, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_DIRECT);
    const wholeBlocks = Math.ceil(job.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    writeAll(fd, job, wholeBlocks, wholeBlocks);
    if (wholeBlocks !== job.sizeBytes) ftruncateSync(fd, job.sizeBytes);
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

function writeAll(fd: number, job: SealJob, sizeBytes: number, pieceBytes: number): void {
  for (let at = 0; at < sizeBytes; at += pieceBytes) {
    const piece = Buffer.from(memory, job.offset + at, Math.min(pieceBytes, sizeBytes - at));
    if (writeSync(fd, piece, 0, piece.length, at) !== piece.length) {
      throw new TributaryError('DISK_FULL', { what: 'The disk took only part of a write', where: job.temporary });
    }
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    return;
  }
}
