/**
 * `npm run bench -- spectral`: STAR of Llama-shaped matrices by each of our engines and by the reference recipe in torch (full SVD, cut,
 * rescale, recompose), in turn, a process each. Ours runs as in a merge: several matrices at a time, each by one thread, from file to scratch
 * file. torch is run both ways, one matrix after the other with all threads and several at a time with one thread each; its better one counts.
 * Times are from the first matrix to the last, programs and libraries started and warm. Python 3 is needed.
 *
 * Options: --shapes 1024x1024,... --kinds noise,fine-tune --etas 40,... --engines lapack,tensorflow,portable --runs N (3; 1 where one takes
 * more than a minute) --count N (4; matrices of each shape) --checked N (1; how many of them are held against fp64) --keep
 * --venv FOLDER (an environment with torch and numpy) --folder FOLDER (for matrices and outputs; the system's temporary one)
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EngineChoice } from '../../shared/linalg/linear-algebra.js';
import { median } from './measure.js';
import { runProgram } from './peers/python-environment.js';
import { compareSpectral, type Distances, installTorch, runTorch, type Torch } from './peers/star-torch.js';
import { DATA_KINDS, type DataKind, type Shape, spectralData } from './spectral-data.js';
import type { EngineJob, SpectralJob, SpectralResult } from './spectral-job.js';

const SPECTRAL_PROCESS = fileURLToPath(new URL('./spectral-process.js', import.meta.url));
const SLOW_SECONDS = 60;
const PEERS = ['torch', 'torch, side by side'] as const;

/** These make a modern OpenBLAS take kernels of older processors. */
const MISLEADING = new Set(['OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE']);
const ENVIRONMENT = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !MISLEADING.has(name))),
  PYTHONDONTWRITEBYTECODE: '1',
};

interface Contender {
  readonly name: string;
  run(job: SpectralJob, path: string): SpectralResult;
}

interface Bench {
  readonly torch: Torch;
  readonly contenders: readonly Contender[];
  readonly folder: string;
  readonly runs: number;
  readonly checked: number;
}

interface Case {
  readonly kind: DataKind;
  readonly shape: Shape;
  readonly eta: number;
  readonly inputs: readonly string[];
}

/** Median seconds a matrix and the largest peak, or why there is none. */
interface Outcome {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly failed?: string;
}

function engineContender(engine: EngineChoice): Contender {
  return {
    name: engine.engine,
    run(job, path) {
      writeFileSync(path, JSON.stringify({ ...job, engine } satisfies EngineJob));
      return JSON.parse(runProgram(process.execPath, [SPECTRAL_PROCESS, path], ENVIRONMENT)) as SpectralResult;
    },
  };
}

const torchContenders = (torch: Torch): Contender[] =>
  PEERS.map((name, index) => ({ name, run: (job, path) => runTorch(torch, path, { ...job, sideBySide: index === 1 }, ENVIRONMENT) }));

const outputsOf = ({ folder }: Bench, name: string, { inputs }: Case): string[] =>
  inputs.map((_, index) => join(folder, `out-${name.replaceAll(/\W+/g, '-')}-${index}.f32`));

function runInTurn(bench: Bench, one: Case): Map<string, Outcome> {
  const results = new Map<string, SpectralResult[]>();
  const failures = new Map<string, string>();
  const isDone = (name: string): boolean => failures.has(name) || (results.get(name)?.[0]?.seconds ?? 0) > SLOW_SECONDS;
  for (let run = 0; run < bench.runs; run++) {
    for (const { name, run: start } of bench.contenders.filter((contender) => !isDone(contender.name))) {
      const outputs = outputsOf(bench, name, one);
      const job = { ...one.shape, eta: one.eta, threads: availableParallelism(), inputs: one.inputs, outputs };
      try {
        results.set(name, [...(results.get(name) ?? []), start(job, join(bench.folder, 'job.json'))]);
      } catch (error) {
        const lines = (error as Error).message.trim().split('\n');
        failures.set(name, (lines.find((line) => line.includes('Error')) ?? lines.at(-1) ?? '').slice(0, 300));
      }
    }
  }
  return new Map(
    bench.contenders.map(({ name }): [string, Outcome] => {
      const all = results.get(name) ?? [];
      const failed = failures.get(name);
      const seconds = median(all.map((result) => result.seconds)) / one.inputs.length;
      return [
        name,
        { seconds, peakBytes: Math.max(...all.map(({ peakBytes }) => peakBytes)), ...(failed === undefined ? {} : { failed }) },
      ];
    }),
  );
}

function distancesOf(bench: Bench, one: Case, names: readonly string[], peer: string): Record<string, Distances> {
  const outputs = Object.fromEntries(names.map((name) => [name, outputsOf(bench, name, one)]));
  const { shape, eta, inputs } = one;
  return compareSpectral(
    bench.torch,
    join(bench.folder, 'comparison.json'),
    { ...shape, eta, inputs, checked: bench.checked, outputs, peer },
    ENVIRONMENT,
  );
}

const small = (value: number | null | undefined): string => (typeof value === 'number' ? value.toExponential(1) : 'NaN');

function benchCase(bench: Bench, one: Case): void {
  const { kind, shape, eta, inputs } = one;
  const outcomes = runInTurn(bench, one);
  const speed = (name: string): number => 1 / (outcomes.get(name)?.seconds ?? Number.NaN);
  const [first, second] = PEERS;
  const peer = speed(second) > speed(first) ? second : first;
  const works = [...outcomes].flatMap(([name, { failed }]) => (failed === undefined ? [name] : []));
  const distances = distancesOf(bench, one, works, peer);
  console.log(`\n${kind} ${shape.rows} x ${shape.columns}, eta ${eta}, ${inputs.length} matrices`);
  for (const [name, { seconds, peakBytes, failed }] of outcomes) {
    if (failed !== undefined) {
      console.log(`  ${name.padEnd(21)}${failed}`);
      continue;
    }
    const { toPeer, toExact, nuclear } = distances[name] ?? {};
    const numbers = `${seconds.toFixed(3).padStart(7)} s a matrix ${(speed(name) / speed(peer)).toFixed(2).padStart(6)} x ${(peakBytes / 1e6).toFixed(0).padStart(6)} MB`;
    console.log(
      `  ${name.padEnd(21)}${numbers}   from torch's ${small(toPeer)}, from fp64 ${small(toExact)}; nuclear norm ${small(nuclear)}`,
    );
  }
  for (const { name } of bench.contenders) for (const path of outputsOf(bench, name, one)) rmSync(path, { force: true });
}

const list = (text: string): string[] => text.split(',').filter((word) => word !== '');

function parseShape(text: string): Shape {
  const [rows = 0, columns = 0] = text.split('x').map(Number);
  if (!(rows > 1 && columns > 1)) throw new Error(`${text} is no shape; 4096x1024 is one`);
  return { rows, columns };
}

function parseKind(text: string): DataKind {
  const kind = DATA_KINDS.find((one) => one === text);
  if (kind === undefined) throw new Error(`no kind ${text}; known: ${DATA_KINDS.join(', ')}`);
  return kind;
}

export async function benchSpectral(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      shapes: { type: 'string', default: '1024x1024,4096x1024,2816x1024,2048x2048' },
      kinds: { type: 'string', default: DATA_KINDS.join(',') },
      etas: { type: 'string', default: '40' },
      engines: { type: 'string', default: 'lapack,tensorflow,portable' },
      runs: { type: 'string', default: '3' },
      count: { type: 'string', default: '4' },
      checked: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
      venv: { type: 'string' },
      folder: { type: 'string' },
      library: { type: 'string' },
    },
  });
  const shapes = list(values.shapes).map(parseShape);
  const kinds = list(values.kinds).map(parseKind);
  const torch = installTorch(values.venv);
  const folder = join(values.folder === undefined ? tmpdir() : resolve(values.folder), 'tributary-bench-spectral');
  const engines: EngineChoice[] = list(values.engines).flatMap((name): EngineChoice[] => {
    if (name === 'lapack') return [{ engine: 'lapack', library: values.library ?? '', prefix: 'scipy_' }];
    return name === 'portable' ? [{ engine: 'portable' }] : [];
  });
  const bench: Bench = {
    torch,
    contenders: [...engines.map(engineContender), ...torchContenders(torch)],
    folder,
    runs: Number(values.runs),
    checked: Number(values.checked),
  };
  mkdirSync(folder, { recursive: true });
  console.log(
    `torch ${torch.version}, ${availableParallelism()} cores, medians of ${bench.runs} ${bench.runs === 1 ? 'run' : 'runs in turn'}`,
  );
  try {
    for (const kind of kinds)
      for (const shape of shapes) {
        const inputs = spectralData(folder, kind, shape, Number(values.count));
        for (const eta of list(values.etas).map(Number)) benchCase(bench, { kind, shape, eta, inputs });
        if (!values.keep) for (const path of inputs) rmSync(path);
      }
  } finally {
    if (!values.keep) rmSync(folder, { recursive: true, force: true });
  }
}
