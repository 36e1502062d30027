/**
 * `npm run bench -- peers`: whole merges, ours and the real mergekit's, of the same checkpoints by the same recipe, in turn, process start to
 * exit, beside the floor of the machine (cat of the inputs, cp of one). Python 3 is needed; mergekit is installed the first time.
 *
 * Options: --methods a,b  --models 2,4,8 (4)  --dtypes bf16,f32 (bf16)  --sizes 0.3,2.5 (0.3; GB a model)  --runs N (3; 1 where mergekit takes
 * more than a minute)  --quick  --ours exact | mergekit (what is timed; outputs are always compared in `numerics: mergekit`)  --keep
 * --venv FOLDER (an environment with mergekit)  --folder FOLDER (for checkpoints and outputs; the system's temporary one)
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Measurement, measure, measureFloor, median } from './measure.js';
import { compareElements, compareStatistics } from './peers/compare-outputs.js';
import { type FineTunes, fineTunes, type PeerDType } from './peers/fine-tunes.js';
import { installMergekit, type Mergekit, measureStart, runMergekit } from './peers/mergekit.js';
import { inputsOf, PEER_METHODS, recipeText } from './peers/recipes.js';

const COMMAND_LINE = fileURLToPath(new URL('../../client/cli/main.js', import.meta.url));
const SLOW_SECONDS = 60;

interface Bench {
  readonly mergekit: Mergekit;
  readonly folder: string;
  readonly runs: number;
  readonly timed: string;
}

interface Case {
  readonly method: string;
  readonly count: number;
  readonly dtype: PeerDType;
  readonly set: FineTunes;
}

/** What stands in for a program that refused: the reason. */
type Outcome = Measurement | string;

function attempt(action: () => Measurement): Outcome {
  try {
    return action();
  } catch (error) {
    const lines = (error as Error).message.split('\n').filter((line) => line.trim() !== '');
    return (lines.find((line) => /error /i.test(line)) ?? lines.at(-1) ?? '').replace(/.*?failed: /, '').slice(0, 300);
  }
}

function runOurs(python: string, recipe: string, out: string): Measurement {
  rmSync(out, { recursive: true, force: true });
  return measure(process.execPath, [COMMAND_LINE, 'merge', recipe, '--out', out], { python });
}

interface Summary {
  readonly wall: number;
  readonly cpu: number;
  readonly peak: number;
}

function summary(all: readonly Measurement[]): Summary | undefined {
  if (all.length === 0) return undefined;
  return {
    wall: median(all.map(({ wallSeconds }) => wallSeconds)),
    cpu: median(all.map(({ cpuSeconds }) => cpuSeconds)),
    peak: Math.max(...all.map(({ peakBytes }) => peakBytes)),
  };
}

function line(name: string, { wall, cpu, peak }: Summary, rest: string): void {
  const numbers = `${wall.toFixed(2).padStart(8)} s wall ${cpu.toFixed(2).padStart(8)} s CPU ${(peak / 1e6).toFixed(0).padStart(7)} MB peak`;
  console.log(`  ${name.padEnd(9)}${numbers}   ${rest}`);
}

const reason = (all: readonly Outcome[]): string => all.find((outcome) => typeof outcome === 'string') ?? '';

async function compared(bench: Bench, { method, set }: Case, text: string, out: { ours: string; theirs: string }): Promise<string> {
  const recipe = join(bench.folder, 'recipe-mergekit.yml');
  writeFileSync(recipe, `${text}numerics: mergekit\n`);
  let numerics = 'mergekit';
  const again = bench.timed === 'mergekit' ? undefined : attempt(() => runOurs(bench.mergekit.python, recipe, `${out.ours}-close`));
  const close = typeof again === 'object' ? `${out.ours}-close` : out.ours;
  if (typeof again === 'string') numerics = `exact, as mergekit's are refused: ${again}`;
  try {
    const words = PEER_METHODS[method]?.random
      ? await compareStatistics(set.base, close, out.theirs)
      : await compareElements(close, out.theirs);
    return `${words} [numerics: ${numerics}]`;
  } finally {
    rmSync(`${out.ours}-close`, { recursive: true, force: true });
  }
}

function runInTurn(bench: Bench, one: Case, text: string, out: { ours: string; theirs: string }) {
  const { method, count, set } = one;
  const recipe = join(bench.folder, 'recipe.yml');
  const ownRecipe = join(bench.folder, 'recipe-ours.yml');
  writeFileSync(recipe, text);
  writeFileSync(ownRecipe, bench.timed === 'mergekit' ? `${text}numerics: mergekit\n` : text);
  const inputs = inputsOf(method, set, count);
  measureFloor(inputs, join(bench.folder, 'floor'));
  const floors: Measurement[] = [];
  const [ours, theirs]: [Outcome[], Outcome[]] = [[], []];
  for (let run = 0; run < bench.runs; run++) {
    floors.push(measureFloor(inputs, join(bench.folder, 'floor')));
    ours.push(attempt(() => runOurs(bench.mergekit.python, ownRecipe, out.ours)));
    const their = attempt(() => runMergekit(bench.mergekit, recipe, out.theirs));
    theirs.push(their);
    if (typeof their === 'string' || their.wallSeconds > SLOW_SECONDS) break;
  }
  return { floors, ours, theirs };
}

async function benchCase(bench: Bench, one: Case): Promise<void> {
  const { method, count, dtype, set } = one;
  const text = recipeText(method, set, count);
  const out = { ours: join(bench.folder, 'out-ours'), theirs: join(bench.folder, 'out-mergekit') };
  const { floors, ours, theirs } = runInTurn(bench, one, text, out);
  const done = (all: readonly Outcome[]): Measurement[] => all.filter((outcome) => typeof outcome === 'object');
  const [floor, own, their] = [summary(floors), summary(done(ours)), summary(done(theirs))];
  const gigabytes = (set.modelBytes / 1e9).toFixed(2);
  console.log(`\n${method}, ${count} models of ${gigabytes} GB ${dtype}, ${floors.length} ${floors.length === 1 ? 'run' : 'runs in turn'}`);
  const share = (wall: number): string => `${((100 * (floor?.wall ?? Number.NaN)) / wall).toFixed(0)} % of the floor's speed`;
  if (own !== undefined) line('ours', own, share(own.wall));
  else console.log(`  ours     ${reason(ours)}`);
  if (their !== undefined) line('mergekit', their, share(their.wall));
  else console.log(`  mergekit ${reason(theirs)}`);
  if (floor !== undefined) line('floor', floor, '(cat of the inputs, cp of one)');
  if (own !== undefined && their !== undefined) {
    const times = (a: number, b: number): string => `${(a / b).toFixed(1)} x`;
    console.log(
      `  mergekit / ours: ${times(their.wall, own.wall)} wall, ${times(their.cpu, own.cpu)} CPU, ${times(their.peak, own.peak)} memory`,
    );
    console.log(`  outputs  ${await compared(bench, one, text, out)}`);
  }
  for (const path of Object.values(out)) rmSync(path, { recursive: true, force: true });
}

const list = (text: string): string[] => text.split(',').filter((word) => word !== '');

export async function benchPeers(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      methods: { type: 'string', default: Object.keys(PEER_METHODS).join(',') },
      models: { type: 'string', default: '4' },
      dtypes: { type: 'string', default: 'bf16' },
      sizes: { type: 'string', default: '0.3' },
      runs: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      ours: { type: 'string', default: 'exact' },
      keep: { type: 'boolean', default: false },
      venv: { type: 'string' },
      folder: { type: 'string' },
    },
  });
  const methods = list(values.quick ? 'linear,ties,slerp' : values.methods);
  const unknown = methods.find((method) => !Object.hasOwn(PEER_METHODS, method));
  if (unknown !== undefined) throw new Error(`no method ${unknown}; known: ${Object.keys(PEER_METHODS).join(', ')}`);
  if (!existsSync(COMMAND_LINE)) throw new Error('build first: npm run build');
  const counts = list(values.quick ? '2' : values.models).map(Number);
  const mergekit = installMergekit(values.venv);
  const folder = join(values.folder === undefined ? tmpdir() : resolve(values.folder), 'tributary-bench-peers');
  const bench: Bench = { mergekit, folder, runs: values.quick ? 1 : Number(values.runs), timed: values.ours };
  mkdirSync(folder, { recursive: true });
  measureStart(mergekit);
  const start = measureStart(mergekit);
  console.log(`${mergekit.versions}; it takes ${start.wallSeconds.toFixed(1)} s to start, which is in its numbers`);
  try {
    for (const size of list(values.sizes).map(Number))
      for (const dtype of list(values.dtypes) as PeerDType[]) {
        const set = fineTunes(folder, size, dtype, Math.max(...counts, 2));
        for (const method of methods) {
          const only = PEER_METHODS[method]?.models;
          for (const count of only === undefined ? counts : [only]) await benchCase(bench, { method, count, dtype, set });
        }
        if (!values.keep) rmSync(join(folder, `${size}-${dtype}`), { recursive: true, force: true });
      }
  } finally {
    if (!values.keep) rmSync(folder, { recursive: true, force: true });
  }
}
