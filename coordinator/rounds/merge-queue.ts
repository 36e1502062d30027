/** Merges run one after another, since each uses every thread: those of rounds, of points that are published, and of served candidates. */
import { TributaryError } from '../../shared/errors/tributary-error.js';

export interface MergeJob {
  /** A job whose key waits or runs already is not added again. */
  readonly key: string;
  /** Reports its own errors: the queue goes on, whatever it throws. */
  run(signal: AbortSignal): Promise<void>;
  /** Called instead of `run` when the coordinator stops first. */
  readonly onDropped?: ((error: TributaryError) => void) | undefined;
}

export class MergeQueue {
  readonly #stopping: AbortSignal;
  readonly #onError: (key: string, error: unknown) => void;
  readonly #queue: MergeJob[] = [];
  #current: { readonly key: string; readonly abort: AbortController } | undefined;
  #running: Promise<void> | undefined;

  constructor(stopping: AbortSignal, onError: (key: string, error: unknown) => void) {
    this.#stopping = stopping;
    this.#onError = onError;
  }

  enqueue(job: MergeJob): void {
    if (this.#stopping.aborted) return drop(job);
    if (this.#current?.key === job.key || this.#queue.some(({ key }) => key === job.key)) return;
    this.#queue.push(job);
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  /** Stops the job if it runs; one that waits has to see for itself that it is not wanted any more. */
  abort(key: string): void {
    if (this.#current?.key === key) this.#current.abort.abort();
  }

  /** Stops the merge that runs; its journal stays. */
  async stop(): Promise<void> {
    for (const job of this.#queue.splice(0)) drop(job);
    this.#current?.abort.abort();
    await this.#running;
  }

  async #drain(): Promise<void> {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      const abort = new AbortController();
      this.#current = { key: job.key, abort };
      try {
        await job.run(AbortSignal.any([abort.signal, this.#stopping]));
      } catch (error) {
        this.#onError(job.key, error);
      }
      this.#current = undefined;
    }
  }
}

function drop({ onDropped }: MergeJob): void {
  onDropped?.(new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'The coordinator is shutting down' }));
}
