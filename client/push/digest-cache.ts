/**
 * Remembers the chunk digests of files that did not change, so that a second push hashes nothing. Only a shortcut: what the
 * coordinator has is always asked of the coordinator, and it checks every digest itself.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DIGEST_BYTES } from '../../shared/transfer/chunk-layout.js';

/** A file changed less than this before it was hashed may change again within the same timestamp: it is not remembered. */
const SETTLED_MS = 2_000;

interface Identity {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: number;
}

export class DigestCache {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = join(dir, 'digests');
  }

  /** Digests of the file's chunks if it is the very file that was hashed before. */
  async get(path: string, chunks: number): Promise<Uint8Array[] | undefined> {
    try {
      const entry = JSON.parse(await readFile(this.#entryPath(path), 'utf8')) as Identity & { digests: string };
      const now = await identify(path);
      if (entry.sizeBytes !== now.sizeBytes || entry.modifiedMs !== now.modifiedMs || entry.inode !== now.inode) return undefined;
      const bytes = Buffer.from(entry.digests, 'base64');
      if (bytes.length !== chunks * DIGEST_BYTES) return undefined;
      return Array.from({ length: chunks }, (_, index) => new Uint8Array(bytes.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)));
    } catch {
      return undefined;
    }
  }

  /** `hashedFromMs`: when hashing began. A cache that cannot be written is no reason to fail. */
  async put(path: string, digests: readonly Uint8Array[], hashedFromMs: number): Promise<void> {
    try {
      const identity = await identify(path);
      if (identity.modifiedMs > hashedFromMs - SETTLED_MS) return;
      await mkdir(this.#dir, { recursive: true });
      const temporary = join(this.#dir, `.${randomUUID()}`);
      await writeFile(temporary, JSON.stringify({ ...identity, digests: Buffer.concat(digests).toString('base64') }));
      await rename(temporary, this.#entryPath(path));
    } catch {
      return;
    }
  }

  #entryPath(path: string): string {
    return join(this.#dir, `${createHash('sha256').update(resolve(path)).digest('hex')}.json`);
  }
}

async function identify(path: string): Promise<Identity> {
  const info = await stat(path);
  return { sizeBytes: info.size, modifiedMs: info.mtimeMs, inode: info.ino };
}
