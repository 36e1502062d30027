/** Batches of prepared inputs as onnxruntime wants them. */
import type { NumericArray } from '../data/column.js';
import type { PreparedInput } from '../data/prepare-input.js';
import type { OnnxRuntime, OnnxTensor } from './session.js';

/** Rows from `start`, `count` of them; a graph with a fixed batch gets its last row again until it is full. */
export function feed(runtime: OnnxRuntime, input: PreparedInput, start: number, count: number): OnnxTensor {
  const { type, shape, values, batch = count } = input;
  const size = shape.reduce((product, one) => product * one, 1);
  const rows = values.subarray(start * size, (start + count) * size);
  if (batch === count) return new runtime.Tensor(type, rows, [count, ...shape]);
  const filled = new (values.constructor as new (length: number) => NumericArray)(batch * size);
  const write = (from: NumericArray, at: number): void => (filled as Float64Array).set(from as Float64Array, at);
  write(rows, 0);
  for (let row = count; row < batch; row += 1) write(rows.subarray((count - 1) * size), row * size);
  return new runtime.Tensor(type, filled, [batch, ...shape]);
}
