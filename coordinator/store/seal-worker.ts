/**
 * Runs in worker threads: makes a received file a chunk. Reading it back (from the page cache) keeps SHA-256 and fsync off the
 * thread that serves gRPC, and proves the bytes that are on disk rather than those that were in memory.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, renameSync, unlinkSync } from 'node:fs';
import { type SerializedError, toTributaryError } from '../../shared/errors/tributary-error.js';

export interface SealJob {
  readonly temporary: string;
  readonly final: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

const buffer = Buffer.allocUnsafe(1024 * 1024);

/** A system error would lose its code between threads, so it crosses as data. */
export function seal(job: SealJob): boolean | SerializedError {
  try {
    return sealFile(job);
  } catch (error) {
    return toTributaryError(error, job.final).toJSON();
  }
}

/** True: the file has the digest, its bytes are durable, and it has its final name (whose folder is not synced yet). False: it is gone. */
function sealFile(job: SealJob): boolean {
  const fd = openSync(job.temporary, 'r+');
  try {
    const hash = createHash('sha256');
    let position = 0;
    for (;;) {
      const count = readSync(fd, buffer, 0, buffer.length, position);
      if (count === 0) break;
      hash.update(count === buffer.length ? buffer : buffer.subarray(0, count));
      position += count;
    }
    if (position !== job.sizeBytes || hash.digest('hex') !== job.digest) {
      unlinkSync(job.temporary);
      return false;
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(job.temporary, job.final);
  return true;
}
