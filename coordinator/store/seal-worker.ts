/**
 * Runs in worker threads: makes received bytes a chunk. Hashing, writing and fsync stay off the thread that serves gRPC, and a chunk
 * that is broken off or has the wrong digest never touches the disk.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { type SerializedError, toTributaryError } from '../../shared/errors/tributary-error.js';

export interface SealJob {
  readonly temporary: string;
  readonly final: string;
  readonly digest: string;
  /** Memory shared with the sender of this job; it begins with the chunk's bytes. */
  readonly slot: SharedArrayBuffer;
  readonly sizeBytes: number;
}

/** A system error would lose its code between threads, so it crosses as data. */
export function seal(job: SealJob): boolean | SerializedError {
  try {
    return sealFile(job);
  } catch (error) {
    rmSync(job.temporary, { force: true });
    return toTributaryError(error, job.final).toJSON();
  }
}

/** True: the bytes have the digest, are durable, and have their final name (whose folder is not synced yet). False: another digest. */
function sealFile(job: SealJob): boolean {
  const bytes = new Uint8Array(job.slot, 0, job.sizeBytes);
  if (createHash('sha256').update(bytes).digest('hex') !== job.digest) return false;
  const fd = openSync(job.temporary, 'wx');
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(job.temporary, job.final);
  return true;
}
