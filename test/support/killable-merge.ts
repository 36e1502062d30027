/** Runs a merge in its own process that is killed when it has got far enough. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('./merge-process.js', import.meta.url));

export interface KilledMerge {
  readonly killed: boolean;
  /** Bytes that an earlier run had written. */
  readonly resumedBytes: number;
}

/** @param killAtBytes killed when it has written so many bytes or more and could go on from some of them */
export async function runKillable(recipe: string, out: string, killAtBytes: number): Promise<KilledMerge> {
  const child = spawn(process.execPath, [SCRIPT, recipe, out, String(killAtBytes)], { stdio: ['ignore', 'pipe', 'inherit'] });
  // 'close', not 'exit': what it printed last may still be on its way when it has gone.
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve([code, signal]));
  });
  const [printed, [code, signal]] = await Promise.all([text(child.stdout), closed]);
  if (signal !== 'SIGKILL' && code !== 0) throw new Error(`exit code ${code}`);
  const last = printed.trimEnd().split('\n').at(-1) ?? '';
  return { killed: signal === 'SIGKILL', resumedBytes: Number(last.split(' ')[1] ?? 0) };
}
