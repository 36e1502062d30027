/** NSGA-III of pymoo: run beside our search, on the same surrogates. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerFile, pythonEnvironment, runProgram } from './python-environment.js';

export interface PymooJob {
  /** By task, in the order of quadratic.ts; behind a sigmoid, to be maximised over [0, 1]. */
  readonly parameters: readonly (readonly number[])[];
  /** Partitions of the outer layer of reference directions and, with two, of the inner one. */
  readonly layers: readonly number[];
  readonly generations: number;
  readonly seed: number;
}

export interface PymooResult {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly points: readonly (readonly number[])[];
  readonly directions: number;
  readonly library: string;
}

/** @returns a Python that has pymoo */
export function installPymoo(given: string | undefined): string {
  const wanted = { what: 'pymoo', requirements: 'requirements-pymoo.txt', folder: '.tributary-bench-venv-pymoo' };
  return join(pythonEnvironment(given, wanted), 'python');
}

/** @param path of the job file to write */
export function runPymoo(python: string, path: string, job: PymooJob): PymooResult {
  writeFileSync(path, JSON.stringify(job));
  return JSON.parse(runProgram(python, [peerFile('pymoo_front.py'), path])) as PymooResult;
}
