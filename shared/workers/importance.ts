/**
 * Importance of a change (Arcee Fusion): its magnitude times how far it moves the softmax of its row. The divergences of all rows are known
 * before (special-looks.ts); elements are weighed block by block, wherever rows end.
 */
import type { VectorFunctions } from '../kernels/block-functions.js';
import { extrasAt } from '../merge/program-numbers.js';
import type { ProgramStatistics, TensorTask } from './program-job.js';

/**
 * out = |vector| x divergence of the row.
 * @param element index in the tensor of the first element
 */
export function weighImportance(
  v: VectorFunctions,
  { numbers }: ProgramStatistics,
  task: TensorTask,
  vector: number,
  out: number,
  element: number,
  count: number,
): void {
  const { columns } = task.program;
  const first = extrasAt(task);
  let done = 0;
  while (done < count) {
    const row = Math.floor((element + done) / columns);
    const size = Math.min((row + 1) * columns - element - done, count - done);
    v.weighedMagnitudes(vector + done * v.sizeBytes, numbers[first + row] ?? 0, out + done * v.sizeBytes, size);
    done += size;
  }
}
