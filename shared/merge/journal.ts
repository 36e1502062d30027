/**
 * Which tiles of a merge are written: a first line that binds the journal to one plan, then one byte a tile. Bytes only ever go from 0 to 1
 * and only after the tile's data, so a journal cut short or half-written by a kill claims too little, never too much. With `durable` the
 * data is on the disk before the journal says so, which holds over a power failure as well.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { TributaryError } from '../errors/tributary-error.js';
import { pathAt } from '../workers/source-table.js';
import type { CompiledPart } from './compile-job.js';
import type { CompiledMatrices } from './compile-matrices.js';
import { isScratchPath } from './derive.js';
import { outputFiles } from './shards.js';
import type { MergePlan } from './types.js';

/** Part of the digest: a change of arithmetic or layout must not continue an older journal. */
const FORMAT = 'tributary-merge-2';

/**
 * SHA-256 over everything that determines output and tiles: numbers, output headers, paths of the inputs and their size and time of change.
 * @param identity stands for the inputs' content instead of size and time, where chunks are named by their digest
 */
export async function planDigest(
  plan: MergePlan,
  compiled: CompiledPart,
  { sources: ofMatrices, tasks, engine }: CompiledMatrices & { readonly engine: string },
  identity: string | undefined,
): Promise<string> {
  const hash = createHash('sha256').update(FORMAT);
  const { sources } = compiled;
  for (const numbers of [compiled.tensors, compiled.uses]) hash.update(`${numbers.length};`).update(new Uint8Array(numbers.buffer));
  for (const { segments, starts, products, sums, pathBytes } of [sources, ofMatrices]) {
    for (const numbers of [segments, starts, products, sums]) hash.update(`${numbers.length};`).update(new Uint8Array(numbers.buffer));
    hash.update(new Uint8Array(pathBytes.buffer));
  }
  hash.update(JSON.stringify([tasks, engine]));
  hash.update(JSON.stringify(plan.model ?? null));
  for (const { program, pending } of plan.tensors) {
    if (program !== undefined) hash.update(JSON.stringify(program));
    if (pending === undefined) continue;
    const { of, normalize, lambda, terms } = pending.spec;
    hash.update(JSON.stringify([pending.rule, pending.measures, of, normalize, lambda, terms.map(({ coefficient }) => coefficient)]));
  }
  for (const file of outputFiles(plan)) hash.update(file.fileName).update(file.headerBytes);
  if (identity !== undefined) return hash.update(identity).digest('hex');
  for (const table of [sources, ofMatrices]) {
    for (let index = 0; index < table.pathEnds.length; index++) {
      const path = pathAt(table, index);
      if (isScratchPath(path)) continue;
      const { size, mtimeMs, ino } = await stat(path);
      hash.update(`${size} ${mtimeMs} ${ino};`);
    }
  }
  return hash.digest('hex');
}

export interface Journal {
  /** Records the tiles that are done at this moment. */
  write(done: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

function headLine(digest: string, tiles: number): string {
  return `${FORMAT} ${digest} ${tiles}\n`;
}

/** Marks in `done` what an earlier run of the same plan wrote; false when there is no such journal. */
export async function readJournal(path: string, digest: string, done: Uint8Array): Promise<boolean> {
  const bytes = await readFile(path).catch(() => undefined);
  const head = Buffer.from(headLine(digest, done.length));
  if (bytes === undefined || Buffer.compare(bytes.subarray(0, head.length), head) !== 0) return false;
  bytes.subarray(head.length, head.length + done.length).forEach((byte, tile) => {
    if (byte === 1) done[tile] = 1;
  });
  return true;
}

/** Opens a journal for writing; what it says already stays until `write` says more. */
export async function openJournal(
  path: string,
  digest: string,
  done: Uint8Array,
  syncOutputs: (() => Promise<void>) | undefined,
): Promise<Journal> {
  const head = Buffer.from(headLine(digest, done.length));
  const file: FileHandle = await open(path, 'a+').then(async (handle) => {
    await handle.close();
    return open(path, 'r+');
  });
  await file.write(head, 0, head.length, 0);
  return {
    async write(current) {
      const snapshot = Uint8Array.from(current);
      await syncOutputs?.();
      let written = 0;
      while (written < snapshot.length) {
        const { bytesWritten } = await file.write(snapshot, written, snapshot.length - written, head.length + written);
        if (bytesWritten === 0) throw new TributaryError('IO_ERROR', { what: 'the journal could not be written', where: path });
        written += bytesWritten;
      }
      if (syncOutputs !== undefined) await file.datasync();
    },
    close: () => file.close(),
  };
}
