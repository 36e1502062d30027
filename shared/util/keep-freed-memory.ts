/**
 * For processes that receive hundreds of megabytes a second. Node reads sockets into new buffers of 64 KiB, and glibc hands the end of its
 * heap back to the system as soon as 128 KiB of it are free: every buffer is then mapped, zeroed and unmapped anew, which costs as much as
 * receiving the bytes. glibc raises that limit by itself, to twice the size, whenever a block that it had mapped on its own is freed.
 * This allocates and frees one of the largest size for which it does; up to 64 MiB that were freed stay with the process then. Elsewhere
 * it has no effect.
 */
import { MessageChannel } from 'node:worker_threads';

/** glibc's DEFAULT_MMAP_THRESHOLD_MAX is 32 MiB; the block has a header. */
const BLOCK_BYTES = 32 * 1024 * 1024 - 64 * 1024;

export function keepFreedMemory(): void {
  const block = new ArrayBuffer(BLOCK_BYTES);
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.close();
  // A message that nobody can receive is freed at once, without waiting for a garbage collection.
  port1.postMessage(block, [block]);
}
