/**
 * `npm run bench -- spectral`: STAR of Llama-shaped matrices by each of our engines and by the reference recipe in torch (full SVD, cut,
 * rescale, recompose), in turn, a process each. Ours runs as in a merge: several matrices at a time, each by one thread, from file to scratch
 * file. torch is run both ways, one matrix after the other with all threads and several at a time with one thread each; its better one counts.
 * Times are from the first matrix to the last, programs and libraries started and warm. Python 3 is needed.
 *
 * Options: --shapes 1024x1024,... --kinds noise,fine-tune --etas 40,... --engines lapack,tensorflow,portable --runs N (3; 1 where one takes
 * more than a minute) --count N (4; matrices of each shape) --checked N (1; how many of them are held against fp64) --keep
 * --side-by-side (torch in its second way alone: on a busy machine its threads wait for one another for minutes)
 * --venv FOLDER (an environment with torch and numpy) --folder FOLDER (for matrices and outputs; the system's temporary one)
 */
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ENGINES } from '../../shared/linalg/linear-algebra.js';
import { compareSpectral, type Distances, installTorch } from './peers/star-torch.js';
import {
  type Contender,
  ENVIRONMENT,
  engineContender,
  type Outcome,
  outputsOf,
  PEERS,
  runInTurn,
  torchContenders,
  type Work,
} from './spectral-contenders.js';
import { DATA_KINDS, type Shape, spectralData } from './spectral-data.js';

interface Bench {
  readonly python: string;
  readonly contenders: readonly Contender[];
  readonly checked: number;
  /** Of those that ran, by name. */
  readonly libraries: Map<string, string>;
}

const speedOf = (outcome: Outcome | undefined): number => (outcome === undefined || 'failed' in outcome ? Number.NaN : 1 / outcome.seconds);

const small = (value: number | null | undefined): string => (typeof value === 'number' ? value.toExponential(1) : 'NaN');

function line(name: string, outcome: Outcome, times: number, distances: Distances | undefined): string {
  if ('failed' in outcome) return `  ${name.padEnd(21)} ${outcome.failed}`;
  const { seconds, cpuSeconds, peakBytes } = outcome;
  const numbers = `${seconds.toFixed(3).padStart(8)} s ${times.toFixed(2).padStart(6)} x ${cpuSeconds.toFixed(3).padStart(8)} s CPU ${(peakBytes / 1e6).toFixed(0).padStart(6)} MB`;
  const { toPeer, toExact, nuclear } = distances ?? {};
  return `  ${name.padEnd(21)}${numbers}   from torch ${small(toPeer)}   from fp64 ${small(toExact)}   nuclear norm ${small(nuclear)}`;
}

function benchCase({ python, contenders, checked, libraries }: Bench, kind: string, work: Work): void {
  const { rows, columns, eta, inputs } = work;
  const outcomes = runInTurn(contenders, work);
  const speeds = PEERS.map((name) => ({ name, speed: speedOf(outcomes.get(name)) })).filter(({ speed }) => speed > 0);
  const peer = speeds.sort((one, other) => other.speed - one.speed)[0]?.name ?? PEERS[0];
  for (const [name, outcome] of outcomes) if ('library' in outcome) libraries.set(name, outcome.library);
  const ran = [...outcomes].flatMap(([name, outcome]) => ('failed' in outcome ? [] : [name]));
  const outputs = Object.fromEntries(ran.map((name) => [name, outputsOf(work, name)]));
  const distances = compareSpectral(
    python,
    join(work.folder, 'job.json'),
    { rows, columns, eta, inputs, checked, outputs, peer },
    ENVIRONMENT,
  );
  console.log(`\n${kind} ${rows} x ${columns}, eta ${eta}, a matrix of ${inputs.length}`);
  for (const [name, outcome] of outcomes) console.log(line(name, outcome, speedOf(outcome) / speedOf(outcomes.get(peer)), distances[name]));
  for (const { name } of contenders) for (const path of outputsOf(work, name)) rmSync(path, { force: true });
}

const list = (text: string): string[] => text.split(',').filter((word) => word !== '');

function parseShape(text: string): Shape {
  const [rows = 0, columns = 0] = text.split('x').map(Number);
  if (!(rows > 1 && columns > 1)) throw new Error(`${text} is no shape; 4096x1024 is one`);
  return { rows, columns };
}

function oneOf<T extends string>(known: readonly T[], what: string, text: string): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new Error(`no ${what} ${text}; known: ${known.join(', ')}`);
  return found;
}

export function benchSpectral(args: readonly string[]): void {
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
      'side-by-side': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      venv: { type: 'string' },
      folder: { type: 'string' },
    },
  });
  const shapes = list(values.shapes).map(parseShape);
  const kinds = list(values.kinds).map((name) => oneOf(DATA_KINDS, 'kind', name));
  const engines = list(values.engines).map((name) => oneOf(ENGINES, 'engine', name));
  const runs = Number(values.runs);
  const python = installTorch(values.venv);
  const contenders = [...engines.map(engineContender), ...torchContenders(python).slice(values['side-by-side'] ? 1 : 0)];
  const bench: Bench = { python, contenders, checked: Number(values.checked), libraries: new Map() };
  const folder = join(values.folder === undefined ? tmpdir() : resolve(values.folder), 'tributary-bench-spectral');
  mkdirSync(folder, { recursive: true });
  console.log(`STAR from file to file, ${availableParallelism()} cores, medians of ${runs} ${runs === 1 ? 'run' : 'runs in turn'}`);
  try {
    for (const kind of kinds)
      for (const shape of shapes) {
        const inputs = spectralData(folder, kind, shape, Number(values.count));
        for (const eta of list(values.etas).map(Number)) benchCase(bench, kind, { ...shape, eta, inputs, folder, runs });
        if (!values.keep) for (const path of inputs) rmSync(path);
      }
  } finally {
    if (!values.keep) rmSync(folder, { recursive: true, force: true });
  }
  console.log(`\n${[...bench.libraries].map(([name, library]) => `${name}: ${library}`).join('\n')}`);
}
