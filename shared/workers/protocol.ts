/** What main thread and workers say to each other: types only. Bulk data lies in SharedArrayBuffers; messages carry references and results. */
import type { SerializedError } from '../errors/tributary-error.js';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { LookBuffers, LookTask, ProgramStatistics, TensorTask } from './program-job.js';
import type { SourceTable } from './source-table.js';

/** Shared by all workers of a job: Int32 slots. */
export const CONTROL = { nextUnit: 0, stop: 1, doneUnits: 2, slots: 3 } as const;

export interface MergeJob {
  readonly kind: 'merge';
  readonly control: Int32Array;
  /** One byte a tile: 1 when its bytes are written. */
  readonly done: Uint8Array;
  readonly kernels: WasmModule;
  readonly sources: SourceTable;
  /** TENSOR_FIELDS numbers a tensor, USE_FIELDS numbers an input of a tensor (shared/merge/job-layout.ts). */
  readonly tensors: Float64Array;
  readonly uses: Float64Array;
  /** For each tensor its program, if it has one. */
  readonly tasks: readonly (TensorTask | undefined)[];
  readonly statistics: ProgramStatistics;
  /** Tiles end before this one; `control.nextUnit` begins at the first. */
  readonly endTile: number;
  readonly outputPaths: readonly string[];
  readonly tileBytes: number;
  /** Inputs that are held in memory together. */
  readonly groupSize: number;
}

export interface NormsJob {
  readonly kind: 'norms';
  readonly control: Int32Array;
  readonly kernels: WasmModule;
  readonly sources: SourceTable;
  /** Per unit: source, dtype code, base source or -1, base dtype code, first element, elements. */
  readonly units: Float64Array;
  /** Per unit the sum of squares; written by the workers. */
  readonly sums: Float64Array;
}

export interface HashJob {
  readonly kind: 'hash';
  readonly control: Int32Array;
  readonly sources: SourceTable;
  /** Sources in the order in which they are taken. */
  readonly order: Float64Array;
  /** 32 bytes a source; written by the workers. */
  readonly digests: Uint8Array;
  /** Bytes hashed so far, for progress. */
  readonly hashedBytes: BigInt64Array;
}

/** One statistics pass over tensors that have a program. */
export interface LookJob {
  readonly kind: 'look';
  readonly control: Int32Array;
  readonly kernels: WasmModule;
  readonly sources: SourceTable;
  readonly tasks: readonly LookTask[];
  readonly statistics: ProgramStatistics;
  readonly buffers: LookBuffers;
}

export type Job = MergeJob | NormsJob | HashJob | LookJob;

/** What a worker found wrong with the data, in numbers: the main thread knows the names. */
export type Finding =
  | { readonly kind: 'nonFinite'; readonly unit: number; readonly use: number; readonly element: number; readonly value: number }
  | { readonly kind: 'overflow'; readonly unit: number; readonly element: number }
  /** Nothing of the merged vector is left for an input (its number). */
  | { readonly kind: 'emptyTask'; readonly unit: number; readonly use: number }
  | { readonly kind: 'difference'; readonly unit: number; readonly use: number };

/** Number of `use` that stands for the base model in a finding. */
export const BASE_USE = -1;

export interface Request {
  readonly id: number;
  readonly job: Job;
}

export type Reply =
  | { readonly kind: 'done'; readonly id: number; readonly findings: readonly Finding[] }
  | { readonly kind: 'failed'; readonly id: number; readonly error: SerializedError };
