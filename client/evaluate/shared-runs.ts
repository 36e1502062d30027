/**
 * One run of a program for several tasks. While a run of a candidate is under way, another task that wants the same one waits for it; afterwards a few
 * recent outputs answer. What always holds: an output answers each task once, so that whoever measures a pair again runs the program again; a failure is
 * shared only with those that waited for that very run; a run that was stopped is nobody's result.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { throwIfStopped } from './retrying.js';

/** Outputs that are kept: tasks of a candidate follow each other closely. */
const KEPT_OUTPUTS = 8;

export interface Wish<Output> {
  /** The candidate: equal texts, equal weights and equal words to the program. */
  readonly candidate: string;
  readonly task: string;
  /** Ends the waiting; a run under way has to heed it by itself. */
  readonly signal: AbortSignal;
  readonly run: () => Promise<Output>;
  /** Whether an output of another task's run answers this one. */
  readonly accepts: (shared: Shared<Output>) => boolean;
}

export interface Shared<Output> {
  readonly output: Output;
  /** The task that it was run for. */
  readonly ranFor: string;
}

type Ended<Output> =
  | { readonly kind: 'output'; readonly output: Output }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'stopped' };

/** A time limit is a failure of the run; anything else that fires the signal is no word about it. */
const isStopped = ({ aborted, reason }: AbortSignal): boolean =>
  aborted && !(reason instanceof TributaryError && reason.code === 'EVALUATION_FAILED');

export class SharedRuns<Output> {
  readonly #running = new Map<string, { readonly task: string; readonly ended: Promise<Ended<Output>> }>();
  readonly #recent = new Map<string, Shared<Output> & { readonly taken: Set<string> }>();

  /** @throws what the run throws, INTERRUPTED */
  async take(wish: Wish<Output>): Promise<Shared<Output>> {
    const { candidate, task, signal, accepts } = wish;
    for (;;) {
      throwIfStopped(signal);
      const recent = this.#recent.get(candidate);
      if (recent !== undefined && !recent.taken.has(task) && accepts(recent)) {
        recent.taken.add(task);
        return recent;
      }
      const running = this.#running.get(candidate);
      if (running === undefined) return this.#run(wish);
      const ended = await unlessStopped(running.ended, signal);
      if (ended.kind === 'failed') throw ended.error;
      if (ended.kind === 'output' && running.task === task) return { output: ended.output, ranFor: task };
    }
  }

  #run({ candidate, task, signal, run }: Wish<Output>): Promise<Shared<Output>> {
    const output = run();
    const ended = output.then(
      (value): Ended<Output> => {
        this.#running.delete(candidate);
        this.#keep(candidate, { output: value, ranFor: task, taken: new Set([task]) });
        return { kind: 'output', output: value };
      },
      (error: unknown): Ended<Output> => {
        this.#running.delete(candidate);
        return isStopped(signal) ? { kind: 'stopped' } : { kind: 'failed', error };
      },
    );
    this.#running.set(candidate, { task, ended });
    return output.then((value) => ({ output: value, ranFor: task }));
  }

  #keep(candidate: string, output: Shared<Output> & { readonly taken: Set<string> }): void {
    this.#recent.delete(candidate);
    this.#recent.set(candidate, output);
    const [oldest] = this.#recent.keys();
    if (this.#recent.size > KEPT_OUTPUTS && oldest !== undefined) this.#recent.delete(oldest);
  }
}

async function unlessStopped<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const waiting = new AbortController();
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { signal: waiting.signal });
  });
  const first = await Promise.race([promise, stopped]);
  waiting.abort();
  throwIfStopped(signal);
  return first as T;
}
