/** The reference recipe of STAR in torch: run beside ours, and used to compare outputs in fp64. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SpectralJob, SpectralResult } from '../spectral-job.js';
import { peerFile, pythonEnvironment, runProgram } from './python-environment.js';

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

/** @returns a Python that has torch */
export function installTorch(given: string | undefined): string {
  const wanted = { what: 'torch', requirements: 'requirements-torch.txt', folder: '.tributary-bench-venv-torch' };
  return join(pythonEnvironment(given, wanted), 'python');
}

/** @param path of the job file to write */
export function runTorch(python: string, path: string, job: TorchJob, env: NodeJS.ProcessEnv): SpectralResult {
  writeFileSync(path, JSON.stringify(job));
  const threads = job.sideBySide ? { OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1' } : {};
  return JSON.parse(runProgram(python, [peerFile('star_torch.py'), path], { ...env, ...threads })) as SpectralResult;
}

export function compareSpectral(python: string, path: string, job: Comparison, env: NodeJS.ProcessEnv): Record<string, Distances> {
  writeFileSync(path, JSON.stringify(job));
  return JSON.parse(runProgram(python, [peerFile('star_compare.py'), path], env)) as Record<string, Distances>;
}
