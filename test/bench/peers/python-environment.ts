/** Virtual environments with other people's programs, from PyPI into the working directory; they are only ever run. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** In the repository: this runs from dist. */
export const peerFile = (name: string): string => fileURLToPath(new URL(`../../../../test/bench/peers/${name}`, import.meta.url));

export function runProgram(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, env });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr.slice(-2000)}`);
  return stdout;
}

interface Wanted {
  /** What is installed, in words. */
  readonly what: string;
  /** Name of a file beside this one. */
  readonly requirements: string;
  /** Where it is made and kept. */
  readonly folder: string;
}

/**
 * @param given an environment with everything in it, used as it is
 * @returns the folder of its programs
 */
export function pythonEnvironment(given: string | undefined, { what, requirements, folder: own }: Wanted): string {
  const folder = resolve(given ?? own);
  const programs = join(folder, 'bin');
  const marker = join(folder, 'installed-requirements.txt');
  const list = peerFile(requirements);
  const wanted = readFileSync(list, 'utf8');
  if (given === undefined && !(existsSync(marker) && readFileSync(marker, 'utf8') === wanted)) {
    console.log(`installing ${what} into ${folder} (minutes, about 1 GB; kept for the next time)`);
    rmSync(folder, { recursive: true, force: true });
    runProgram('python3', ['-m', 'venv', folder]);
    runProgram(join(programs, 'python'), ['-m', 'pip', 'install', '--quiet', '--requirement', list]);
    writeFileSync(marker, wanted);
  }
  return programs;
}
