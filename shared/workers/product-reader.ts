/**
 * Values of products inside a worker thread, computed as they are read. What always holds: an element has the same bits whatever is read with it,
 * and memory has a bound. One factor of each product (`columns`) is kept in panels, the other one a window of rows at a time; when the room is
 * used up, all of it is given back and filled anew.
 */
import { TributaryError } from '../errors/tributary-error.js';
import { DTYPE_BYTES } from '../formats/tensor.js';
import { type Kernels, PADDING_BYTES } from '../kernels/kernels.js';
import { PRODUCT, type SourceTable } from './source-table.js';

/** Of one thread: factors of a tensor of some ten contributions of rank 64, in the largest models. A product that takes more gets more. */
export const PRODUCT_ROOM_BYTES = 96 * 1024 * 1024;
const WINDOW_BYTES = 256 * 1024;
/** Elements that are read and put in place at a time. */
const PIECE_ELEMENTS = 32_768;
const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;

type ReadStored = (source: number, start: number, into: Uint8Array) => void;

export interface ProductReader {
  readonly has: (source: number) => boolean;
  /** Fills `count` f32 in the kernels' memory with elements of a product from `element` on. */
  read(source: number, element: number, count: number, out: number): void;
}

interface Shape {
  readonly rows: number;
  readonly rowsDtype: number;
  readonly columns: number;
  readonly columnsDtype: number;
  readonly rank: number;
  readonly rowCount: number;
  readonly columnCount: number;
  readonly scale: number;
  readonly turned: boolean;
}

interface Kept {
  readonly panels: number;
  readonly window: number;
  /** Rows [from, to) are in the window. */
  from: number;
  to: number;
}

function shapeAt({ products }: SourceTable, index: number): Shape {
  const field = (name: number): number => products[index * PRODUCT.fields + name] ?? 0;
  return {
    rows: field(PRODUCT.rows),
    rowsDtype: field(PRODUCT.rowsDtype),
    columns: field(PRODUCT.columns),
    columnsDtype: field(PRODUCT.columnsDtype),
    rank: field(PRODUCT.rank),
    rowCount: field(PRODUCT.rowCount),
    columnCount: field(PRODUCT.columnCount),
    scale: field(PRODUCT.scale),
    turned: field(PRODUCT.turned) === 1,
  };
}

const aligned = (bytes: number): number => Math.ceil((bytes + PADDING_BYTES) / 64) * 64;
const panelBytes = ({ rank, columnCount }: Shape): number => aligned(Math.ceil(columnCount / 4) * rank * 16);
const windowRows = ({ rank, rowCount }: Shape): number => Math.max(1, Math.min(rowCount, Math.floor(WINDOW_BYTES / (rank * 8))));
const keptBytes = (shape: Shape): number => panelBytes(shape) + aligned(windowRows(shape) * shape.rank * 8);

/** What a thread sets aside for the products of a table, in bytes. */
export function productRoom(table: SourceTable, roomBytes = PRODUCT_ROOM_BYTES): number {
  let all = 0;
  let largest = 0;
  for (let index = 0; index * PRODUCT.fields < table.products.length; index++) {
    const bytes = keptBytes(shapeAt(table, index));
    all += bytes;
    largest = Math.max(largest, bytes);
  }
  return Math.max(largest, Math.min(all, roomBytes));
}

/**
 * Takes its memory at once, so that what is read into never moves.
 * @param readStored reads bytes of a stored source
 * @param limitBytes for factors; changes the speed, never a value
 */
export function createProductReader(
  table: SourceTable,
  kernels: Kernels,
  readStored: ReadStored,
  limitBytes: number = PRODUCT_ROOM_BYTES,
): ProductReader {
  const { run } = kernels;
  const shapes = new Map<number, Shape>();
  for (let index = 0; index * PRODUCT.fields < table.products.length; index++)
    shapes.set(table.products[index * PRODUCT.fields + PRODUCT.source] ?? 0, shapeAt(table, index));
  const roomBytes = productRoom(table, limitBytes);
  const room = kernels.reserve(roomBytes);
  const raw = kernels.reserve(PIECE_ELEMENTS * 4);
  const wide = kernels.reserve(PIECE_ELEMENTS * 8);
  const kept = new Map<number, Kept>();
  let used = 0;

  function readRaw(source: number, dtype: number, first: number, count: number): void {
    const width = WIDTHS[dtype] ?? 4;
    readStored(source, first * width, kernels.bytes(raw, count * width));
  }

  function loadPanels({ columns, columnsDtype, rank, columnCount, turned }: Shape, panels: number): void {
    const all = rank * columnCount;
    for (let first = 0; first < all; first += PIECE_ELEMENTS) {
      const count = Math.min(PIECE_ELEMENTS, all - first);
      readRaw(columns, columnsDtype, first, count);
      run.load32(raw, columnsDtype, wide, count);
      run.packPanels(wide, first, count, rank, columnCount, turned ? 1 : 0, panels);
    }
  }

  /** Rows [from, to) as f64, row by row. */
  function loadRows({ rows, rowsDtype, rank, rowCount, turned }: Shape, window: number, from: number, to: number): void {
    const count = (to - from) * rank;
    if (!turned) {
      for (let first = 0; first < count; first += PIECE_ELEMENTS) {
        const size = Math.min(PIECE_ELEMENTS, count - first);
        readRaw(rows, rowsDtype, from * rank + first, size);
        run.load64(raw, rowsDtype, window + first * 8, size);
      }
      return;
    }
    for (let k = 0; k < rank; k++) {
      for (let row = from; row < to; row += PIECE_ELEMENTS) {
        const size = Math.min(PIECE_ELEMENTS, to - row);
        readRaw(rows, rowsDtype, k * rowCount + row, size);
        run.load64(raw, rowsDtype, wide, size);
        run.spread64(wide, window + ((row - from) * rank + k) * 8, rank, size);
      }
    }
  }

  function open(source: number, shape: Shape): Kept {
    const known = kept.get(source);
    if (known !== undefined) return known;
    const bytes = keptBytes(shape);
    if (used + bytes > roomBytes) {
      kept.clear();
      used = 0;
    }
    const panels = room + used;
    const entry: Kept = { panels, window: panels + panelBytes(shape), from: 0, to: 0 };
    used += bytes;
    loadPanels(shape, panels);
    kept.set(source, entry);
    return entry;
  }

  return {
    has: (source) => shapes.has(source),
    read(source, element, count, out) {
      const shape = shapes.get(source);
      if (shape === undefined) throw new TributaryError('INTERNAL', { what: `source ${source} is no product` });
      const { rank, rowCount, columnCount, scale } = shape;
      const entry = open(source, shape);
      const end = element + count;
      for (let at = element; at < end; ) {
        const row = Math.floor(at / columnCount);
        const column = at - row * columnCount;
        if (row < entry.from || row >= entry.to) {
          entry.from = row;
          entry.to = Math.min(rowCount, row + windowRows(shape));
          loadRows(shape, entry.window, entry.from, entry.to);
        }
        const left = entry.window + (row - entry.from) * rank * 8;
        const to = out + (at - element) * 4;
        const whole = Math.min(entry.to - row, Math.floor((end - at) / columnCount));
        if (column === 0 && whole > 0) {
          run.productRows(left, entry.panels, rank, whole, 0, columnCount, to, scale);
          at += whole * columnCount;
        } else {
          const until = Math.min(columnCount, column + end - at);
          run.productRows(left, entry.panels, rank, 1, column, until, to, scale);
          at += until - column;
        }
      }
    },
  };
}
