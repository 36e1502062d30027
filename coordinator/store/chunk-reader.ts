/**
 * Reads runs of chunks into memory of the caller's. Keeps the last file open: the pieces of a chunk, and the chunks of a published
 * model's file, are asked for one after another.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { ChunkStore } from './chunk-store.js';

export class ChunkReader {
  readonly #store: ChunkStore;
  #file: { readonly path: string; readonly handle: FileHandle } | undefined;

  constructor(store: ChunkStore) {
    this.#store = store;
  }

  /** Fills `into` with the bytes of a chunk from `offset`. */
  async read(digest: string, offset: number, into: Uint8Array): Promise<void> {
    const located = await this.#store.locate(digest);
    if (located === undefined) throw new TributaryError('INTERNAL', { what: 'A chunk that is referred to is missing', where: digest });
    if (located.at === 'row') {
      into.set(this.#store.readSmall(digest).subarray(offset, offset + into.length));
      return;
    }
    const { path } = located.segment;
    if (this.#file?.path !== path) {
      await this.close();
      this.#file = { path, handle: await open(path, 'r') };
    }
    const { bytesRead } = await this.#file.handle.read(into, 0, into.length, located.segment.offset + offset);
    if (bytesRead !== into.length) throw new TributaryError('INTERNAL', { what: 'A chunk is shorter than it was', where: path });
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }
}
