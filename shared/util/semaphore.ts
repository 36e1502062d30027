/** Bounds how much of something is in use at once; waiters are served in order. */
export class Semaphore {
  readonly capacity: number;
  #free: number;
  readonly #waiting: { amount: number; resolve: () => void }[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#free = capacity;
  }

  /** Waits until `amount` is free. More than the capacity counts as the capacity. Returns the release function (call once). */
  async acquire(amount = 1): Promise<() => void> {
    const wanted = Math.min(amount, this.capacity);
    if (this.#waiting.length > 0 || this.#free < wanted) {
      await new Promise<void>((resolve) => this.#waiting.push({ amount: wanted, resolve }));
    } else {
      this.#free -= wanted;
    }
    return () => {
      this.#free += wanted;
      for (let next = this.#waiting[0]; next !== undefined && this.#free >= next.amount; next = this.#waiting[0]) {
        this.#free -= next.amount;
        this.#waiting.shift();
        next.resolve();
      }
    };
  }
}
