/** Rounds with a server optimiser, one after the other on what the last one published, without a coordinator. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import type { MergeDType } from '../../shared/formats/tensor.js';
import { planMerge } from '../../shared/merge/plan.js';
import { serverRuleOf } from '../../shared/merge/plan-server.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import { runServerMerge, type ServerMerge } from '../../shared/merge/server-merge.js';
import { readServerState, SERVER_STATE_FILE, type ServerState } from '../../shared/merge/server-state.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import { toTensors } from './merge-fixture.js';
import { decode } from './scalar-reference.js';
import { writeCheckpoint } from './write-checkpoint.js';

/** Values by tensor. */
export type Numbers = Readonly<Record<string, readonly number[]>>;

export interface ServerRound {
  readonly recipe: string;
  readonly dtype: MergeDType;
  readonly base: Numbers;
  readonly contributions: readonly { readonly values: Numbers; readonly samples: number; readonly kind?: 'full' | 'delta' }[];
  readonly old: ServerState | undefined;
}

export interface ServerOutcome {
  readonly model: Numbers;
  readonly state: ServerState;
  readonly moments: Numbers;
  readonly outputDir: string;
}

async function numbersIn(path: string): Promise<Numbers> {
  const { tensors, shards } = await openCheckpoint(path);
  const bytes = new Map(shards.map((shard) => [shard.path, readFileSync(shard.path)]));
  return Object.fromEntries(
    [...tensors].map(([name, { dtype, segments }]) => {
      const [{ path: file, offset, length } = { path: '', offset: 0, length: 0 }] = segments;
      const { buffer } = Uint8Array.from(bytes.get(file)?.subarray(offset, offset + length) ?? []);
      const bits = dtype === 'F32' ? new Uint32Array(buffer) : new Uint16Array(buffer);
      return [name, Array.from(bits, (one) => decode(dtype as MergeDType, one))];
    }),
  );
}

async function prepare(root: string, round: Omit<ServerRound, 'old'>): Promise<{ folder: string; request: ServerMerge['request'] }> {
  const folder = mkdtempSync(join(root, 'round-'));
  const write = (name: string, values: Numbers): string =>
    writeCheckpoint(
      join(folder, name),
      toTensors(Object.fromEntries(Object.entries(values).map(([tensor, own]) => [tensor, { dtype: round.dtype, values: own }]))),
    );
  const recipe = parseRecipe(round.recipe, { fileName: 'recipe.yml' });
  const inputs = [];
  for (const [index, { values, samples, kind = 'full' }] of round.contributions.entries()) {
    const { tensors } = await openCheckpoint(write(`input-${index}`, values));
    inputs.push({ name: `input-${index}`, kind, tensors, samples, steps: samples + 1, weightsDigest: `digest ${index}` });
  }
  const base = { name: 'base', tensors: (await openCheckpoint(write('base', round.base))).tensors };
  return { folder, request: { recipe, base, inputs, inRound: true } };
}

/** The same merge without the step `server`. */
export async function playWithoutServer(root: string, round: Omit<ServerRound, 'old'>): Promise<Numbers> {
  const { folder, request } = await prepare(root, round);
  const outputDir = join(folder, 'out');
  await runMerge(planMerge(request), { outputDir, threads: 1, durable: false });
  return numbersIn(outputDir);
}

export async function playServerRound(root: string, round: ServerRound): Promise<ServerOutcome> {
  const { folder, request } = await prepare(root, round);
  const rule = serverRuleOf(request.recipe);
  if (rule === undefined) throw new Error('no server optimiser in the recipe');
  const outputDir = join(folder, 'out');
  await runServerMerge({
    rule,
    request,
    old: round.old,
    workDir: join(folder, 'work'),
    options: { outputDir, threads: 1, durable: false },
    writeExtras: (output) => writeFile(join(output, 'README.md'), ''),
  });
  const stateFile = join(outputDir, SERVER_STATE_FILE);
  const state = await readServerState(stateFile);
  if (state === undefined) throw new Error('no server state was left');
  return { model: await numbersIn(join(outputDir, 'model.safetensors')), state, moments: await numbersIn(stateFile), outputDir };
}
