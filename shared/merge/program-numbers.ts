/** Numbers that a program's statistics hold beside those of stages and inputs: one for each row, or for each column of two inputs. */
import { STATISTIC, type TensorTask } from '../workers/program-job.js';
import { type TensorProgram, UNIT_ELEMENTS } from './program.js';

/** Groups of rows that columns are added up in: enough for all threads, few enough that their sums stay small. Part of the result. */
const MOST_GROUPS = 64;
const MOST_COLUMN_SUMS = 2 ** 21;
/** a a, a b, b b */
export const COLUMN_PRODUCTS = 3;

export const rowsOf = (program: TensorProgram, count: number): number => Math.ceil(count / program.columns);

/** Whole rows, about as many elements as a unit of statistics has. */
export const wholeRows = (columns: number): number => columns * Math.max(1, Math.floor(UNIT_ELEMENTS / columns));

/** Rows of a group whose products are added up column by column. */
export function rowsOfGroup(program: TensorProgram, count: number): number {
  const groups = Math.min(
    MOST_GROUPS,
    Math.floor(MOST_COLUMN_SUMS / (COLUMN_PRODUCTS * program.columns)),
    Math.ceil(count / UNIT_ELEMENTS),
  );
  return Math.ceil(rowsOf(program, count) / Math.max(1, groups));
}

/** As many as statistics need beside those of stages, in whole records. */
export function extraNumbers(program: TensorProgram, count: number): number {
  let numbers = 0;
  if (program.combine.kind === 'column_slerp') numbers += 2 * program.columns;
  if (program.stages.some((stage) => stage.kind === 'importance')) numbers += rowsOf(program, count);
  return Math.ceil(numbers / STATISTIC.fields) * STATISTIC.fields;
}

/** Sums of a statistics pass for which `totalsOf` and `cutParts` have to find room. */
export function extraSums(program: TensorProgram, count: number): number {
  if (program.combine.kind !== 'column_slerp') return 0;
  return Math.ceil(rowsOf(program, count) / rowsOfGroup(program, count)) * COLUMN_PRODUCTS * program.columns;
}

/** Index in `numbers` of the first of them. */
export const extrasAt = ({ numbersAt, program, uses }: TensorTask): number =>
  numbersAt + (program.stages.length + 1) * uses.length * STATISTIC.fields;
