/** SHA-256 of many things at once, in worker threads: whole files, tensors, or anything that is a list of file ranges. */
import { availableParallelism } from 'node:os';
import { toTributaryError } from '../errors/tributary-error.js';
import type { Segment } from '../formats/tensor.js';
import { startPool, type WorkerPool } from '../workers/pool.js';
import { CONTROL } from '../workers/protocol.js';
import { createSourceTableBuilder, sharedNumbers, sourceLength } from '../workers/source-table.js';

export interface HashOptions {
  readonly threads?: number | undefined;
  /** Threads that are running already (without `callerHelps`); the caller closes them. */
  readonly pool?: WorkerPool | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((hashedBytes: number) => void) | undefined;
}

const PROGRESS_INTERVAL_MS = 100;

/**
 * The SHA-256 of each job's concatenated segments, in the order of the jobs. Large jobs are taken first, so that the last one does not
 * keep a single thread busy. Memory does not depend on sizes.
 * @throws SAFETENSORS_TRUNCATED when a file is shorter than a segment says, IO_ERROR, INTERRUPTED
 */
export async function hashSegments(jobs: readonly (readonly Segment[])[], options: HashOptions = {}): Promise<Uint8Array[]> {
  if (jobs.length === 0) return [];
  const builder = createSourceTableBuilder();
  for (const segments of jobs) builder.add(segments);
  const sources = builder.build();
  const lengths = jobs.map((_, source) => sourceLength(sources, source));
  const order = jobs.map((_, source) => source).sort((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0) || a - b);
  const control = new Int32Array(new SharedArrayBuffer(CONTROL.slots * 4));
  const digests = new Uint8Array(new SharedArrayBuffer(jobs.length * 32));
  const hashedBytes = new BigInt64Array(new SharedArrayBuffer(8));
  const pool = options.pool ?? startPool(Math.min(options.threads ?? availableParallelism(), jobs.length));
  const report = (): void => options.onProgress?.(Number(Atomics.load(hashedBytes, 0)));
  const timer = options.onProgress === undefined ? undefined : setInterval(report, PROGRESS_INTERVAL_MS);
  try {
    await pool.run({ kind: 'hash', control, sources, order: sharedNumbers(order), digests, hashedBytes }, { signal: options.signal });
    report();
    return jobs.map((_, source) => digests.slice(source * 32, source * 32 + 32));
  } catch (error) {
    throw toTributaryError(error);
  } finally {
    clearInterval(timer);
    if (options.pool === undefined) await pool.close();
  }
}
