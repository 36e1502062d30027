/** Tells watchers of a round how far its evaluation is: at most every quarter of a second, and always of the last change. */
import type { RoundHub } from '../rounds/round-hub.js';

const EVERY_MS = 250;

export class ProgressNotices {
  readonly #hub: RoundHub;
  readonly #nowMs: () => number;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(hub: RoundHub, nowMs: () => number) {
    this.#hub = hub;
    this.#nowMs = nowMs;
  }

  touch(round: string): void {
    if (this.#timers.has(round)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(round);
      this.#hub.announce({ round, type: 'evaluation.progress', contributor: '', atMs: this.#nowMs() });
    }, EVERY_MS);
    timer.unref();
    this.#timers.set(round, timer);
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
