/** Tells watchers and the merger what happened. In memory only: whoever connects reads the database first. */
import type { RoundNotice } from '../state/commit.js';

export interface Progress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

type Listener = (notice: RoundNotice) => void;

export class RoundHub {
  readonly #listeners = new Set<Listener>();
  readonly #progress = new Map<string, Progress>();

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  announce(notice: RoundNotice): void {
    for (const listener of this.#listeners) listener(notice);
  }

  progressOf(round: string): Progress | undefined {
    return this.#progress.get(round);
  }

  setProgress(round: string, progress: Progress | undefined, atMs: number): void {
    if (progress === undefined) {
      this.#progress.delete(round);
      return;
    }
    this.#progress.set(round, progress);
    this.announce({ round, type: 'merge.progress', contributor: '', atMs });
  }
}
