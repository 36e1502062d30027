/** The reference recipe of STAR in torch: run beside ours, and used to compare outputs in fp64. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SpectralJob, SpectralResult } from '../spectral-job.js';
import { peerFile, pythonEnvironment, runProgram } from './python-environment.js';

export interface Torch {
  readonly python: string;
  readonly version: string;
}

export interface TorchJob extends SpectralJob {
  /** As many matrices at a time as threads, each with one; else one after the other, each with all threads. */
  readonly sideBySide: boolean;
}

export interface Comparison extends Pick<SpectralJob, 'rows' | 'columns' | 'eta' | 'inputs'> {
  /** How many of the matrices are also held against the recipe in fp64. */
  readonly checked: number;
  /** By program; what `peer` names is what the others are compared with. */
  readonly outputs: Readonly<Record<string, readonly string[]>>;
  readonly peer: string;
}

/** Relative Frobenius distances and the relative difference of nuclear norms, the largest of all matrices; null: not a number. */
export interface Distances {
  readonly toPeer: number | null;
  readonly toExact: number | null;
  readonly nuclear: number | null;
}

export function installTorch(given: string | undefined): Torch {
  const wanted = { what: 'torch', requirements: 'requirements-torch.txt', folder: '.tributary-bench-venv-torch' };
  const python = join(pythonEnvironment(given, wanted), 'python');
  return { python, version: runProgram(python, ['-c', 'import torch; print(torch.__version__)']).trim() };
}

function runJson<T>({ python }: Torch, script: string, path: string, job: object, env: NodeJS.ProcessEnv): T {
  writeFileSync(path, JSON.stringify(job));
  return JSON.parse(runProgram(python, [peerFile(script), path], env)) as T;
}

/** @param path of the job file to write */
export const runTorch = (torch: Torch, path: string, job: TorchJob, env: NodeJS.ProcessEnv): SpectralResult => {
  const one = job.sideBySide ? { ...env, OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1' } : env;
  return runJson(torch, 'star_torch.py', path, job, one);
};

export const compareSpectral = (torch: Torch, path: string, job: Comparison, env: NodeJS.ProcessEnv): Record<string, Distances> =>
  runJson(torch, 'star_compare.py', path, job, env);
