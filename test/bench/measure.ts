/** Measures whole processes from outside, start to exit. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Measurement {
  readonly wallSeconds: number;
  /** User and system time; NaN without GNU time. */
  readonly cpuSeconds: number;
  /** Largest resident set; NaN without GNU time. */
  readonly peakBytes: number;
}

const GNU_TIME = '/usr/bin/time';

export function measure(command: string, args: readonly string[]): Measurement {
  const report = join(tmpdir(), `tributary-bench-${process.pid}.time`);
  const timed = existsSync(GNU_TIME);
  const [program, programArgs] = timed ? [GNU_TIME, ['-o', report, '-f', '%U %S %M', command, ...args]] : [command, [...args]];
  const start = performance.now();
  const { status, stderr } = spawnSync(program, programArgs, { encoding: 'utf8', maxBuffer: 1 << 24 });
  const wallSeconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
  if (!timed) return { wallSeconds, cpuSeconds: Number.NaN, peakBytes: Number.NaN };
  const [user = '', system = '', peak = ''] = readFileSync(report, 'utf8').trim().split(/\s+/);
  rmSync(report, { force: true });
  return { wallSeconds, cpuSeconds: Number(user) + Number(system), peakBytes: Number(peak) * 1024 };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
