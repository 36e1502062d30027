/**
 * Where bytes lie, in a form that threads share without copying: numbers and path bytes in SharedArrayBuffers. A model of 140 GB in
 * 4 MiB chunks has 35,000 segments a contribution; as objects they would be cloned into every worker.
 */
import type { Segment } from '../formats/tensor.js';

/** A source is a run of bytes made of consecutive segments: a tensor, or one thing to hash. */
export interface SourceTable {
  /** Per segment: path index, offset in the file, length, offset in the source. */
  readonly segments: Float64Array;
  /** Per source the index of its first segment; one entry more than sources. */
  readonly starts: Float64Array;
  readonly pathBytes: Uint8Array;
  /** Per path where its UTF-8 bytes end. */
  readonly pathEnds: Float64Array;
}

export const SEGMENT_FIELDS = 4;

export function sharedNumbers(values: readonly number[]): Float64Array {
  const shared = new Float64Array(new SharedArrayBuffer(values.length * 8));
  shared.set(values);
  return shared;
}

export interface SourceTableBuilder {
  /** Adds a source and returns its number. */
  add(segments: readonly Segment[]): number;
  build(): SourceTable;
}

/** @param pathOf where the path of a segment lies, when that is known only now */
export function createSourceTableBuilder(pathOf: (path: string) => string = (path) => path): SourceTableBuilder {
  const fields: number[] = [];
  const starts: number[] = [0];
  const paths = new Map<string, number>();
  return {
    add(segments) {
      let at = 0;
      for (const { path, offset, length } of segments) {
        if (length === 0) continue;
        let pathIndex = paths.get(path);
        if (pathIndex === undefined) {
          pathIndex = paths.size;
          paths.set(path, pathIndex);
        }
        fields.push(pathIndex, offset, length, at);
        at += length;
      }
      starts.push(fields.length / SEGMENT_FIELDS);
      return starts.length - 2;
    },
    build() {
      const pathEnds: number[] = [];
      let pathLength = 0;
      const lying = [...paths.keys()].map(pathOf);
      for (const path of lying) {
        pathLength += Buffer.byteLength(path);
        pathEnds.push(pathLength);
      }
      const pathBytes = new Uint8Array(new SharedArrayBuffer(pathLength));
      pathBytes.set(Buffer.from(lying.join('')));
      return { segments: sharedNumbers(fields), starts: sharedNumbers(starts), pathBytes, pathEnds: sharedNumbers(pathEnds) };
    },
  };
}

/** Length of a source in bytes. */
export function sourceLength(table: SourceTable, source: number): number {
  const end = table.starts[source + 1] ?? 0;
  if (end === table.starts[source]) return 0;
  const last = (end - 1) * SEGMENT_FIELDS;
  return (table.segments[last + 2] ?? 0) + (table.segments[last + 3] ?? 0);
}

export function pathAt(table: SourceTable, index: number): string {
  const start = index === 0 ? 0 : (table.pathEnds[index - 1] ?? 0);
  return Buffer.from(table.pathBytes.slice(start, table.pathEnds[index])).toString('utf8');
}
