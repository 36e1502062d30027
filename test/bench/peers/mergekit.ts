/** The real mergekit (LGPL-3.0), installed from PyPI into a virtual environment beside the repository's files and only ever run. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Measurement, measure } from '../measure.js';

/** From dist, where this runs. */
const REQUIREMENTS = fileURLToPath(new URL('../../../../test/bench/peers/requirements.txt', import.meta.url));

export interface Mergekit {
  readonly python: string;
  readonly command: string;
  readonly versions: string;
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr.slice(-2000)}`);
  return stdout;
}

/** @param given an environment with mergekit in it, used as it is; otherwise one is made in the working directory and kept */
export function installMergekit(given: string | undefined): Mergekit {
  const folder = resolve(given ?? '.tributary-bench-venv');
  const python = join(folder, 'bin', 'python');
  const marker = join(folder, 'installed-requirements.txt');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  if (given === undefined && !(existsSync(marker) && readFileSync(marker, 'utf8') === wanted)) {
    console.log(`installing mergekit into ${folder} (minutes, about 1 GB; kept for the next time)`);
    rmSync(folder, { recursive: true, force: true });
    run('python3', ['-m', 'venv', folder]);
    run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', REQUIREMENTS]);
    writeFileSync(marker, wanted);
  }
  const versions = run(python, [
    '-c',
    "from importlib.metadata import version as v; print(f\"mergekit {v('mergekit')}, torch {v('torch')}, transformers {v('transformers')}\")",
  ]).trim();
  return { python, command: join(folder, 'bin', 'mergekit-yaml'), versions };
}

const ENVIRONMENT = { ...process.env, HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1' };

export function runMergekit({ python, command }: Mergekit, recipe: string, out: string): Measurement {
  rmSync(out, { recursive: true, force: true });
  const options = ['--no-copy-tokenizer', '--quiet', '--out-shard-size', '1000B', '--random-seed', '1'];
  return measure(command, [recipe, out, ...options], { env: ENVIRONMENT, python });
}

/** What mergekit needs to start and do nothing. */
export function measureStart({ python, command }: Mergekit): Measurement {
  return measure(command, ['--help'], { env: ENVIRONMENT, python });
}
