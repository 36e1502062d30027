/** How a merge plan is laid out as plain numbers for the workers. Written by compile-job.ts, read by workers/merge-tiles.ts. */

/** Fields of one tensor in MergeJob.tensors. */
export const TENSOR = {
  /** Tiles of all tensors are numbered through; this is the first of this tensor. */
  firstTile: 0,
  /** See ACTION. */
  action: 1,
  /** Elements to merge, or bytes to copy. */
  count: 2,
  /** The same unit, a tile. */
  tileCount: 3,
  shard: 4,
  /** Byte offset in the shard. */
  offset: 5,
  outDtype: 6,
  firstUse: 7,
  useCount: 8,
  /** Source and dtype of the base; -1 when the arithmetic does not need it. */
  baseSource: 9,
  baseDtype: 10,
  divisor: 11,
  lambda: 12,
  plusBase: 13,
  fields: 14,
} as const;

/** Weighted sum; bytes of the first use; the same, insisting that all uses hold the same bytes; a program (merge/program.ts). */
export const ACTION = { merge: 0, copy: 1, copyIdentical: 2, program: 3 } as const;

/** Fields of one input of one tensor in MergeJob.uses. */
export const USE = { source: 0, dtype: 1, mode: 2, coefficient: 3, fields: 4 } as const;
