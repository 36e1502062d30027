/** How a tensor that has a program is cut into tiles: part of the plan, and the same for every number of threads. */
import { BLOCK_ELEMENTS, type TensorProgram, UNIT_ELEMENTS } from './program.js';

/** Whether the last pass takes the tensor row by row. */
export function isRowWise({ combine, stages }: TensorProgram): boolean {
  if (combine.kind === 'row_slerp' || combine.kind === 'row_stock' || combine.kind === 'column_slerp') return true;
  return stages.some((stage) => stage.kind === 'della' && stage.rescale === 'probability');
}

/** Elements of a tile: a unit of statistics, or about as many in whole rows. */
export function tileElementsOf(program: TensorProgram): number {
  if (!isRowWise(program)) return UNIT_ELEMENTS;
  // Mask bits of a tile are whole bytes.
  let step = program.columns;
  while (program.taskMask !== undefined && step % 8 !== 0) step *= 2;
  return step * Math.max(1, Math.floor(UNIT_ELEMENTS / step));
}

/** Elements that are combined at a time: a block, a row, or about a block of rows. */
export function stepElementsOf(program: TensorProgram): number {
  if (!isRowWise(program)) return BLOCK_ELEMENTS;
  return program.combine.kind === 'column_slerp' ? blockRows(program.columns) : program.columns;
}

/** Whole rows of about a block. */
export const blockRows = (columns: number): number => columns * Math.max(1, Math.floor(BLOCK_ELEMENTS / columns));
