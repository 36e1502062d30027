/**
 * Memory for chunks between the network and the disk: a fixed number of places that the gRPC thread fills and the seal workers read,
 * used again and again. Who finds none free waits; flow control then stops the sender.
 */
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';

/** 64 MiB: beyond this many chunks at once a disk is the limit, not parallelism. */
const SLOTS = 16;

export class ChunkSlots {
  readonly #free: SharedArrayBuffer[] = [];
  readonly #waiting: ((slot: SharedArrayBuffer) => void)[] = [];
  #made = 0;

  /** A place for one chunk. Waiters are served in order. */
  async take(): Promise<SharedArrayBuffer> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made < SLOTS) {
      this.#made++;
      return new SharedArrayBuffer(CHUNK_BYTES);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(slot: SharedArrayBuffer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }
}
