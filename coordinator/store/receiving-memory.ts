/**
 * The memory into which chunks are received, the same few megabytes for as long as the coordinator runs: bytes go from the network into a
 * slot, a seal worker gets the slot, hashes and writes it, and gives it back. Its size bounds what all clients together can make the
 * coordinator hold; who finds no room waits, and HTTP/2 flow control makes its sender wait.
 * Slots change threads instead of being shared: copying into shared memory is ten times slower in V8.
 */
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';
import { Semaphore } from '../../shared/util/semaphore.js';

/** Full chunks received at once: beyond this a disk is the limit, not parallelism. */
const SLOTS = 12;

/** Where one chunk is received. */
export interface Room {
  readonly memory: ArrayBuffer;
  readonly bytes: Buffer;
  /** To be called once, when nobody uses the bytes any more; with the memory if it can be used again. */
  readonly release: (memory?: ArrayBuffer) => void;
}

export class ReceivingMemory {
  readonly #free: ArrayBuffer[] = [];
  readonly #budget = new Semaphore(SLOTS * CHUNK_BYTES);

  /** Room for a chunk that a worker writes. Takes a whole slot whatever its size. */
  async takeSlot(sizeBytes: number): Promise<Room> {
    const release = await this.#budget.acquire(CHUNK_BYTES);
    const memory = this.#free.pop() ?? new ArrayBuffer(CHUNK_BYTES);
    return {
      memory,
      bytes: Buffer.from(memory, 0, sizeBytes),
      release: (back) => {
        if (back !== undefined) this.#free.push(back);
        release();
      },
    };
  }

  /** Room for a small chunk. */
  async takeBuffer(sizeBytes: number): Promise<Room> {
    const release = await this.#budget.acquire(sizeBytes);
    const memory = new ArrayBuffer(sizeBytes);
    return { memory, bytes: Buffer.from(memory), release: () => release() };
  }
}
