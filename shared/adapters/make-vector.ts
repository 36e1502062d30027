/**
 * Makes the tensors of a task vector that have to be written before they are factored. What a killed run had finished is taken over when plan and
 * inputs are the same; what it had begun goes on by the journal of the merge.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsFile } from '../formats/safetensors-file.js';
import type { StoredTensor } from '../formats/tensor.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import { compilePart, layOutTiles } from '../merge/compile-job.js';
import { compileMatrices } from '../merge/compile-matrices.js';
import { planDigest } from '../merge/journal.js';
import { type MergeOptions, runMerge } from '../merge/run-merge.js';
import type { MergePlan } from '../merge/types.js';
import type { MergeVector } from './merge-vector.js';
import type { VectorSources } from './vector-source.js';

export interface VectorOptions extends Omit<MergeOptions, 'outputDir' | 'durable' | 'findEngine' | 'writeExtras'> {
  /** Its folder lasts over a killed run. */
  readonly outputDir: string;
  readonly engine: FoundEngine;
  readonly withCopies: boolean;
}

export interface MadeVector {
  readonly sources: VectorSources;
  readonly warnings: readonly string[];
  /** Some of it is an earlier run's. */
  readonly resumed: boolean;
}

/** Changes nothing but the numbers of tiles. */
const DIGEST_TILE_BYTES = 65_536;

function digestOf(plan: MergePlan, engine: FoundEngine): Promise<string> {
  const compiled = compilePart(plan.tensors, 0, layOutTiles(plan.tensors, DIGEST_TILE_BYTES));
  const derivations = plan.tensors.flatMap(({ derivation }) => (derivation === undefined ? [] : [derivation]));
  const matrices = { ...compileMatrices(derivations, (path) => path), engine: `${engine.library} ${engine.device}` };
  return planDigest(plan, compiled, matrices, undefined);
}

/** Warnings of a finished run of the same plan. */
async function finishedBefore(notePath: string, digest: string): Promise<readonly string[] | undefined> {
  try {
    const note = JSON.parse(await readFile(notePath, 'utf8')) as { digest: unknown; warnings: readonly string[] };
    return note.digest === digest ? note.warnings : undefined;
  } catch {
    return undefined;
  }
}

/** @throws what a merge throws */
export async function makeVector(vector: MergeVector, names: readonly string[], options: VectorOptions): Promise<MadeVector> {
  const { outputDir, engine, withCopies } = options;
  const plan = vector.planOf(names, withCopies);
  const [shard] = plan.shards;
  if (plan.tensors.length === 0 || shard === undefined) return { sources: new Map(), warnings: [], resumed: false };
  const notePath = `${outputDir}.json`;
  const digest = await digestOf(plan, engine);
  let warnings = await finishedBefore(notePath, digest);
  let resumed = warnings !== undefined;
  if (warnings === undefined) {
    await rm(notePath, { force: true });
    await rm(outputDir, { recursive: true, force: true });
    const outcome = await runMerge(plan, { ...options, durable: false, findEngine: async () => ({ ...engine, notes: [] }) });
    warnings = outcome.warnings;
    resumed = outcome.resumedTiles > 0;
    await writeFile(notePath, JSON.stringify({ digest, warnings }));
  }
  const { path, tensors } = await readSafetensorsFile(join(outputDir, shard.fileName));
  const stored = new Map(
    tensors.map(({ name, dtype, shape, offset, sizeBytes }): [string, StoredTensor] => [
      name,
      { name, dtype, shape, sizeBytes, segments: [{ path, offset, length: sizeBytes }] },
    ]),
  );
  return { sources: vector.sourcesOf(stored), warnings, resumed };
}
