/**
 * Pull of one task's own model: the merged model with its masks and the base it was merged on come into folders beside the target, the
 * task's model is made of them, and they are removed. What was fetched stays for the next attempt when one of the steps fails.
 */
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Model } from '../../shared/generated/tributary/v1/models.js';
import { openTaskMasks } from '../../shared/merge/rebuild-task.js';
import { TASK_MASKS_FILE } from '../../shared/merge/task-masks.js';
import type { Connection } from '../api/connection.js';
import { persevere } from '../api/retry.js';
import { rebuildTask } from '../merge/rebuild-task.js';
import { readOrigin } from '../origin.js';
import { type PullOptions, type PullReport, pull } from './pull.js';

export interface PullTaskOptions extends PullOptions {
  readonly task: string;
}

/** Fetches a model unless an earlier attempt has. */
async function fetchOnce(connection: Connection, model: Model, folder: string, options: PullOptions): Promise<void> {
  if ((await readOrigin(folder))?.manifest_digest === model.manifestDigest) return;
  await rm(folder, { recursive: true, force: true });
  await pull(connection, { ...options, name: model.name, outDir: folder });
}

/** @throws FILE_NOT_FOUND when the model has no masks, USAGE when it has no such task, and what `pull` throws */
export async function pullTask(connection: Connection, options: PullTaskOptions): Promise<PullReport> {
  const { name, task, threads, patience } = options;
  const { signal } = patience;
  const outDir = resolve(options.outDir);
  if (existsSync(outDir) && (await readdir(outDir)).length > 0)
    throw new TributaryError('OUTPUT_EXISTS', {
      what: 'The output folder is not empty',
      where: outDir,
      fix: 'Choose another --out, or remove it.',
    });
  const find = (reference: string): Promise<Model> =>
    persevere(patience, () => connection.models.getModel({ name: reference }, { signal }));
  const model = await find(name);
  if (!model.files.some(({ path }) => path === TASK_MASKS_FILE))
    throw new TributaryError('FILE_NOT_FOUND', {
      what: `${model.name} keeps no task masks: its rule makes one model for all tasks`,
      expected: TASK_MASKS_FILE,
      fix: 'Pull it without --task, or merge with emr or tall.',
    });
  const beside = (what: string): string => join(dirname(outDir), `.${basename(outDir)}.tributary-${what}`);
  const [mergedDir, baseDir] = [beside('merged'), beside('base')];
  await fetchOnce(connection, model, mergedDir, options);
  const masks = await openTaskMasks(join(mergedDir, TASK_MASKS_FILE));
  if (!masks.tasks.includes(task))
    throw new TributaryError('USAGE', { what: `${model.name} has no task ${task}`, expected: masks.tasks.join(', ') });
  await fetchOnce(connection, await find(masks.baseDigest ?? masks.base), baseDir, options);
  const report = await rebuildTask({ mergedDir, baseDir, task, outDir, threads, signal });
  await Promise.all([mergedDir, baseDir].map((folder) => rm(folder, { recursive: true, force: true })));
  return { model, outDir, totalBytes: report.writeBytes, savedBytes: 0 };
}
