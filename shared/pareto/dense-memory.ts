/**
 * The linear algebra of fits: that of the portable engine, whose sums go in an order that depends on sizes alone, so the same input gives the
 * same bits on every machine. One instance belongs to one thread and is started by the first fit.
 */
import { compileLinalgNow, createLinalgMemory, type LinalgMemory } from '../linalg/portable-memory.js';

let memory: LinalgMemory | undefined;

/** Gives memory back afterwards where it was much. */
export function withLinalg<Result>(run: (linalg: LinalgMemory) => Result): Result {
  memory ??= createLinalgMemory(compileLinalgNow());
  try {
    return run(memory);
  } finally {
    memory.trim();
  }
}

/** Rows one behind another into rows at a step of bytes; `scales`: what each row is multiplied with. */
export function loadRows(
  linalg: LinalgMemory,
  rows: Float64Array,
  count: number,
  columns: number,
  pointer: number,
  step: number,
  scales?: Float64Array,
): void {
  const into = linalg.doubles(pointer, (count * step) / 8);
  for (let row = 0; row < count; row++) {
    const to = (row * step) / 8;
    into.set(rows.subarray(row * columns, (row + 1) * columns), to);
    if (scales === undefined) continue;
    const scale = scales[row] as number;
    for (let at = to; at < to + columns; at++) into[at] = (into[at] as number) * scale;
  }
}

/** The opposite. */
export function storeRows(linalg: LinalgMemory, pointer: number, step: number, count: number, columns: number, rows: Float64Array): void {
  const from = linalg.doubles(pointer, (count * step) / 8);
  for (let row = 0; row < count; row++) {
    const at = (row * step) / 8;
    rows.set(from.subarray(at, at + columns), row * columns);
  }
}
