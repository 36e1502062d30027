/** SHA-256 of many runs of bytes on worker threads, in bounded memory. */

import type { Segment } from '../formats/tensor.js';
import { startPool } from '../workers/pool.js';
import { CONTROL, type HashJob } from '../workers/protocol.js';
import { createSourceTableBuilder, sharedNumbers, sourceLength } from '../workers/source-table.js';

export interface HashOptions {
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes hashed so far, a few times a second. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

const DIGEST_BYTES = 32;
const PROGRESS_INTERVAL_MS = 100;

/** @returns one digest of 32 bytes per job, in order @throws IO_ERROR, INTERRUPTED */
export async function hashSegments(jobs: readonly (readonly Segment[])[], options: HashOptions): Promise<Uint8Array[]> {
  if (jobs.length === 0) return [];
  const builder = createSourceTableBuilder();
  for (const job of jobs) builder.add(job);
  const sources = builder.build();
  const largestFirst = jobs.map((_, index) => index).sort((a, b) => sourceLength(sources, b) - sourceLength(sources, a));
  const job: HashJob = {
    kind: 'hash',
    control: new Int32Array(new SharedArrayBuffer(CONTROL.slots * 4)),
    sources,
    order: sharedNumbers(largestFirst),
    digests: new Uint8Array(new SharedArrayBuffer(jobs.length * DIGEST_BYTES)),
    hashedBytes: new BigInt64Array(new SharedArrayBuffer(8)),
  };
  const report = (): void => options.onProgress?.(Number(Atomics.load(job.hashedBytes, 0)));
  const pool = startPool(Math.min(options.threads, jobs.length));
  const timer = setInterval(report, PROGRESS_INTERVAL_MS);
  try {
    await pool.run(job, { signal: options.signal });
  } finally {
    clearInterval(timer);
    await pool.close();
  }
  report();
  return jobs.map((_, index) => job.digests.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES));
}
