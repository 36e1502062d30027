/** Locks of processes that live, that are gone, and that nobody has buried. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { giveLockBack, takeLock } from '../../shared/util/lock-file.js';
import { eventually } from '../support/eventually.js';
import { tempDir } from '../support/temp-dir.js';

const lock = join(tempDir(), 'lock');
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

const statOf = (pid: number): string[] => {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return line.slice(line.lastIndexOf(')') + 2).split(' ');
};

it('a lock is held until it is given back', async () => {
  expect(await takeLock(lock)).toBeUndefined();
  expect(await takeLock(lock)).toBe(readFileSync(lock, 'utf8'));
  await giveLockBack(lock);
  expect(await takeLock(lock)).toBeUndefined();
  await giveLockBack(lock);
});

it('what is no lock of a living process is none', async () => {
  for (const text of ['', 'garbage', '999999999 1']) {
    writeFileSync(lock, text);
    expect(await takeLock(lock)).toBeUndefined();
    await giveLockBack(lock);
  }
});

it.skipIf(!existsSync('/proc/self/stat'))('a process that was killed and never waited for holds no lock', async () => {
  // The shell becomes a program that never asks how its child ended.
  const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  started.push(parent);
  const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(printed.toString());
  writeFileSync(lock, `${pid} ${statOf(pid)[19]}`);
  expect(await takeLock(lock)).toContain(`${pid} `);
  await eventually('the exec', () => (readFileSync(`/proc/${parent.pid}/comm`, 'utf8').trim() === 'sleep' ? true : undefined));
  process.kill(pid, 'SIGKILL');
  await eventually('its end', () => (statOf(pid)[0] === 'Z' ? true : undefined));
  expect(await takeLock(lock)).toBeUndefined();
});
