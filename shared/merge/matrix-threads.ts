/**
 * Threads that work on whole matrices, apart from those that merge tiles: calls into a linear algebra engine take long and cannot be
 * interrupted. Every matrix is one thread's work from beginning to end, so the result does not depend on how many there are.
 */
import { Worker } from 'node:worker_threads';
import { deserializeError, TributaryError } from '../errors/tributary-error.js';
import type { MatrixDone, MatrixReply, MatrixRequest, MatrixStart } from '../workers/matrix-job.js';
import { interrupted } from '../workers/pool.js';

export interface MatrixThreads {
  /** Runs one request on a free thread; requests beyond the number of threads wait. */
  run(request: MatrixRequest, signal: AbortSignal | undefined): Promise<MatrixDone>;
  close(): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  /** Settled when the engine is loaded, or does not load. */
  readonly started: Promise<unknown>;
  ask(request: MatrixRequest): Promise<MatrixDone>;
}

function startThread(start: MatrixStart): Thread {
  const worker = new Worker(new URL('../workers/matrix-worker.js', import.meta.url));
  worker.unref();
  let settle: ((reply: MatrixReply) => void) | undefined;
  let dead: string | undefined;
  const reply = (message: MatrixReply): void => {
    const waiting = settle;
    settle = undefined;
    worker.unref();
    waiting?.(message);
  };
  const stopped = (why: string): void => {
    dead ??= why;
    reply({ kind: 'failed', error: { code: 'INTERNAL', details: { what: `a thread of the linear algebra engine stopped: ${dead}` } } });
  };
  worker.on('message', reply);
  worker.on('error', (error) => stopped(error instanceof Error ? error.message : String(error)));
  worker.on('exit', () => stopped('it ended'));
  const post = async (request: MatrixRequest): Promise<MatrixDone> => {
    const answer = await new Promise<MatrixReply>((resolve) => {
      settle = resolve;
      worker.ref();
      if (dead !== undefined) stopped(dead);
      else worker.postMessage(request);
    });
    if (answer.kind === 'failed') throw deserializeError(answer.error);
    return answer;
  };
  const started = post({ kind: 'start', ...start });
  started.catch(() => undefined);
  return {
    worker,
    started,
    async ask(request) {
      await started;
      return post(request);
    },
  };
}

/** The thread works on to its end; nobody waits for it any more. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(interrupted(signal));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Threads start when they are first needed, at most `wanted`; TensorFlow computes in one, which has threads of its own. */
export function createMatrixThreads(wanted: number, start: MatrixStart): MatrixThreads {
  const threads = start.engine.engine === 'tensorflow' ? 1 : wanted;
  const all: Thread[] = [];
  const free: Thread[] = [];
  const waiting: ((thread: Thread) => void)[] = [];
  let closed = false;

  const take = (): Promise<Thread> => {
    const idle = free.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (all.length < threads) {
      const thread = startThread(start);
      all.push(thread);
      return Promise.resolve(thread);
    }
    return new Promise((resolve) => waiting.push(resolve));
  };
  const giveBack = (thread: Thread): void => {
    const next = waiting.shift();
    if (next === undefined) free.push(thread);
    else next(thread);
  };

  return {
    async run(request, signal) {
      const thread = await take();
      try {
        if (signal?.aborted === true) throw interrupted(signal);
        if (closed) throw new TributaryError('INTERNAL', { what: 'matrix threads were closed' });
        return await untilAborted(thread.ask(request), signal);
      } finally {
        giveBack(thread);
      }
    },
    async close() {
      closed = true;
      // A thread that ends in the middle of loading a library takes the process with it.
      await Promise.allSettled(all.map(({ started }) => started));
      await Promise.all(all.map(({ worker }) => worker.terminate()));
    },
  };
}
