/**
 * Hands values from callbacks to one `for await` loop.
 * Unbounded: the producer's own protocol must bound what it pushes (a Write stream pushes one answer for each chunk read).
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;
  #done = false;
  #error: unknown;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  /** No more values; the loop ends after those already pushed. */
  end(): void {
    this.#done = true;
    this.#wake?.();
  }

  /** Ends the loop with an error, after the values already pushed. */
  fail(error: unknown): void {
    if (this.#done) return;
    this.#error = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      while (this.#values.length > 0) yield this.#values.shift() as T;
      if (this.#done) {
        if (this.#error !== undefined) throw this.#error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
