/** Offline merges in a line, for tests that care about the numbers of a rule: models as values in, tensors of the merged folder out. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { runOfflineJob } from '../../client/merge/offline-job.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { isMergeDType, type MergeDType } from '../../shared/formats/tensor.js';
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';
import type { WorkerPool } from '../../shared/workers/pool.js';
import { type Model, toTensors } from './merge-fixture.js';
import type { ReferenceParameter } from './reference/types.js';
import { decode } from './scalar-reference.js';
import { writeCheckpoint } from './write-checkpoint.js';

export interface OfflineModel {
  readonly tensors: Model;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  /** Beside the model. */
  readonly parameters?: Readonly<Record<string, number>> | undefined;
}

export interface OfflineCase {
  /** Top-level lines; `models`, `base_model`, and `parameters` if given below, are added. */
  readonly recipe: string;
  readonly parameters?: Readonly<Record<string, ReferenceParameter>> | undefined;
  readonly base?: Model | undefined;
  readonly models: readonly OfflineModel[];
}

/** Checkpoints and recipe on disk. */
export interface WrittenCase {
  readonly folder: string;
  readonly recipeText: string;
}

export function writeCase(root: string, one: OfflineCase): WrittenCase {
  const folder = mkdtempSync(join(root, 'case-'));
  const write = (name: string, model: Model): string => writeCheckpoint(join(folder, name), toTensors(model));
  const recipe = {
    ...(one.base === undefined ? {} : { base_model: write('base', one.base) }),
    models: one.models.map(({ tensors, samples, steps, parameters }, index) => ({
      model: write(String.fromCharCode(97 + index), tensors),
      ...(samples === undefined ? {} : { samples }),
      ...(steps === undefined ? {} : { steps }),
      ...(parameters === undefined ? {} : { parameters }),
    })),
    ...(one.parameters === undefined ? {} : { parameters: one.parameters }),
  };
  const lines = Object.entries(recipe).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  return { folder, recipeText: `${one.recipe}\n${lines.join('')}` };
}

export interface MergedFolder {
  readonly fileBytes: Buffer;
  readonly warnings: readonly string[];
  readonly names: () => string[];
  readonly dtype: (tensor: string) => MergeDType;
  readonly bits: (tensor: string) => number[];
  readonly values: (tensor: string) => number[];
}

async function readFolder(folder: string, warnings: readonly string[]): Promise<MergedFolder> {
  const { tensors } = await openCheckpoint(folder);
  const fileBytes = readFileSync(join(folder, 'model.safetensors'));
  const dtype = (name: string): MergeDType => {
    const stored = tensors.get(name)?.dtype;
    if (stored === undefined || !isMergeDType(stored)) throw new Error(`no merged tensor ${name}`);
    return stored;
  };
  const bits = (name: string): number[] => {
    const { offset, length } = tensors.get(name)?.segments[0] ?? { offset: 0, length: 0 };
    const { buffer } = Uint8Array.from(fileBytes.subarray(offset, offset + length));
    return [...(dtype(name) === 'F32' ? new Uint32Array(buffer) : new Uint16Array(buffer))];
  };
  return {
    fileBytes,
    warnings,
    names: () => [...tensors.keys()],
    dtype,
    bits,
    values: (name) => bits(name).map((one) => decode(dtype(name), one)),
  };
}

interface Options {
  /** Shared by many merges; without one the merge starts its own, as the command line does. */
  readonly pool?: WorkerPool | undefined;
  readonly tileElements?: number | undefined;
  /** For rules on whole matrices; the portable one without. */
  readonly engine?: EngineChoice | undefined;
}

export const mergeWritten = ({ folder, recipeText }: WrittenCase, options?: Options): Promise<MergedFolder> =>
  mergeFolders(folder, recipeText, options);

/** @returns the folders, for recipes that name them */
export function writeModels(root: string, models: readonly Model[]): string[] {
  return models.map((model) => writeCheckpoint(mkdtempSync(join(root, 'model-')), toTensors(model)));
}

let outputs = 0;

/** @param root where the merged folder is put */
export async function mergeFolders(root: string, recipeText: string, { pool, tileElements, engine }: Options = {}): Promise<MergedFolder> {
  outputs += 1;
  const outDir = join(root, `out-${outputs}`);
  const findEngine =
    engine === undefined ? undefined : async () => ({ choice: engine, device: 'cpu', library: engine.engine, reason: '', notes: [] });
  const options = { recipeText, recipePath: 'recipe.yml', outDir, threads: 1, tileElements, version: 'test', findEngine };
  const report = await (pool === undefined ? mergeOffline(options) : runOfflineJob(options, pool));
  return readFolder(outDir, report.warnings);
}
