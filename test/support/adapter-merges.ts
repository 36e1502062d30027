/** Merges into adapters in a line, and how near what an adapter makes of its base is to what it should. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterReport } from '../../client/merge/adapter-report.js';
import { mergeOffline, type OfflineMergeReport } from '../../client/merge/merge-offline.js';
import { runOfflineJob } from '../../client/merge/offline-job.js';
import { type Adapter, openAdapter } from '../../shared/formats/adapter.js';
import type { EngineChoice, FoundEngine } from '../../shared/linalg/linear-algebra.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { type TestAdapter, valuesOf, writeAdapter } from './adapters.js';
import { fastestEngine } from './engine-choices.js';
import { type Model, toTensors, type Values } from './merge-fixture.js';
import { type MergedFolder, mergeFolders } from './offline-merge.js';
import { writeCheckpoint } from './write-checkpoint.js';

export const engineOf = (choice: EngineChoice) => async (): Promise<FoundEngine> => ({
  choice,
  device: 'cpu',
  library: choice.engine,
  reason: '',
  notes: [],
});

/** A base, and adapters or checkpoints beside it. */
export interface AdapterCase {
  readonly folder: string;
  readonly base: string;
  readonly models: readonly string[];
}

export function writeAdapterCase(root: string, base: Model, models: readonly (TestAdapter | Model)[], config?: object): AdapterCase {
  const folder = mkdtempSync(join(root, 'case-'));
  return {
    folder,
    base: writeCheckpoint(join(folder, 'base'), toTensors(base), config === undefined ? {} : { 'config.json': JSON.stringify(config) }),
    models: models.map((model, index) => {
      const path = join(folder, `m${index}`);
      return isAdapter(model) ? writeAdapter(path, base, model) : writeCheckpoint(path, toTensors(model));
    }),
  };
}

const isAdapter = (model: TestAdapter | Model): model is TestAdapter => Array.isArray((model as { factors?: unknown }).factors);

export interface RecipeParts {
  /** Top-level lines. */
  readonly recipe: string;
  /** Beside each model. */
  readonly parameters?: readonly Readonly<Record<string, number>>[] | undefined;
}

export function recipeFor({ base, models }: AdapterCase, { recipe, parameters = [] }: RecipeParts): string {
  const listed = models.map((model, index) => JSON.stringify({ model, ...(parameters[index] && { parameters: parameters[index] }) }));
  return `${recipe}\nbase_model: ${base}\n${listed.length === 0 ? '' : `models: [${listed.join(', ')}]\n`}`;
}

export interface AdapterMerge {
  readonly outDir: string;
  readonly report: OfflineMergeReport & { readonly adapter: AdapterReport & { readonly fromProducts: number } };
  readonly adapter: Adapter;
}

let outputs = 0;

/** @param output what the recipe says of it */
export async function mergeToAdapter(
  one: AdapterCase,
  parts: RecipeParts,
  output = 'adapter',
  { pool, engine = fastestEngine }: { readonly pool?: WorkerPool; readonly engine?: EngineChoice } = {},
): Promise<AdapterMerge> {
  outputs += 1;
  const outDir = join(one.folder, `adapter-${outputs}`);
  const recipeText = `${recipeFor(one, parts)}output: ${output}\n`;
  const options = { recipeText, recipePath: 'recipe.yml', outDir, threads: 1, version: 'test', findEngine: engineOf(engine) };
  const report = await (pool === undefined ? mergeOffline(options) : runOfflineJob(options, pool));
  if (report.adapter === undefined) throw new Error('no adapter was made');
  return { outDir, report: { ...report, adapter: report.adapter }, adapter: await openAdapter(outDir) };
}

/** Base and adapter as one model, in F32. */
export const applied = ({ folder, base }: AdapterCase, adapterDir: string, pool?: WorkerPool): Promise<MergedFolder> =>
  mergeFolders(
    folder,
    `merge_method: task_arithmetic\nout_dtype: float32\nbase_model: ${base}\nmodels: [{model: ${adapterDir}, parameters: {weight: 1}}]\n`,
    {
      pool,
    },
  );

/** The whole model that the recipe makes, in F32. */
export const mergedWhole = (one: AdapterCase, parts: RecipeParts, pool?: WorkerPool, engine = fastestEngine): Promise<MergedFolder> =>
  mergeFolders(one.folder, `${recipeFor(one, parts)}out_dtype: float32\n`, { pool, engine });

interface Weights {
  values(name: string): readonly number[];
}

export const weightsOf = (model: Model): Weights => ({ values: (name) => valuesOf(model[name] as Values) });

/** Distance of two changes of a base over all tensors, relative to the second (Frobenius). */
export function changesApart(base: Weights, names: readonly string[], got: Weights, wanted: Weights): number {
  let apart = 0;
  let all = 0;
  for (const name of names) {
    const [from, one, other] = [base.values(name), got.values(name), wanted.values(name)];
    other.forEach((value, index) => {
      apart += ((one[index] ?? Number.NaN) - value) ** 2;
      all += (value - (from[index] ?? 0)) ** 2;
    });
  }
  return Math.sqrt(apart / all);
}
