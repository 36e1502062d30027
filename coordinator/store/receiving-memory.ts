/**
 * The memory into which chunks are received, the same few megabytes for as long as the coordinator runs: bytes go from the network into a
 * slot, the seal workers hash and write them from there, and the slot is free again. Its size bounds what all clients together can make
 * the coordinator hold; who finds no room waits, and HTTP/2 flow control makes its sender wait.
 */
import { createSharedMemory } from '../../shared/kernels/web-assembly.js';
import { CHUNK_BYTES } from '../../shared/transfer/chunk-layout.js';
import { Semaphore } from '../../shared/util/semaphore.js';

/** Enough for 16 full chunks: beyond that a disk is the limit, not parallelism. */
const SLOTS = 16;

/** Where one chunk is received. */
export interface Room {
  readonly bytes: Buffer;
  /** Offset in the shared memory; undefined for a chunk that has memory of its own. */
  readonly offset: number | undefined;
  /** To be called once, when nobody uses the bytes any more. */
  readonly release: () => void;
}

export class ReceivingMemory {
  /** What seal workers get; a slot begins at a multiple of CHUNK_BYTES, so at a page. */
  readonly shared: SharedArrayBuffer = createSharedMemory(SLOTS * CHUNK_BYTES);
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => slot * CHUNK_BYTES);
  readonly #budget = new Semaphore(SLOTS * CHUNK_BYTES);

  /** Room for a chunk that the workers write. Takes a whole slot whatever its size. */
  async takeSlot(sizeBytes: number): Promise<Room> {
    const release = await this.#budget.acquire(CHUNK_BYTES);
    const offset = this.#free.pop() as number;
    return {
      bytes: Buffer.from(this.shared, offset, sizeBytes),
      offset,
      release: () => {
        this.#free.push(offset);
        release();
      },
    };
  }

  /** Room for a small chunk. */
  async takeBuffer(sizeBytes: number): Promise<Room> {
    const release = await this.#budget.acquire(sizeBytes);
    return { bytes: Buffer.allocUnsafe(sizeBytes), offset: undefined, release };
  }
}
