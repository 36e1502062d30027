/** What the main thread and the threads that work on whole matrices say to each other: types only. */
import type { SerializedError } from '../errors/tributary-error.js';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { EngineChoice } from '../linalg/linear-algebra.js';
import type { MatrixCombine } from '../merge/derive.js';
import type { SourceTable } from './source-table.js';

export interface StoredMatrix {
  readonly source: number;
  /** DTYPE_CODE. */
  readonly dtype: number;
}

/** scale x left x right; rows, columns and rank are those of the factors. */
export interface StoredProduct {
  readonly left: StoredMatrix;
  readonly right: StoredMatrix;
  readonly rows: number;
  readonly columns: number;
  readonly rank: number;
  readonly scale: number;
  readonly transposed: boolean;
}

export interface MatrixInput extends StoredMatrix {
  /** The values are a task vector; else the base is taken off. */
  readonly difference: boolean;
  readonly eta?: number | undefined;
  readonly weight: number;
  /** How the input is kept, when it is no matrix but two factors; `source` gives the values all the same. */
  readonly product?: StoredProduct | undefined;
}

export interface MatrixTask {
  readonly rows: number;
  readonly columns: number;
  readonly inputs: readonly MatrixInput[];
  readonly base?: StoredMatrix | undefined;
  readonly combine: MatrixCombine;
  /** The file to write: what is made, one after the other, as f32. */
  readonly path: string;
}

export interface MatrixStart {
  readonly engine: EngineChoice;
  readonly kernels: WasmModule;
}

export type MatrixRequest =
  | ({ readonly kind: 'start' } & MatrixStart)
  | { readonly kind: 'task'; readonly task: MatrixTask; readonly sources: SourceTable };

/** Where a number is not finite: number of the input (-1: the base), of the element, and what is there. */
export interface NotFinite {
  readonly input: number;
  readonly element: number;
  readonly value: number;
}

export type MatrixReply =
  | { readonly kind: 'done'; readonly notFinite?: NotFinite | undefined }
  | { readonly kind: 'failed'; readonly error: SerializedError };
