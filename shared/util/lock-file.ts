/** A file that says which process is at work in a folder. What always holds: a lock whose process is gone, however it ended, is no lock. */
import { readFile, rm, writeFile } from 'node:fs/promises';

/** Identifies a process beyond its number, which is used again: its start time, where /proc tells it. */
async function processIdentity(pid: number): Promise<string | undefined> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
  }
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  // Ended, but nobody has asked how: in a container whose first process never does, it stays so for good.
  if (fields[0] === 'Z') return undefined;
  return `${pid} ${fields[19] ?? ''}`;
}

/** @returns undefined when it was taken, else the process that has it. @throws system errors as they are */
export async function takeLock(path: string): Promise<string | undefined> {
  const own = (await processIdentity(process.pid)) ?? `${process.pid}`;
  for (let attempt = 0; ; attempt += 1) {
    const taken = await writeFile(path, own, { flag: 'wx' }).then(
      () => true,
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
        throw error;
      },
    );
    if (taken) return undefined;
    const holder = await readFile(path, 'utf8').catch(() => '');
    const alive = holder !== '' && (await processIdentity(Number.parseInt(holder, 10))) === holder;
    if (alive || attempt > 3) return holder;
    await rm(path, { force: true });
  }
}

export async function giveLockBack(path: string): Promise<void> {
  await rm(path, { force: true });
}
