/** Positional, synchronous reads of sources inside a worker thread: straight into the caller's memory, with few files open at a time. */
import { closeSync, openSync, readSync } from 'node:fs';
import { TributaryError } from '../errors/tributary-error.js';
import type { Kernels } from '../kernels/kernels.js';
import { type ComputedReader, createComputedReader } from './computed-reader.js';
import { pathAt, SEGMENT_FIELDS, type SourceTable } from './source-table.js';

/** Chunk stores have one file a chunk; far below the usual limit of 1024 descriptors even with many workers. */
const MAX_OPEN_FILES = 48;

export interface SourceReader {
  /**
   * Fills `into` with the bytes of a source from `start`; of a source that is computed, `into` must lie in the memory of the kernels.
   * @throws SAFETENSORS_TRUNCATED when a file ended early; system errors as they are
   */
  read(source: number, start: number, into: Uint8Array): void;
  close(): void;
}

/** @param kernels what computes values that are not stored; takes memory there if the table has such */
export function createSourceReader(table: SourceTable, kernels?: Kernels): SourceReader {
  const { segments, starts } = table;
  let computed: ComputedReader | undefined;
  /** In order of last use; the first entry is the one to close. */
  const open = new Map<number, number>();
  let lastPath = -1;
  let lastFile = -1;

  function fileFor(path: number): number {
    if (path === lastPath) return lastFile;
    let file = open.get(path);
    if (file === undefined) {
      if (open.size >= MAX_OPEN_FILES) {
        const [oldest] = open;
        if (oldest !== undefined) {
          open.delete(oldest[0]);
          closeSync(oldest[1]);
        }
      }
      file = openSync(pathAt(table, path), 'r');
    } else {
      open.delete(path);
    }
    open.set(path, file);
    lastPath = path;
    lastFile = file;
    return file;
  }

  function segmentAt(source: number, position: number): number {
    let low = starts[source] ?? 0;
    let high = (starts[source + 1] ?? 0) - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((segments[middle * SEGMENT_FIELDS + 3] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function readStored(source: number, start: number, into: Uint8Array): void {
    let segment = segmentAt(source, start);
    let done = 0;
    while (done < into.length) {
      const at = segment * SEGMENT_FIELDS;
      const path = segments[at] ?? 0;
      const within = start + done - (segments[at + 3] ?? 0);
      const length = Math.min((segments[at + 2] ?? 0) - within, into.length - done);
      const got = readSync(fileFor(path), into, done, length, (segments[at + 1] ?? 0) + within);
      if (got === 0) {
        throw new TributaryError('SAFETENSORS_TRUNCATED', {
          what: 'a file became shorter while it was read',
          where: pathAt(table, path),
          fix: 'Do not write to the inputs of a running merge.',
        });
      }
      done += got;
      if (got === length) segment += 1;
    }
  }

  if (kernels !== undefined && table.products.length > 0) computed = createComputedReader(table, kernels, readStored);

  return {
    read(source, start, into) {
      if (starts[source] !== starts[source + 1] || into.length === 0) readStored(source, start, into);
      else if (computed !== undefined) computed.read(source, start, into);
      else throw new TributaryError('INTERNAL', { what: `source ${source} has no bytes`, where: `byte ${start}` });
    },
    close() {
      for (const file of open.values()) closeSync(file);
      open.clear();
      lastPath = -1;
    },
  };
}
