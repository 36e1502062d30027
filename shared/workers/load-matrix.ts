/** Reads whole matrices in a worker thread: widened to f32, the base taken off. */
import { DTYPE_BYTES } from '../formats/tensor.js';
import type { Kernels } from '../kernels/kernels.js';
import type { Matrix } from '../linalg/linear-algebra.js';
import type { NotFinite, StoredMatrix } from './matrix-job.js';
import type { SourceReader } from './source-reader.js';

const BLOCK = 65_536;
const WIDTHS = [DTYPE_BYTES.F32, DTYPE_BYTES.F16, DTYPE_BYTES.BF16] as const;

export class NotFiniteError extends Error {
  readonly found: NotFinite;
  constructor(found: NotFinite) {
    super('not finite');
    this.found = found;
  }
}

export interface MatrixLoader {
  /** @param input for the finding. @throws NotFiniteError */
  load(input: number, stored: StoredMatrix, rows: number, columns: number, base?: StoredMatrix): Matrix;
}

export function createMatrixLoader(kernels: Kernels, reader: SourceReader): MatrixLoader {
  const { run } = kernels;
  const slot = kernels.reserve(BLOCK * 4);
  const wide = kernels.reserve(BLOCK * 4);
  const baseWide = kernels.reserve(BLOCK * 4);

  function readBlock(input: number, { source, dtype }: StoredMatrix, start: number, count: number, to: number): void {
    const width = WIDTHS[dtype] ?? 4;
    reader.read(source, start * width, kernels.bytes(slot, count * width));
    const bad = run.firstNonFinite(slot, dtype, count);
    run.widen(slot, dtype, to, count);
    if (bad >= 0) throw new NotFiniteError({ input, element: start + bad, value: kernels.view().getFloat32(to + bad * 4, true) });
  }

  const floats = (pointer: number, count: number): Float32Array => {
    const bytes = kernels.bytes(pointer, count * 4);
    return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  };

  return {
    load(input, stored, rows, columns, base) {
      const data = new Float32Array(rows * columns);
      for (let start = 0; start < data.length; start += BLOCK) {
        const count = Math.min(BLOCK, data.length - start);
        readBlock(input, stored, start, count, wide);
        const values = floats(wide, count);
        if (base !== undefined) {
          readBlock(-1, base, start, count, baseWide);
          const taken = floats(baseWide, count);
          for (let index = 0; index < count; index++) values[index] = (values[index] ?? 0) - (taken[index] ?? 0);
        }
        data.set(values, start);
      }
      return { rows, columns, data };
    },
  };
}
