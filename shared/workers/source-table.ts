/**
 * Where bytes lie, in a form that threads share without copying: numbers and path bytes in SharedArrayBuffers. A model of 140 GB in
 * 4 MiB chunks has 35,000 segments a contribution; as objects they would be cloned into every worker.
 */
import { isMergeDType, type Product, type Segment, type StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE } from '../kernels/kernels.js';

/** A source is a run of bytes made of consecutive segments (a tensor, or one thing to hash), or values that are computed as they are read. */
export interface SourceTable {
  /** Per segment: path index, offset in the file, length, offset in the source. */
  readonly segments: Float64Array;
  /** Per source the index of its first segment; one entry more than sources. */
  readonly starts: Float64Array;
  readonly pathBytes: Uint8Array;
  /** Per path where its UTF-8 bytes end. */
  readonly pathEnds: Float64Array;
  /** See PRODUCT; sources that are none are absent. */
  readonly products: Float64Array;
  /** See SUM. */
  readonly sums: Float64Array;
}

export const SEGMENT_FIELDS = 4;

/** scale x rows x columns: two stored sources, the first (values of a row) with `rank` numbers a row, the second with `rank` a column. */
export const PRODUCT = {
  source: 0,
  rows: 1,
  /** DTYPE_CODE. */
  rowsDtype: 2,
  columns: 3,
  columnsDtype: 4,
  rank: 5,
  rowCount: 6,
  columnCount: 7,
  scale: 8,
  /** Both lie the other way round: the first as rank x rows, the second as columns x rank. */
  turned: 9,
  fields: 10,
} as const;

/** A stored source (its dtype: DTYPE_CODE) plus a product, both by number of the source. */
export const SUM = { source: 0, weights: 1, weightsDtype: 2, difference: 3, fields: 4 } as const;

export function sharedNumbers(values: readonly number[]): Float64Array {
  const shared = new Float64Array(new SharedArrayBuffer(values.length * 8));
  shared.set(values);
  return shared;
}

export interface SourceTableBuilder {
  /** Adds a source and returns its number. */
  add(segments: readonly Segment[]): number;
  /** The same of a tensor, whether it is stored or computed. */
  addTensor(tensor: StoredTensor): number;
  build(): SourceTable;
}

const codeOf = ({ dtype }: StoredTensor): number => (isMergeDType(dtype) ? DTYPE_CODE[dtype] : -1);

/** @param pathOf where the path of a segment lies, when that is known only now */
export function createSourceTableBuilder(pathOf: (path: string) => string = (path) => path): SourceTableBuilder {
  const fields: number[] = [];
  const starts: number[] = [0];
  const paths = new Map<string, number>();
  const products: number[] = [];
  const sums: number[] = [];

  function add(segments: readonly Segment[]): number {
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
  }

  function addProduct(source: number, { left, right, rank, scale, transposed }: Product): void {
    const leftAt = [add(left.segments), codeOf(left)] as const;
    const rightAt = [add(right.segments), codeOf(right)] as const;
    const sizes = [left.shape[0] ?? 0, right.shape.slice(1).reduce((product, size) => product * size, 1)];
    if (transposed) sizes.reverse();
    const [rows, columns] = transposed ? [rightAt, leftAt] : [leftAt, rightAt];
    products.push(source, ...rows, ...columns, rank, ...sizes, scale, transposed ? 1 : 0);
  }

  function addTensor({ segments, product, sum }: StoredTensor): number {
    const source = add(segments);
    if (product !== undefined) addProduct(source, product);
    if (sum !== undefined) sums.push(source, addTensor(sum.weights), codeOf(sum.weights), addTensor(sum.difference));
    return source;
  }

  return {
    add,
    addTensor,
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
      return {
        segments: sharedNumbers(fields),
        starts: sharedNumbers(starts),
        pathBytes,
        pathEnds: sharedNumbers(pathEnds),
        products: sharedNumbers(products),
        sums: sharedNumbers(sums),
      };
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
