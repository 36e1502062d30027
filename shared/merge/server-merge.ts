/**
 * Carries out the three merges of a rule with a server optimiser. What the first two make lies in a folder of work, each renamed there when it
 * is whole; so a killed merge goes on with the one it was at, from that one's journal, and the result is the same.
 */
import { existsSync } from 'node:fs';
import { copyFile, link, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../formats/checkpoint.js';
import { startPool } from '../workers/pool.js';
import { type PlanRequest, planMerge } from './plan.js';
import { planMoments, planStep, type ServerRule } from './plan-server.js';
import { type MergeOptions, runMerge } from './run-merge.js';
import { MOMENTS, SERVER_STATE_FILE, type ServerState } from './server-state.js';
import type { MergePlan } from './types.js';

export interface ServerMerge {
  readonly rule: ServerRule;
  /** With the whole recipe, as of any other round. */
  readonly request: PlanRequest & { readonly base: NonNullable<PlanRequest['base']> };
  /** Of the base, when it has one of this optimiser; undefined: the moments begin at zero. */
  readonly old: ServerState | undefined;
  /** Where Delta and the moments are made; on the disk of the output. */
  readonly workDir: string;
  readonly options: Omit<MergeOptions, 'writeExtras' | 'pool'> & { readonly threads: number };
  /** Files beside the weights; the server state is put there as well. */
  readonly writeExtras: (folder: string, plan: MergePlan) => Promise<void>;
}

/** Hard links cost nothing; a disk without them takes a copy. */
async function putState(from: string, folder: string): Promise<void> {
  const to = join(folder, SERVER_STATE_FILE);
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}

/** @throws what planMerge and runMerge throw @returns bytes of all three merges */
export async function runServerMerge(merge: ServerMerge): Promise<{ readBytes: number; writtenBytes: number }> {
  const { rule, old, workDir, options } = merge;
  const request = { ...merge.request, recipe: rule.delta };
  const plan = planMerge(request);
  const deltaPlan = planMerge({ ...request, outputs: undefined, vectorOnly: true });
  const deltaDir = join(workDir, 'delta');
  const stateDir = join(workDir, 'state');
  const deltaBytes = deltaPlan.totals.writeBytes;
  // A moment is as large as Delta.
  const momentBytes = deltaBytes * MOMENTS[rule.optimizer].length;
  const totalBytes = deltaBytes + momentBytes + plan.totals.writeBytes;
  let readBytes = 0;
  const pool = startPool(options.threads);
  const run = async (step: MergePlan, outputDir: string, beforeBytes: number, writeExtras?: MergeOptions['writeExtras']): Promise<void> => {
    readBytes += step.totals.readBytes;
    await runMerge(step, {
      ...options,
      outputDir,
      pool,
      writeExtras,
      onProgress: ({ doneBytes, resumedBytes }) =>
        options.onProgress?.({
          doneBytes: Math.min(totalBytes, beforeBytes + doneBytes),
          totalBytes,
          resumedBytes: beforeBytes + resumedBytes,
        }),
    });
  };
  try {
    const server = { rule, plan, numHiddenLayers: request.numHiddenLayers };
    if (!existsSync(stateDir)) {
      if (!existsSync(deltaDir)) await run(deltaPlan, deltaDir, 0);
      const delta = await openCheckpoint(deltaDir);
      await run(planMoments(server, delta.tensors, old), stateDir, deltaBytes);
    }
    await rm(deltaDir, { recursive: true, force: true });
    const state = await openCheckpoint(stateDir);
    const stepPlan = planStep(server, request.base.tensors, state.tensors);
    await run(stepPlan, options.outputDir, deltaBytes + momentBytes, async (folder) => {
      const [file] = state.shards;
      if (file !== undefined) await putState(file.path, folder);
      await merge.writeExtras(folder, stepPlan);
    });
  } finally {
    await pool.close();
  }
  return { readBytes, writtenBytes: totalBytes };
}
