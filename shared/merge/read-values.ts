/** All values of one tensor as F32 in ordinary memory, however they are kept: for what looks at few tensors, outside of the worker threads. */

import { TributaryError } from '../errors/tributary-error.js';
import { elementCount } from '../formats/safetensors-header.js';
import { DTYPE_BYTES, isMergeDType, type StoredTensor } from '../formats/tensor.js';
import { DTYPE_CODE, type Kernels } from '../kernels/kernels.js';
import { createSourceReader } from '../workers/source-reader.js';
import { createSourceTableBuilder } from '../workers/source-table.js';

const PIECE_ELEMENTS = 32_768;

/** @throws UNSUPPORTED_DTYPE, SAFETENSORS_TRUNCATED, system errors as they are */
export function readValues(kernels: Kernels, tensor: StoredTensor): Float32Array {
  const { dtype, name, shape } = tensor;
  if (!isMergeDType(dtype))
    throw new TributaryError('UNSUPPORTED_DTYPE', { what: `${name} has no values to read`, expected: 'F32, F16 or BF16', got: dtype });
  const count = elementCount(shape) ?? 0;
  const values = new Float32Array(count);
  const builder = createSourceTableBuilder();
  const source = builder.addTensor(tensor);
  kernels.reset();
  const stored = kernels.reserve(PIECE_ELEMENTS * 4);
  const wide = kernels.reserve(PIECE_ELEMENTS * 4);
  const reader = createSourceReader(builder.build(), kernels);
  const width = DTYPE_BYTES[dtype];
  try {
    for (let done = 0; done < count; done += PIECE_ELEMENTS) {
      const size = Math.min(PIECE_ELEMENTS, count - done);
      reader.read(source, done * width, kernels.bytes(stored, size * width));
      kernels.run.widen(stored, DTYPE_CODE[dtype], wide, size);
      const bytes = kernels.bytes(wide, size * 4);
      values.set(new Float32Array(bytes.slice().buffer), done);
    }
  } finally {
    reader.close();
  }
  return values;
}
