/**
 * `npm run bench -- compress [--keep]`: what `push --compress star:ETA` saves on the demo's tasks, and what it costs. Four teams train once; then, for
 * every ETA, a coordinator of its own that knows the base alone, real pushes by all teams, one round for every rule, the published models measured on
 * everyone's test digits. The lambda of task_arithmetic is chosen on validation images for the uncompressed contributions and kept for all.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ratioOf } from '../../client/cli/compression-text.js';
import { formatBytes } from '../../client/cli/units.js';
import { runTributary } from '../../client/demo/child.js';
import { chooseLambda } from '../../client/demo/choose-lambda.js';
import { startCoordinatorProcess } from '../../client/demo/coordinator-child.js';
import { evaluateFolders } from '../../client/demo/measure.js';
import { collect, openRound, registerBase, train } from '../../client/demo/rounds.js';
import { BASE_NAME, inParallel, isolatedEnvironment, type Stage, type Trained } from '../../client/demo/stage.js';
import type { Compression } from '../../client/push/compression.js';
import { DEMO_PLAN, type DemoRecipe, taskArithmeticRecipe } from '../../client/train/demo-plan.js';
import type { Evaluation } from '../../client/train/tasks.js';

const ETAS = [100, 60, 40, 20] as const;

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
  /** One folder a rule. */
  readonly merged: readonly string[];
}

/** A coordinator with nothing in it, for as long as `body` runs. */
async function withCoordinator<T>(dir: string, body: (stage: Stage) => Promise<T>): Promise<T> {
  mkdirSync(join(dir, 'lambdas'), { recursive: true });
  const signal = new AbortController().signal;
  const options = { environment: isolatedEnvironment(dir, process.env), logFile: join(dir, 'log'), signal };
  const coordinator = await startCoordinatorProcess(join(dir, 'coordinator'), options);
  try {
    writeFileSync(join(dir, 'client.yaml'), `server: ${coordinator.grpc}\n`);
    return await body({ dir, say: () => {}, run: (_who, args) => runTributary(args, options) });
  } finally {
    await coordinator.stop();
  }
}

async function trainAll(dir: string): Promise<{ base: string; teams: Team[]; recipes: DemoRecipe[] }> {
  return withCoordinator(dir, async (stage) => {
    const base = await registerBase(stage);
    const teams = await inParallel(DEMO_PLAN.contributors, (contributor) => train(stage, contributor));
    const mean = join(dir, 'mean');
    const models = teams.map(({ folder }) => `{model: ${JSON.stringify(folder)}, parameters: {weight: 1}}`);
    writeFileSync(`${mean}.yml`, `merge_method: linear\nmodels: [${models.join(', ')}]\n`);
    await stage.run('mean', ['merge', `${mean}.yml`, '--out', mean]);
    const lambda = await chooseLambda(stage, base, mean);
    return { base, teams, recipes: [{ name: 'fedavg', yaml: 'merge_method: fedavg\n' }, taskArithmeticRecipe(lambda)] };
  });
}

/** All teams push to one round a rule. @param eta undefined: uncompressed */
async function playLevel(dir: string, base: string, teams: readonly Team[], recipes: readonly DemoRecipe[], eta?: number): Promise<Level> {
  return withCoordinator(dir, async (stage) => {
    await stage.run('base', ['base', 'push', base, '--name', BASE_NAME]);
    const rounds = [];
    for (const recipe of recipes) rounds.push(await openRound(stage, recipe));
    const pushed: Pushed[] = [];
    for (const { name, folder, samples, steps, base: own } of teams) {
      const compress = eta === undefined ? [] : ['--base', own, '--compress', `star:${eta}`];
      const reports: Pushed[] = [];
      for (const round of rounds) {
        const facts = ['--round', round.name, '--as', name, '--samples', `${samples}`, '--steps', `${steps}`];
        reports.push(await stage.run<Pushed>(name, ['push', folder, ...facts, ...compress]));
      }
      pushed.push(reports[0] as Pushed);
    }
    const merged = [];
    for (const round of rounds) merged.push((await collect(stage, round)).folder);
    return { name: eta === undefined ? 'uncompressed' : `star:${eta}`, pushed, merged };
  });
}

const percent = (share: number): string => (100 * share).toFixed(1);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}

function rowOf({ name, pushed }: Level, uncompressed: number, scores: readonly Evaluation[]): string[] {
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
  ];
}

function print(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  for (const row of [header, ...rows])
    console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '));
}

async function measure(dir: string, teams: readonly Team[], levels: readonly Level[], recipes: readonly DemoRecipe[]): Promise<void> {
  const folders = [...teams.map(({ folder }) => folder), ...levels.flatMap(({ merged }) => merged)];
  const environment = isolatedEnvironment(dir, process.env);
  const options = { environment, logFile: join(dir, 'log'), signal: new AbortController().signal };
  const evaluations = await evaluateFolders({ dir, say: () => {}, run: (_who, args) => runTributary(args, options) }, folders);
  const scores = evaluations.slice(teams.length);
  const best = Math.max(...evaluations.slice(0, teams.length).map(({ average }) => average));
  const uncompressed = sum((levels[0]?.pushed ?? []).map(({ sentBytes }) => sentBytes));
  const header = [
    'push',
    ...teams.map(({ name }) => name),
    'all sent',
    'times',
    'ranks',
    'error',
    ...recipes.flatMap(({ name }) => [name, 'worst']),
  ];
  console.log(
    'bytes that each team sends; how many times less than uncompressed; distance of what is sent from the task vector, relative to',
  );
  console.log("its norm; accuracy in % of the merged models on everyone's test digits, average and worst\n");
  print(
    header,
    levels.map((level, index) => rowOf(level, uncompressed, scores.slice(index * recipes.length, (index + 1) * recipes.length))),
  );
  const rounding = Math.max(...levels.flatMap(({ pushed }) => pushed.map(({ compression }) => compression?.rounding ?? 0)));
  console.log(`\nbest single contribution: ${percent(best)} % on average; largest rounding of what is sent: ${rounding.toExponential(1)}`);
  for (const { name, pushed } of levels) {
    const known = pushed.flatMap(({ compression }) => (compression === undefined ? [] : [compression]));
    if (known.length > 0)
      console.log(
        `${name}: announced ${known.map((one) => `${ratioOf(one).toFixed(1)}`).join(', ')} times less; ${known[0]?.engine ?? 'no engine'}`,
      );
  }
}

export async function benchCompress(args: readonly string[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'tributary-bench-'));
  try {
    const { base, teams, recipes } = await trainAll(join(dir, 'training'));
    const levels: Level[] = [];
    for (const eta of [undefined, ...ETAS]) levels.push(await playLevel(join(dir, `${eta ?? 'full'}`), base, teams, recipes, eta));
    await measure(dir, teams, levels, recipes);
  } finally {
    if (args.includes('--keep')) console.log(`models and logs: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  }
}
