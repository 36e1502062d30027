/** The last step of nuslerp by columns: two matrices added up row by row, with a coefficient of its own for each column of each. */
import type { Kernels } from '../kernels/kernels.js';
import { extrasAt } from '../merge/program-numbers.js';
import type { ProgramStatistics, TensorTask } from './program-job.js';
import type { Vectors } from './vectors.js';

export interface ColumnTurn {
  /** Takes the coefficients of a task's columns. */
  open(task: TensorTask): void;
  /** Turns whole rows of the loaded vectors. */
  turn(vectors: Vectors, result: number, count: number): void;
}

export function createColumnTurn(kernels: Kernels, { numbers }: ProgramStatistics): ColumnTurn {
  let coefficients = 0;
  let capacity = 0;
  let columns = 1;

  return {
    open(task) {
      const { precision } = task.program;
      columns = task.program.columns;
      if (columns > capacity) {
        capacity = columns;
        coefficients = kernels.reserve(2 * columns * 8);
      }
      const first = extrasAt(task);
      const bytes = kernels.bytes(coefficients, (2 * columns * precision) / 8);
      const list =
        precision === 64
          ? new Float64Array(bytes.buffer, bytes.byteOffset, 2 * columns)
          : new Float32Array(bytes.buffer, bytes.byteOffset, 2 * columns);
      list.set(numbers.subarray(first, first + 2 * columns));
    },
    turn({ v, pointers: [a = 0, b = 0] }, result, count) {
      for (let at = 0; at < count; at += columns) {
        const shift = at * v.sizeBytes;
        v.mixColumns(a + shift, b + shift, coefficients, coefficients + columns * v.sizeBytes, result + shift, columns);
      }
    },
  };
}
