/**
 * A handful of worker threads that all work on one job at a time and share its units through an atomic counter. Own code instead of a
 * task pool: there is no queue to manage, and importing one would cost a good part of what a short merge takes.
 * Threads boot while the caller goes on: start the pool first, read recipes and headers meanwhile.
 */
import { Worker } from 'node:worker_threads';
import { deserializeError, TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { CONTROL, type Finding, type Job, type Reply, type Request } from './protocol.js';
import { helpUnits, type UnitRunner } from './units.js';

export interface WorkerPool {
  readonly threads: number;
  /** Runs a job on all threads and returns what they found; jobs queue up. On failure or abort all threads stop at their next unit. */
  run(job: Job, options?: { signal?: AbortSignal | undefined }): Promise<Finding[]>;
  close(): Promise<void>;
}

export function interrupted(signal: AbortSignal): TributaryError {
  return new TributaryError(
    'INTERRUPTED',
    { what: 'stopped before the end', fix: 'Run it again; a merge continues where it stopped.' },
    { cause: signal.reason },
  );
}

export interface PoolOptions {
  /**
   * The calling thread takes its share of a merge, in slices, and one worker less is started: for commands that have nothing else to do.
   * A thread costs 40 to 80 ms of processor time to boot.
   */
  readonly callerHelps?: boolean | undefined;
}

export function startPool(threads: number, { callerHelps = false }: PoolOptions = {}): WorkerPool {
  const workers = Array.from({ length: callerHelps ? threads - 1 : threads }, () => new Worker(new URL('./worker.js', import.meta.url)));
  const pending = new Map<Worker, (reply: Reply) => void>();
  const crashes = new Map<Worker, Error>();
  let nextId = 0;

  for (const worker of workers) {
    worker.unref();
    worker.on('message', (reply: Reply) => {
      const settle = pending.get(worker);
      pending.delete(worker);
      settle?.(reply);
    });
    const onCrash = (error: Error) => {
      crashes.set(worker, error);
      const settle = pending.get(worker);
      pending.delete(worker);
      settle?.(crashed(error));
    };
    worker.on('error', onCrash);
    worker.on('exit', () => onCrash(crashes.get(worker) ?? new Error('a worker thread ended')));
  }

  function ask(worker: Worker, request: Request): Promise<Reply> {
    const crash = crashes.get(worker);
    if (crash !== undefined) return Promise.resolve(crashed(crash));
    return new Promise((resolve) => {
      pending.set(worker, resolve);
      worker.ref();
      worker.postMessage(request);
    }).then((reply) => {
      worker.unref();
      return reply as Reply;
    });
  }

  async function perform(job: Job, signal: AbortSignal | undefined): Promise<Finding[]> {
    const throwIfAborted = () => {
      if (signal?.aborted === true) throw interrupted(signal);
    };
    throwIfAborted();
    const stop = () => Atomics.store(job.control, CONTROL.stop, 1);
    signal?.addEventListener('abort', stop, { once: true });
    nextId += 1;
    try {
      const asked = workers.map(async (worker) => {
        const reply = await ask(worker, { id: nextId, job });
        if (reply.kind === 'failed') stop();
        return reply;
      });
      if (callerHelps) asked.push(help(job, nextId, stop));
      const replies = await Promise.all(asked);
      const failed = replies.find((reply) => reply.kind === 'failed');
      if (failed !== undefined) throw deserializeError(failed.error);
      throwIfAborted();
      return replies.flatMap((reply) => (reply.kind === 'done' ? reply.findings : []));
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  let last: Promise<unknown> = Promise.resolve();

  return {
    threads,
    run(job, { signal } = {}) {
      const result = last.then(() => perform(job, signal));
      last = result.catch(() => undefined);
      return result;
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

async function runnerFor(job: Job): Promise<UnitRunner> {
  if (job.kind === 'merge') return (await import('./merge-tiles.js')).startTiles(job);
  if (job.kind === 'hash') return (await import('./hash-sources.js')).startHashing(job);
  if (job.kind === 'look') return (await import('./look-tiles.js')).startLooks(job);
  throw new TributaryError('INTERNAL', { what: `the calling thread cannot help with ${job.kind}` });
}

async function help(job: Job, id: number, stop: () => void): Promise<Reply> {
  try {
    return { kind: 'done', id, findings: await helpUnits(await runnerFor(job)) };
  } catch (error) {
    stop();
    return { kind: 'failed', id, error: toTributaryError(error).toJSON() };
  }
}

function crashed(error: Error): Reply {
  return { kind: 'failed', id: -1, error: { code: 'INTERNAL', details: { what: `a worker thread stopped: ${error.message}` } } };
}
