/**
 * `npm run bench -- compress [--keep]`: what `push --compress star:ETA` saves on the demo's tasks, and what it costs. Four teams train once; then, for
 * every ETA, a coordinator of its own that knows the base alone, real pushes by all teams, a round of fedavg and one of task arithmetic, and the published
 * models measured on everyone's test digits. The lambda of task arithmetic is chosen on validation images, for every ETA.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from '../../client/cli/units.js';
import { type ChildOptions, runTributary, startTributary } from '../../client/demo/child.js';
import { chooseLambda } from '../../client/demo/choose-lambda.js';
import { startCoordinatorProcess } from '../../client/demo/coordinator-child.js';
import { evaluateFolders } from '../../client/demo/measure.js';
import { collect, openRound, registerBase, train } from '../../client/demo/rounds.js';
import { BASE_NAME, inParallel, isolatedEnvironment, type Stage, type Trained } from '../../client/demo/stage.js';
import type { Compression } from '../../client/push/compression.js';
import { DEMO_PLAN, type DemoRecipe, taskArithmeticRecipe } from '../../client/train/demo-plan.js';
import type { Evaluation } from '../../client/train/tasks.js';

const ETAS = [100, 60, 40, 20] as const;
const LAMBDAS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4] as const;

interface Team extends Trained {
  readonly base: string;
}

interface Pushed {
  readonly sentBytes: number;
  readonly compression?: Compression;
}

interface Level {
  readonly name: string;
  /** In the order of the teams, of the first round: later ones send nothing again. */
  readonly pushed: readonly Pushed[];
  /** Of task arithmetic, the best one on validation images. */
  readonly lambda: number;
  /** Published by fedavg and by task arithmetic. */
  readonly merged: readonly [string, string];
}

function stageIn(dir: string): Stage & { readonly options: ChildOptions } {
  const options = { environment: isolatedEnvironment(dir, process.env), logFile: join(dir, 'log'), signal: new AbortController().signal };
  return {
    dir,
    options,
    say: () => {},
    run: (_who, args) => runTributary(args, options),
    start: (_who, args) => startTributary(args, options),
  };
}

/** A coordinator with nothing in it, for as long as `body` runs. */
async function withCoordinator<T>(dir: string, body: (stage: Stage) => Promise<T>): Promise<T> {
  mkdirSync(join(dir, 'lambdas'), { recursive: true });
  const stage = stageIn(dir);
  const coordinator = await startCoordinatorProcess(join(dir, 'coordinator'), stage.options);
  try {
    writeFileSync(join(dir, 'client.yaml'), `server: ${coordinator.grpc}\n`);
    return await body(stage);
  } finally {
    await coordinator.stop();
  }
}

async function trainAll(dir: string): Promise<{ base: string; teams: Team[] }> {
  return withCoordinator(dir, async (stage) => {
    const base = await registerBase(stage);
    return { base, teams: await inParallel(DEMO_PLAN.contributors, (contributor) => train(stage, contributor)) };
  });
}

async function pushAll(stage: Stage, teams: readonly Team[], round: string, eta: number | undefined): Promise<Pushed[]> {
  const pushed: Pushed[] = [];
  for (const { name, folder, samples, steps, base } of teams) {
    const compress = eta === undefined ? [] : ['--base', base, '--compress', `star:${eta}`];
    const facts = ['--round', round, '--as', name, '--samples', `${samples}`, '--steps', `${steps}`];
    pushed.push(await stage.run<Pushed>(name, ['push', folder, ...facts, ...compress]));
  }
  return pushed;
}

/** @param eta undefined: uncompressed */
async function playLevel(dir: string, base: string, teams: readonly Team[], eta: number | undefined): Promise<Level> {
  return withCoordinator(dir, async (stage) => {
    await stage.run('base', ['base', 'push', base, '--name', BASE_NAME]);
    const play = async (recipe: DemoRecipe): Promise<{ pushed: Pushed[]; folder: string }> => {
      const round = await openRound(stage, recipe);
      const pushed = await pushAll(stage, teams, round.name, eta);
      return { pushed, folder: (await collect(stage, round)).folder };
    };
    const fedavg = await play({ name: 'fedavg', yaml: 'merge_method: fedavg\n' });
    const mean = await play({ name: 'linear', yaml: 'merge_method: linear\nparameters: {weight: 1.0}\n' });
    const lambda = await chooseLambda(stage, base, mean.folder, LAMBDAS);
    const arithmetic = await play(taskArithmeticRecipe(lambda));
    return {
      name: eta === undefined ? 'uncompressed' : `star:${eta}`,
      pushed: fedavg.pushed,
      lambda,
      merged: [fedavg.folder, arithmetic.folder],
    };
  });
}

const percent = (share: number): string => (100 * share).toFixed(1);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}

function rowOf({ name, pushed, lambda }: Level, uncompressed: number, scores: readonly Evaluation[]): string[] {
  const total = sum(pushed.map(({ sentBytes }) => sentBytes));
  const compressions = pushed.flatMap(({ compression }) => (compression === undefined ? [] : [compression]));
  const ranks = compressions.flatMap(({ rank }) => (rank === null ? [] : [rank.least, rank.most]));
  const errors = compressions.map(({ error }) => error);
  return [
    name,
    ...pushed.map(({ sentBytes }) => formatBytes(sentBytes)),
    formatBytes(total),
    (uncompressed / total).toFixed(1),
    ranks.length === 0 ? '-' : range(ranks),
    errors.length === 0 ? '-' : `${Math.min(...errors).toFixed(2)} to ${Math.max(...errors).toFixed(2)}`,
    ...scores.flatMap(({ average, worst }) => [percent(average), percent(worst)]),
    `${lambda}`,
  ];
}

function print(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  for (const row of [header, ...rows])
    console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '));
}

async function measure(dir: string, teams: readonly Team[], levels: readonly Level[]): Promise<void> {
  const folders = [...teams.map(({ folder }) => folder), ...levels.flatMap(({ merged }) => merged)];
  const evaluations = await evaluateFolders(stageIn(dir), folders);
  const best = Math.max(...evaluations.slice(0, teams.length).map(({ average }) => average));
  const uncompressed = sum((levels[0]?.pushed ?? []).map(({ sentBytes }) => sentBytes));
  const compressions = levels.flatMap(({ pushed }) =>
    pushed.flatMap(({ compression }) => (compression === undefined ? [] : [compression])),
  );
  const engine = compressions.find((one) => one.engine !== null)?.engine;
  console.log(
    [
      'Bytes that each team sends; how many times less than uncompressed; ranks; distance of what is sent from the task vector relative to its norm',
      "(STAR stretches what it keeps, so it can be above 1); accuracy in % of the merged models on everyone's test digits, average and worst.",
      '',
    ].join('\n'),
  );
  const header = [
    'push',
    ...teams.map(({ name }) => name),
    'all',
    'times',
    'ranks',
    'error',
    'fedavg',
    'worst',
    'arithmetic',
    'worst',
    'lambda',
  ];
  const at = (index: number): number => teams.length + 2 * index;
  print(
    header,
    levels.map((level, index) => rowOf(level, uncompressed, evaluations.slice(at(index), at(index + 1)))),
  );
  const rounding = Math.max(...compressions.map((one) => one.rounding));
  console.log(
    `\nBest single contribution: ${percent(best)} % on average. Largest rounding of what is sent: ${rounding.toExponential(1)}. Matrices by ${engine}.`,
  );
}

export async function benchCompress(args: readonly string[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'tributary-bench-'));
  try {
    const { base, teams } = await trainAll(join(dir, 'training'));
    const levels: Level[] = [];
    for (const eta of [undefined, ...ETAS]) levels.push(await playLevel(join(dir, `${eta ?? 'full'}`), base, teams, eta));
    await measure(dir, teams, levels);
  } finally {
    if (args.includes('--keep')) console.log(`models and logs: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  }
}
