/**
 * The one thread of designs, fits and searches. One job at a time: candidates to measure go first, since agents wait for them, then fits, then
 * questions. A thread that dies fails the job it had and is replaced for the next.
 */
import { Worker } from 'node:worker_threads';
import { deserializeError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { FitJobKind, FitJobs, FitReply, FitRequest } from './fit-jobs.js';

const ORDER: Readonly<Record<FitJobKind, number>> = { propose: 0, fit: 1, whatIf: 2, attribute: 2 };

interface Pending {
  readonly request: FitRequest;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class FitThread {
  readonly #queue: Pending[] = [];
  #worker: Worker | undefined;
  #current: Pending | undefined;
  #ids = 0;
  #closed = false;

  run<Kind extends FitJobKind>(kind: Kind, input: FitJobs[Kind]['in']): Promise<FitJobs[Kind]['out']> {
    return new Promise((resolve, reject) => {
      const request = { id: ++this.#ids, kind, input } as FitRequest;
      const before = this.#queue.findIndex((other) => ORDER[other.request.kind] > ORDER[kind]);
      this.#queue.splice(before < 0 ? this.#queue.length : before, 0, { request, resolve: resolve as (output: unknown) => void, reject });
      this.#next();
    });
  }

  /** Ends the thread in the middle of what it does; everything pending is rejected. Nothing is lost: it can be computed again. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
    this.#next();
  }

  #next(): void {
    if (this.#closed) {
      for (const pending of [...(this.#current === undefined ? [] : [this.#current]), ...this.#queue.splice(0)])
        pending.reject(new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator is shutting down' }));
      this.#current = undefined;
      return;
    }
    if (this.#current !== undefined) return;
    this.#current = this.#queue.shift();
    if (this.#current === undefined) return;
    this.#worker ??= this.#start();
    this.#worker.postMessage(this.#current.request);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./fit-worker.js', import.meta.url), { name: 'fit' });
    // The process lives as long as its ports, not as long as this.
    worker.unref();
    const settle = (end: (pending: Pending) => void): void => {
      const pending = this.#current;
      this.#current = undefined;
      if (pending !== undefined) end(pending);
      this.#next();
    };
    worker.on('message', (reply: FitReply) =>
      settle(({ resolve, reject }) => (reply.kind === 'done' ? resolve(reply.output) : reject(deserializeError(reply.error)))),
    );
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      if (!this.#closed) settle(({ reject }) => reject(new TributaryError('INTERNAL', { what: 'The thread of fits ended' }, { cause })));
    });
    return worker;
  }
}
