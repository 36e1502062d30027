/**
 * Makes renames durable, many at once: whoever asks while a sync is under way shares the next one. A file system commits its whole
 * journal at the first fsync, so a batch costs little more than one.
 */
import { open } from 'node:fs/promises';

export class DirectorySync {
  #waiting = new Map<string, ((error?: unknown) => void)[]>();
  #running = false;

  /** Resolves when every rename into `path` that happened before this call is on stable storage. */
  async sync(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const waiters = this.#waiting.get(path) ?? [];
      waiters.push((error) => (error === undefined ? resolve() : reject(error)));
      this.#waiting.set(path, waiters);
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const batch = this.#waiting;
      this.#waiting = new Map();
      for (const [path, waiters] of batch) {
        const error = await syncOne(path).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        for (const settle of waiters) settle(error);
      }
    }
    this.#running = false;
  }
}

async function syncOne(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
