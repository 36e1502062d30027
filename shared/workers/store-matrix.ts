/** Whole matrices as bytes of a dtype, in a worker thread: rounded once, to nearest even. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { DTYPE_BYTES, type MergeDType } from '../formats/tensor.js';
import { DTYPE_CODE, type Kernels } from '../kernels/kernels.js';

const BLOCK = 65_536;

export interface StoredValues {
  /** Little-endian, in the order of the values. */
  readonly bytes: Uint8Array;
  /** What a reader of the bytes gets; infinite where a value is beyond the dtype. */
  readonly values: Float32Array;
}

export interface MatrixStorer {
  store(values: Float32Array, dtype: MergeDType): StoredValues;
}

/** Takes memory of the kernels. */
export function createMatrixStorer(kernels: Kernels): MatrixStorer {
  const wide = kernels.reserve(BLOCK * 4);
  const narrow = kernels.reserve(BLOCK * 4);

  return {
    store(values, dtype) {
      if (dtype === 'F32') return { bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), values };
      const width = DTYPE_BYTES[dtype];
      const bytes = new Uint8Array(values.length * width);
      const back = new Float32Array(values.length);
      const backBytes = new Uint8Array(back.buffer);
      const from = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      for (let start = 0; start < values.length; start += BLOCK) {
        const count = Math.min(BLOCK, values.length - start);
        kernels.bytes(wide, count * 4).set(from.subarray(start * 4, (start + count) * 4));
        kernels.run.narrow(wide, narrow, DTYPE_CODE[dtype], count);
        bytes.set(kernels.bytes(narrow, count * width), start * width);
        kernels.run.widen(narrow, DTYPE_CODE[dtype], wide, count);
        backBytes.set(kernels.bytes(wide, count * 4), start * 4);
      }
      return { bytes, values: back };
    },
  };
}

/** Makes a file of the parts, one after the other; they may be made as they are taken. @throws system errors as they are, and what making them throws */
export function writeParts(path: string, parts: Iterable<Uint8Array>): void {
  const file = openSync(path, 'w');
  try {
    let end = 0;
    for (const part of parts)
      for (let done = 0; done < part.length; ) {
        const written = writeSync(file, part, done, part.length - done, end);
        done += written;
        end += written;
      }
  } finally {
    closeSync(file);
  }
}
