/** Measures whole processes from outside, start to exit. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Measurement {
  readonly wallSeconds: number;
  /** User and system time; NaN where nothing could measure it. */
  readonly cpuSeconds: number;
  /** Largest resident set; NaN where nothing could measure it. */
  readonly peakBytes: number;
}

const GNU_TIME = '/usr/bin/time';

/** GNU time's report, written by Python: file, then the command. */
const PYTHON_TIME = `import os, sys, resource
status = os.spawnvp(os.P_WAIT, sys.argv[2], sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(f"{used.ru_utime} {used.ru_stime} {used.ru_maxrss}")
sys.exit(status if status >= 0 else 1)`;

interface MeasureOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** A Python that measures where GNU time is not installed. */
  readonly python?: string;
}

function timer(report: string, python: string | undefined): string[] | undefined {
  if (existsSync(GNU_TIME)) return [GNU_TIME, '-o', report, '-f', '%U %S %M'];
  return python === undefined ? undefined : [python, '-c', PYTHON_TIME, report];
}

export function measure(command: string, args: readonly string[], { env, python }: MeasureOptions = {}): Measurement {
  const report = join(tmpdir(), `tributary-bench-${process.pid}.time`);
  const timed = timer(report, python);
  const [program = command, ...programArgs] = [...(timed ?? []), command, ...args];
  const start = performance.now();
  const { status, stderr } = spawnSync(program, programArgs, {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
    ...(env === undefined ? {} : { env }),
  });
  const wallSeconds = (performance.now() - start) / 1000;
  const reported = existsSync(report) ? readFileSync(report, 'utf8') : '';
  rmSync(report, { force: true });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
  if (timed === undefined) return { wallSeconds, cpuSeconds: Number.NaN, peakBytes: Number.NaN };
  const [user = '', system = '', peak = ''] = reported.trim().split(/\s+/);
  return { wallSeconds, cpuSeconds: Number(user) + Number(system), peakBytes: Number(peak) * 1024 };
}

/** What any merge has to do at least: read every input once and write one output, here with `cat` and `cp`. */
export function measureFloor(inputs: readonly string[], out: string): Measurement {
  rmSync(out, { force: true });
  const result = measure('sh', ['-c', 'out="$1"; shift; cat "$@" > /dev/null && cp "$1" "$out"', 'sh', out, ...inputs]);
  rmSync(out, { force: true });
  return result;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
