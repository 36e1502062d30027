/**
 * What every way of carrying out a plan has in common: output files at their full size with their headers, the plan cut into tiles, and the
 * tiles written at their places. Whether a journal, a rename or nothing stands around it is the caller's affair (run-merge.ts,
 * candidate-merger.ts); the bytes are the same.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { WasmModule } from '../kernels/web-assembly.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import type { WorkerPool } from '../workers/pool.js';
import { CONTROL, type Finding } from '../workers/protocol.js';
import { type CompiledPart, compilePart, layOutTiles, type TileLayout } from './compile-job.js';
import type { Derivation } from './derive.js';
import { fatalError } from './findings.js';
import type { MatrixStage } from './matrix-stage.js';
import { mergeParts } from './merge-parts.js';
import { outputFiles } from './shards.js';
import type { MergePlan } from './types.js';

/** Bytes of a tile in its widest buffer; see `npm run bench -- merge` for how it was chosen. */
const DEFAULT_TILE_BYTES = 256 * 1024;

export const PORTABLE: FoundEngine = {
  choice: { engine: 'portable' },
  device: 'cpu',
  library: 'WebAssembly',
  reason: 'nothing else was asked for',
  notes: [],
};

/** A plan and the memory that threads share while they work on it. */
export interface TiledPlan {
  readonly plan: MergePlan;
  readonly layout: TileLayout;
  readonly compiled: CompiledPart;
  /** One byte a tile: 1 when its bytes are written. */
  readonly done: Uint8Array;
  readonly control: Int32Array;
}

/** @param tileElements tiles of so many elements of 16 bits; half as many of 32 bits */
export function tilePlan(plan: MergePlan, tileElements?: number): TiledPlan {
  const tileBytes = tileElements === undefined ? DEFAULT_TILE_BYTES : tileElements * 2;
  const layout = layOutTiles(plan.tensors, Math.max(8, tileBytes));
  return {
    plan,
    layout,
    compiled: compilePart(plan.tensors, 0, layout),
    done: new Uint8Array(new SharedArrayBuffer(layout.tiles)),
    control: new Int32Array(new SharedArrayBuffer(CONTROL.slots * 4)),
  };
}

export const derivationsOf = ({ tensors }: MergePlan): Derivation[] =>
  tensors.flatMap(({ derivation }) => (derivation === undefined ? [] : [derivation]));

/** Opens the output files; without `resume` they are created at their full size with their headers. The caller closes them. */
export async function prepareOutputs(plan: MergePlan, folder: string, resume: boolean): Promise<FileHandle[]> {
  const files: FileHandle[] = [];
  for (const shard of outputFiles(plan)) {
    const file = await open(join(folder, shard.fileName), resume ? 'r+' : 'w');
    files.push(file);
    if (resume) continue;
    await file.truncate(shard.sizeBytes);
    await file.write(shard.headerBytes, 0, shard.headerBytes.length, 0);
  }
  return files;
}

export interface TileWriting {
  readonly pool: WorkerPool;
  readonly kernels: WasmModule;
  /** Where the output files stand. */
  readonly folder: string;
  /** Present when the plan derives tensors from whole matrices. */
  readonly matrices: MatrixStage | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Writes every tile that is not done yet. What is found wrong with the data is returned (requireUsable), what goes wrong otherwise is thrown. */
export async function writeTiles(tiled: TiledPlan, writing: TileWriting): Promise<readonly Finding[]> {
  const { plan, layout, compiled, done, control } = tiled;
  const { pool, kernels, folder, matrices, signal } = writing;
  return mergeParts(
    {
      pool,
      kernels,
      signal,
      layout,
      done,
      control,
      inputNames: plan.inputNames,
      planned: plan.tensors,
      compiled: matrices === undefined ? compiled : compilePart(plan.tensors, 0, layout, matrices.pathOf),
      pathOf: matrices?.pathOf,
      matrices,
      outputPaths: outputFiles(plan).map((shard) => join(folder, shard.fileName)),
    },
    plan,
  );
}

/** Throws for the first of the findings that forbid an output. */
export function requireUsable({ plan, layout }: TiledPlan, findings: readonly Finding[]): void {
  const fatal = fatalError(plan, layout, findings);
  if (fatal !== undefined) throw fatal;
}
