/**
 * Merges candidate after candidate of one study into one folder: inputs are opened, threads started and kernels compiled once, the output files
 * are created once and then rewritten in place. The bytes are those of `runMerge` of the same candidate; what it has around them (journal,
 * rename, flush) is missing. So the folder is only whole between the end of one `merge` and the beginning of the next, and is never taken over
 * from an earlier process.
 */
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import type { Sidecar } from '../formats/sidecars.js';
import { compileKernels } from '../kernels/kernels.js';
import type { FoundEngine } from '../linalg/linear-algebra.js';
import type { Dimension } from '../pareto/study.js';
import { candidateRecipe } from '../recipe/map-block.js';
import type { Recipe } from '../recipe/recipe.js';
import { startPool, type WorkerPool } from '../workers/pool.js';
import { derivationsOf, PORTABLE, prepareOutputs, requireUsable, tilePlan, writeTiles } from './carry-out.js';
import { createKeptMatrices, type KeptMatrices } from './kept-matrices.js';
import { withStoredDtype } from './model-config.js';
import { planMerge } from './plan.js';
import { outputFiles } from './shards.js';
import type { MergeBase, MergeInput, MergePlan } from './types.js';

const INDEX = 'model.safetensors.index.json';

export interface CandidateMergerOptions {
  readonly base: MergeBase;
  /** In the order of the arithmetic: of a round, that of the contributors' names. */
  readonly inputs: readonly MergeInput[];
  /** Of the round. */
  readonly recipe: Recipe;
  readonly dimensions: readonly Dimension[];
  /** Belongs to the merger: whatever is in it is removed. */
  readonly folder: string;
  /** For what is made on the way there; beside the folder unless said. */
  readonly scratchDir?: string | undefined;
  /** Configuration and tokenizer of the base: put beside the weights. */
  readonly sidecars?: readonly Sidecar[] | undefined;
  /** Default: one a processor. Ignored when a pool is given. */
  readonly threads?: number | undefined;
  /** Threads that are running already (without `callerHelps`); the caller closes them. */
  readonly pool?: WorkerPool | undefined;
  /** Linear algebra for rules on whole matrices. Default: the portable engine. */
  readonly findEngine?: (() => Promise<FoundEngine>) | undefined;
  readonly numHiddenLayers?: number | undefined;
  readonly shardSizeBytes?: number | undefined;
}

export interface CandidateMerger {
  /**
   * Makes the folder this candidate; one call at a time. When it throws, the folder is no model until another call has succeeded.
   * @param coefficients one for each dimension
   * @throws RECIPE_INVALID, NON_FINITE and what else a merge throws; INTERRUPTED
   */
  merge(coefficients: readonly number[], signal?: AbortSignal): Promise<void>;
  /** The folder stays. */
  close(): Promise<void>;
}

/** Whether files made for one plan have the place for all of another's bytes. */
function sameFiles(one: MergePlan, other: MergePlan): boolean {
  const [before, now] = [outputFiles(one), outputFiles(other)];
  return (
    before.length === now.length &&
    one.indexText === other.indexText &&
    one.dtype === other.dtype &&
    before.every(({ fileName, sizeBytes, headerBytes }, index) => {
      const file = now[index];
      return (
        file !== undefined &&
        fileName === file.fileName &&
        sizeBytes === file.sizeBytes &&
        Buffer.compare(headerBytes, file.headerBytes) === 0
      );
    })
  );
}

async function createFolder(folder: string, plan: MergePlan, sidecars: readonly Sidecar[]): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const file of await prepareOutputs(plan, folder, false)) await file.close();
  if (plan.indexText !== undefined) await writeFile(join(folder, INDEX), plan.indexText);
  for (const { name, path } of sidecars) {
    if (name === 'config.json' && plan.dtype !== undefined)
      await writeFile(join(folder, name), withStoredDtype(await readFile(path, 'utf8'), plan.dtype));
    else await copyFile(path, join(folder, name));
  }
}

/** Removes what an evaluator left beside the weights: of the next candidate it would be wrong. @returns whether the files are as they were made */
async function tidyFolder(folder: string, plan: MergePlan, sidecars: readonly Sidecar[]): Promise<boolean> {
  const files = new Map(outputFiles(plan).map(({ fileName, sizeBytes }) => [fileName, sizeBytes]));
  const own = new Set([...files.keys(), INDEX, ...sidecars.map(({ name }) => name)]);
  const found = new Set(await readdir(folder).catch((): string[] => []));
  for (const name of found) if (!own.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  for (const [name, sizeBytes] of files) if (!found.has(name) || (await stat(join(folder, name))).size !== sizeBytes) return false;
  return sidecars.every(({ name }) => found.has(name)) && (plan.indexText === undefined || found.has(INDEX));
}

export function createCandidateMerger(options: CandidateMergerOptions): CandidateMerger {
  const { base, inputs, recipe, dimensions, folder, sidecars = [], numHiddenLayers, shardSizeBytes } = options;
  const threads = options.pool?.threads ?? options.threads ?? availableParallelism();
  const pool = options.pool ?? startPool(threads);
  const kernels = compileKernels();
  kernels.catch(() => undefined);
  let matrices: KeptMatrices | undefined;
  /** The plan that the files stand for. */
  let standing: MergePlan | undefined;

  async function mergeInPlace(coefficients: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    const plan = planMerge({
      recipe: candidateRecipe(recipe, dimensions, coefficients),
      base,
      inputs,
      inRound: true,
      numHiddenLayers,
      shardSizeBytes,
    });
    const fits = standing !== undefined && sameFiles(standing, plan) && (await tidyFolder(folder, plan, sidecars));
    if (!fits) {
      standing = undefined;
      await createFolder(folder, plan, sidecars);
      standing = plan;
    }
    const module = await kernels;
    if (derivationsOf(plan).length > 0 && matrices === undefined) {
      const { choice } = await (options.findEngine?.() ?? PORTABLE);
      matrices = createKeptMatrices({ scratchDir: options.scratchDir ?? `${folder}.scratch`, engine: choice, threads, kernels: module });
    }
    const tiled = tilePlan(plan);
    const stage = derivationsOf(plan).length > 0 ? matrices?.stageFor(plan, signal) : undefined;
    requireUsable(tiled, await writeTiles(tiled, { pool, kernels: module, folder, matrices: stage, signal }));
  }

  return {
    async merge(coefficients, signal) {
      if (coefficients.length !== dimensions.length)
        throw new TributaryError('INTERNAL', {
          what: 'a candidate has another number of coefficients than the study has dimensions',
          expected: `${dimensions.length}`,
          got: `${coefficients.length}`,
        });
      try {
        await mergeInPlace(coefficients, signal);
      } catch (error) {
        standing = undefined;
        await matrices?.reset();
        throw toTributaryError(error, folder);
      }
    },
    async close() {
      await matrices?.reset();
      if (options.pool === undefined) await pool.close();
    },
  };
}
