/**
 * The folder an agent works in. What always holds: one agent at a time; `models` holds nothing but whole, named by the digest of their manifest;
 * `slots`, where candidates are rewritten in place, is thrown away at every start, so that nothing half-made can be taken for a candidate.
 *
 * Layout: `lock`, `models/<manifest digest>`, `slots/<number>`, `logs/ROUND/CANDIDATE-TASK.log`,
 * `unreported/*.json`.
 */
import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TributaryError, toTributaryError } from '../../shared/errors/tributary-error.js';
import { giveLockBack, takeLock } from '../../shared/util/lock-file.js';

export interface WorkFolder {
  readonly path: string;
  readonly models: string;
  /** Measurements that were not acknowledged. */
  readonly unreported: string;
  /** Does not exist at first. */
  slot(number: number): string;
  /** Where an evaluation logs to; older logs than the newest `keepLogs` go. */
  openLog(round: string, candidate: number, task: string): Promise<string>;
  /** Keeps models, logs and measurements. */
  close(): Promise<void>;
}

/** Names of tasks are free; names of files are not. */
const fileName = (task: string): string => encodeURIComponent(task).replaceAll('%', '=').slice(0, 120);

/** @throws DATA_DIR_LOCKED when another agent works there */
export async function openWorkFolder(path: string, keepLogs: number): Promise<WorkFolder> {
  const lock = join(path, 'lock');
  const slots = join(path, 'slots');
  const logs = join(path, 'logs');
  const unreported = join(path, 'unreported');
  let holder: string | undefined;
  try {
    await mkdir(path, { recursive: true });
    holder = await takeLock(lock);
  } catch (error) {
    throw toTributaryError(error, path);
  }
  if (holder !== undefined)
    throw new TributaryError('DATA_DIR_LOCKED', {
      what: 'another agent works in this folder',
      where: path,
      got: `process ${holder.split(' ')[0]}`,
      fix: 'Stop it, or give this one a folder of its own (work:).',
    });
  await rm(slots, { recursive: true, force: true });
  const kept = await listLogs(logs);

  async function forget(): Promise<void> {
    while (kept.length > keepLogs) {
      const oldest = kept.shift();
      if (oldest !== undefined) await rm(oldest, { force: true });
    }
  }

  return {
    path,
    models: join(path, 'models'),
    unreported,
    slot: (number) => join(slots, `${number}`),
    async openLog(round, candidate, task) {
      const log = join(logs, round, `${candidate}-${fileName(task)}.log`);
      await mkdir(dirname(log), { recursive: true });
      const known = kept.indexOf(log);
      if (known >= 0) kept.splice(known, 1);
      await forget();
      kept.push(log);
      return log;
    },
    async close() {
      await forget();
      await rm(slots, { recursive: true, force: true });
      // Only when nothing is left in it.
      await rmdir(unreported).catch(() => undefined);
      await giveLockBack(lock);
    },
  };
}

/** Oldest first. */
async function listLogs(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.log')).map((entry) => join(entry.parentPath, entry.name));
  const dated = await Promise.all(files.map(async (path) => ({ path, changedMs: (await stat(path)).mtimeMs })));
  return dated.sort((a, b) => a.changedMs - b.changedMs).map(({ path }) => path);
}
