/** Sources without bytes of their own: products, and stored weights plus a product. Values are f32 in the kernels' memory. */
import { TributaryError } from '../errors/tributary-error.js';
import { DTYPE_BYTES } from '../formats/tensor.js';
import type { Kernels } from '../kernels/kernels.js';
import { createProductReader } from './product-reader.js';
import { type SourceTable, SUM } from './source-table.js';

const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;
const PIECE_ELEMENTS = 32_768;

export interface ComputedReader {
  /** As SourceReader.read. */
  read(source: number, start: number, into: Uint8Array): void;
}

export function createComputedReader(
  table: SourceTable,
  kernels: Kernels,
  readStored: (source: number, start: number, into: Uint8Array) => void,
): ComputedReader {
  const products = createProductReader(table, kernels, readStored);
  const { sums } = table;
  const rows = new Map<number, number>();
  for (let at = 0; at < sums.length; at += SUM.fields) rows.set(sums[at + SUM.source] ?? 0, at);
  const raw = sums.length === 0 ? 0 : kernels.reserve(PIECE_ELEMENTS * 4);

  return {
    read(source, start, into) {
      // The view may be detached by the next `reserve`, its place stays.
      const out = into.byteOffset;
      const element = start / 4;
      const count = into.length / 4;
      if (products.has(source)) return products.read(source, element, count, out);
      const at = rows.get(source);
      if (at === undefined) throw new TributaryError('INTERNAL', { what: `source ${source} has no bytes` });
      const dtype = sums[at + SUM.weightsDtype] ?? 0;
      const width = WIDTHS[dtype] ?? 4;
      products.read(sums[at + SUM.difference] ?? 0, element, count, out);
      for (let done = 0; done < count; done += PIECE_ELEMENTS) {
        const size = Math.min(PIECE_ELEMENTS, count - done);
        readStored(sums[at + SUM.weights] ?? 0, (element + done) * width, kernels.bytes(raw, size * width));
        kernels.run.loadSum32(raw, dtype, out + done * 4, out + done * 4, size);
      }
    },
  };
}
