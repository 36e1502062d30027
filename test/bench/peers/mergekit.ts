/** The real mergekit (LGPL-3.0), installed from PyPI into a virtual environment beside the repository's files and only ever run. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Measurement, measure } from '../measure.js';
import { pythonEnvironment, runProgram } from './python-environment.js';

export interface Mergekit {
  readonly python: string;
  readonly command: string;
  readonly versions: string;
}

/** @param given an environment with mergekit in it, used as it is; otherwise one is made in the working directory and kept */
export function installMergekit(given: string | undefined): Mergekit {
  const programs = pythonEnvironment(given, { what: 'mergekit', requirements: 'requirements.txt', folder: '.tributary-bench-venv' });
  const python = join(programs, 'python');
  const versions = runProgram(python, [
    '-c',
    "from importlib.metadata import version as v; print(f\"mergekit {v('mergekit')}, torch {v('torch')}, transformers {v('transformers')}\")",
  ]).trim();
  return { python, command: join(programs, 'mergekit-yaml'), versions };
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
