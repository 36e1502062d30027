/**
 * The threads that seal chunks. Own code instead of a task pool: a job carries its memory to the thread and back, and threads that wait
 * for the disk are all there is to manage. A thread that dies fails the job it had and is replaced for the next.
 */
import { Worker } from 'node:worker_threads';
import { deserializeError, TributaryError } from '../../shared/errors/tributary-error.js';
import type { Sealed, SealJob, SealReply } from './seal-worker.js';

interface Pending {
  readonly job: SealJob;
  readonly resolve: (sealed: Sealed) => void;
  readonly reject: (error: unknown) => void;
}

export class SealPool {
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Pending>();
  readonly #queue: Pending[] = [];
  readonly #threads: number;
  #onDrained: (() => void) | undefined;
  #closed = false;

  constructor(threads: number) {
    this.#threads = threads;
    for (let count = 0; count < threads; count++) this.#start();
  }

  /** Jobs wait in order; what bounds them is the memory they bring. The job's memory is detached until the answer brings it back. */
  run(job: SealJob): Promise<Sealed> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      this.#assign();
    });
  }

  /** Ends the threads after the jobs under way. */
  async close(): Promise<void> {
    if (this.#busy.size > 0) await new Promise<void>((resolve) => (this.#onDrained = resolve));
    this.#closed = true;
    await Promise.all(this.#idle.map((worker) => worker.terminate()));
  }

  #assign(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (this.#idle.length + this.#busy.size < this.#threads) this.#start();
      const worker = this.#idle.pop();
      if (worker === undefined) {
        this.#queue.unshift(next);
        return;
      }
      this.#busy.set(worker, next);
      worker.postMessage(next.job, [next.job.memory]);
    }
    if (this.#busy.size === 0) this.#onDrained?.();
  }

  #start(): void {
    const worker = new Worker(new URL('./seal-worker.js', import.meta.url), { name: 'seal' });
    // The process lives as long as its ports, not as long as these.
    worker.unref();
    this.#idle.push(worker);
    worker.on('message', (reply: SealReply) => {
      const pending = this.#busy.get(worker);
      this.#busy.delete(worker);
      this.#idle.push(worker);
      if (reply.kind === 'sealed') pending?.resolve(reply.sealed);
      else pending?.reject(deserializeError(reply.error));
      this.#assign();
    });
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      if (this.#closed) return;
      const pending = this.#busy.get(worker);
      this.#busy.delete(worker);
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
      pending?.reject(new TributaryError('INTERNAL', { what: 'A thread that seals chunks ended', where: pending.job.digest }, { cause }));
      this.#assign();
    });
  }
}
