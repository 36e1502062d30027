/**
 * A merge works in a hidden folder beside its target and appears there with one rename. What always holds: the target either does not exist
 * (or is what it was before), or is whole; a killed merge leaves its staging folder, which the same merge continues from.
 *
 * Layout of `.NAME.tributary-partial`: `output/` (what will be the target), `journal` (which tiles are written), `lock` (who is at work),
 * `scratch/` (never taken over from an earlier run).
 */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TributaryError, toTributaryError } from '../errors/tributary-error.js';
import { giveLockBack, takeLock } from '../util/lock-file.js';

export interface Staging {
  /** The folder of this merge. */
  readonly root: string;
  /** Files written here become the output. */
  readonly output: string;
  readonly journal: string;
  /** For what is only needed on the way. */
  readonly scratch: string;
}

const LOCK = 'lock';
/** A line in the front matter of our model cards: only such a folder may be replaced. */
const CARD_TAG = /^- tributary$/m;

export function stagingFor(outputDir: string): Staging {
  const target = resolve(outputDir);
  const root = join(dirname(target), `.${basename(target)}.tributary-partial`);
  return { root, output: join(root, 'output'), journal: join(root, 'journal'), scratch: join(root, 'scratch') };
}

/** @throws OUTPUT_EXISTS unless the target is free, empty, or an earlier output of ours and `force` is set */
export async function checkTarget(outputDir: string, force: boolean): Promise<void> {
  let entries: string[];
  try {
    entries = await readdir(outputDir);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR')
      throw new TributaryError('OUTPUT_EXISTS', {
        what: 'the output path is a file',
        where: outputDir,
        expected: 'a folder that does not exist yet',
      });
    throw toTributaryError(error, outputDir);
  }
  if (entries.length === 0) return;
  const card = await readFile(join(outputDir, 'README.md'), 'utf8').catch(() => '');
  const ours = CARD_TAG.test(card) && entries.some((name) => name.endsWith('.safetensors'));
  if (ours && force) return;
  throw new TributaryError('OUTPUT_EXISTS', {
    what: ours ? 'the output folder holds an earlier merge' : 'the output folder holds something else',
    where: outputDir,
    expected: 'a folder that does not exist yet or is empty',
    fix: ours ? 'Choose another folder, or replace it with --force.' : 'Choose another folder.',
  });
}

/** Creates the staging folder and takes its lock; a lock whose process is gone is taken over. @throws OUTPUT_EXISTS when another merge is at work */
export async function openStaging(staging: Staging): Promise<void> {
  try {
    await mkdir(staging.output, { recursive: true });
    const holder = await takeLock(join(staging.root, LOCK));
    if (holder !== undefined)
      throw new TributaryError('OUTPUT_EXISTS', {
        what: 'another merge is writing this output',
        where: staging.root,
        got: `process ${holder}`,
        fix: 'Wait for it, or choose another folder.',
      });
  } catch (error) {
    throw toTributaryError(error, staging.root);
  }
}

/** Gives the lock back and leaves everything else for a later run. */
export async function closeStaging(staging: Staging): Promise<void> {
  await giveLockBack(join(staging.root, LOCK));
}

/** Throws away what an earlier, different merge left. */
export async function clearStaging(staging: Staging): Promise<void> {
  await rm(staging.journal, { force: true });
  await rm(staging.output, { recursive: true, force: true });
  await mkdir(staging.output, { recursive: true });
}

export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Moves the finished output to its place. With `durable`, every file and folder is on the disk before and after the rename. */
export async function publish(
  staging: Staging,
  outputDir: string,
  { durable, force }: { durable: boolean; force: boolean },
): Promise<void> {
  const target = resolve(outputDir);
  try {
    if (durable) {
      for (const name of await readdir(staging.output)) await syncFile(join(staging.output, name));
      syncDirectory(staging.output);
    }
    await checkTarget(target, force);
    const occupied = await stat(target).then(
      async () => (await readdir(target)).length > 0,
      () => false,
    );
    if (occupied) await rename(target, join(staging.root, 'replaced'));
    await rename(staging.output, target);
    if (durable) syncDirectory(dirname(target));
    await rm(staging.root, { recursive: true, force: true });
  } catch (error) {
    throw toTributaryError(error, target);
  }
}
