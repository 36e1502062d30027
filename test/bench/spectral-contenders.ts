/** Who decomposes matrices, and how long each takes: a process each, in turn. */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineName } from '../../shared/linalg/linear-algebra.js';
import { median } from './measure.js';
import { runProgram } from './peers/python-environment.js';
import { runTorch } from './peers/star-torch.js';
import type { Shape } from './spectral-data.js';
import type { EngineJob, SpectralJob, SpectralResult } from './spectral-job.js';

const SPECTRAL_PROCESS = fileURLToPath(new URL('./spectral-process.js', import.meta.url));
const SLOW_SECONDS = 60;

/** The two ways of running torch. */
export const PEERS = ['torch', 'torch, side by side'] as const;

/** These make a modern OpenBLAS take kernels of older processors. */
const MISLEADING = new Set(['OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE']);

/** What every process starts with. */
export const ENVIRONMENT: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !MISLEADING.has(name))),
  PYTHONDONTWRITEBYTECODE: '1',
};

export interface Contender {
  readonly name: string;
  /** @param path of the job file to write */
  readonly run: (job: SpectralJob, path: string) => SpectralResult;
}

export interface Work extends Shape {
  readonly eta: number;
  readonly inputs: readonly string[];
  /** For outputs and job files. */
  readonly folder: string;
  readonly runs: number;
}

/** Of all runs, times for one matrix, or why there were none. */
export type Outcome =
  | { readonly seconds: number; readonly cpuSeconds: number; readonly peakBytes: number; readonly library: string }
  | { readonly failed: string };

export function engineContender(engine: EngineName): Contender {
  return {
    name: engine,
    run(job, path) {
      writeFileSync(path, JSON.stringify({ ...job, engine } satisfies EngineJob));
      const printed = runProgram(process.execPath, [SPECTRAL_PROCESS, path], ENVIRONMENT).trim().split('\n');
      return JSON.parse(printed.at(-1) ?? '') as SpectralResult;
    },
  };
}

export const torchContenders = (python: string): Contender[] =>
  PEERS.map((name, index) => ({ name, run: (job, path) => runTorch(python, path, { ...job, sideBySide: index === 1 }, ENVIRONMENT) }));

export const outputsOf = ({ folder, inputs }: Work, name: string): string[] =>
  inputs.map((_, index) => join(folder, `out-${name.replaceAll(/\W+/g, '-')}-${index}.f32`));

function reasonOf(error: unknown): string {
  const lines = (error as Error).message.trim().split('\n');
  return (lines.find((line) => /^\w*Error/.test(line)) ?? lines.at(-1) ?? '').slice(0, 300);
}

function outcomeOf(results: readonly SpectralResult[], matrices: number): Outcome {
  return {
    seconds: median(results.map(({ seconds }) => seconds)) / matrices,
    cpuSeconds: median(results.map(({ cpuSeconds }) => cpuSeconds)) / matrices,
    peakBytes: Math.max(...results.map(({ peakBytes }) => peakBytes)),
    library: results[0]?.library ?? '',
  };
}

export function runInTurn(contenders: readonly Contender[], work: Work): Map<string, Outcome> {
  const { rows, columns, eta, inputs, folder, runs } = work;
  const results = new Map<string, SpectralResult[]>();
  const outcomes = new Map<string, Outcome>();
  for (let turn = 0; turn < runs; turn++) {
    for (const { name, run } of contenders) {
      const before = results.get(name) ?? [];
      if (outcomes.has(name) || (before[0]?.seconds ?? 0) > SLOW_SECONDS) continue;
      const job = { rows, columns, eta, threads: availableParallelism(), inputs, outputs: outputsOf(work, name) };
      try {
        results.set(name, [...before, run(job, join(folder, 'job.json'))]);
      } catch (error) {
        outcomes.set(name, { failed: reasonOf(error) });
      }
    }
  }
  return new Map(contenders.map(({ name }) => [name, outcomes.get(name) ?? outcomeOf(results.get(name) ?? [], inputs.length)]));
}
