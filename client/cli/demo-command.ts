/**
 * `tributary demo`: a whole federation on one machine. Every step is the real command in a process of its own: a coordinator, a base
 * trained on real digits, four teams that fine-tune on their own kind of digits and push, one round per rule, and the merged models
 * pulled back and measured on everyone's digits.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ChildOptions, runTributary } from '../demo/child.js';
import { startCoordinatorProcess } from '../demo/coordinator-child.js';
import { DEMO_PLAN, type DemoContributor, type DemoRecipe } from '../train/demo-plan.js';
import { DOMAINS } from '../train/domains.js';
import { formatScoreTable, type ScoredFolder, type ScoreRow, type ScoreTable } from '../train/score-table.js';
import type { LocalContext } from './local-context.js';
import { formatBytes } from './units.js';

const BASE_NAME = 'digits-base';

interface Demo {
  readonly dir: string;
  readonly say: (who: string, what: string) => void;
  readonly run: <T>(who: string, args: readonly string[]) => Promise<T>;
}

interface TrainReport {
  readonly samples: number;
  readonly steps: number;
}

export async function runDemo(context: LocalContext, out: string | undefined, keep: boolean): Promise<void> {
  const dir = out === undefined ? mkdtempSync(join(tmpdir(), 'tributary-demo-')) : resolve(out);
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const startedMs = performance.now();
  const environment = demoEnvironment(dir);
  const optionsOf = (who: string): ChildOptions => ({ environment, logFile: join(dir, 'logs', `${who}.log`), signal: context.signal });
  const demo: Demo = {
    dir,
    say: (who, what) =>
      context.io.line(`${`${((performance.now() - startedMs) / 1000).toFixed(1)} s`.padStart(7)}  ${who.padEnd(16)} ${what}`),
    run: (who, args) => runTributary(args, optionsOf(who)),
  };
  const coordinator = await startCoordinatorProcess(join(dir, 'coordinator'), optionsOf('coordinator'));
  try {
    writeFileSync(join(dir, 'client.yaml'), `server: ${coordinator.grpc}\n`);
    demo.say('coordinator', `gRPC on ${coordinator.grpc}, metrics on ${coordinator.http}/metrics`);
    const rounds = await prepare(demo);
    await inPairs(DEMO_PLAN.contributors, (contributor) => contribute(demo, contributor, rounds));
    const merged: ScoredFolder[] = [];
    for (const round of rounds) merged.push(await collect(demo, round));
    const table = await measure(demo, merged);
    const metricsFile = join(dir, 'metrics.txt');
    writeFileSync(metricsFile, await (await fetch(`${coordinator.http}/metrics`)).text());
    context.io.result(
      { dir, table, seconds: (performance.now() - startedMs) / 1000 },
      [
        '',
        `accuracy in % on held-out digits (${table.split} split)`,
        '',
        formatScoreTable(table),
        '',
        verdict(table),
        '',
        `models   ${join(dir, 'models')}  (each merged one with a README.md that says what went in)`,
        `logs     ${join(dir, 'logs')}`,
        keep
          ? `metrics  ${coordinator.http}/metrics, until Ctrl-C`
          : `metrics  ${metricsFile}  (live with: tributary demo --keep, or tributary coordinator --data ${join(dir, 'coordinator')})`,
      ].join('\n'),
    );
    if (keep) await new Promise<void>((done) => context.signal.addEventListener('abort', () => done()));
  } finally {
    await coordinator.stop();
  }
}

/** The user's own configuration must not reach the demo, nor the demo's the user's caches. */
function demoEnvironment(dir: string): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('TRIBUTARY_'));
  return { ...Object.fromEntries(inherited), TRIBUTARY_CONFIG: join(dir, 'client.yaml'), XDG_CACHE_HOME: join(dir, 'cache') };
}

interface DemoRound {
  readonly name: string;
  readonly recipe: DemoRecipe;
}

/** Trains and registers the base, and opens one round per rule. */
async function prepare(demo: Demo): Promise<DemoRound[]> {
  const folder = join(demo.dir, 'models', 'base');
  const { samples } = await demo.run<TrainReport>('base', ['train', 'base', '--out', folder, '--seed', `${DEMO_PLAN.seed}`]);
  await demo.run('base', ['base', 'push', folder, '--name', BASE_NAME]);
  demo.say('base', `trained on ${samples} real digits and registered as ${BASE_NAME}`);
  const rounds: DemoRound[] = [];
  for (const recipe of DEMO_PLAN.recipes) {
    const name = recipe.name.split(' ')[0] as string;
    const file = join(demo.dir, `${name}.yml`);
    writeFileSync(file, recipe.yaml);
    const quorum = `${DEMO_PLAN.contributors.length}`;
    await demo.run('rounds', ['round', 'create', name, '--base', BASE_NAME, '--recipe', file, '--quorum', quorum]);
    rounds.push({ name, recipe });
  }
  demo.say(
    'rounds',
    `${rounds.map(({ name }) => name).join(', ')}: each merges by itself when ${DEMO_PLAN.contributors.length} teams are in`,
  );
  return rounds;
}

/** What one team does: pull the base, fine-tune on its own digits, push to every round. */
async function contribute(demo: Demo, contributor: DemoContributor, rounds: readonly DemoRound[]): Promise<void> {
  const { name, domain, samples } = contributor;
  const base = join(demo.dir, 'teams', name, 'base');
  const tuned = join(demo.dir, 'models', name);
  await demo.run(name, ['pull', BASE_NAME, '--out', base]);
  const train = ['train', 'fine-tune', '--base', base, '--domain', domain, '--out', tuned, '--samples', `${samples}`];
  const report = await demo.run<TrainReport>(name, train);
  let sent = 0;
  let saved = 0;
  for (const round of rounds) {
    const facts = ['--as', name, '--samples', `${report.samples}`, '--steps', `${report.steps}`];
    const pushed = await demo.run<{ sentBytes: number; savedBytes: number }>(name, ['push', tuned, '--round', round.name, ...facts]);
    sent += pushed.sentBytes;
    saved += pushed.savedBytes;
  }
  demo.say(
    name,
    `fine-tuned on ${report.samples} ${domain} digits (${report.steps} steps); pushed to ${rounds.length} rounds: ${formatBytes(sent)} sent, ${formatBytes(saved)} saved`,
  );
}

/** Waits for a round's model and pulls it. */
async function collect(demo: Demo, round: DemoRound): Promise<ScoredFolder> {
  const folder = join(demo.dir, 'models', `merged-${round.name}`);
  await demo.run(round.name, ['round', 'watch', round.name]);
  const pulled = await demo.run<{ model: { weightsDigest: string } }>(round.name, ['pull', round.name, '--out', folder]);
  demo.say(round.name, `merged, published and pulled (weights ${pulled.model.weightsDigest.slice(0, 12)})`);
  return { name: round.recipe.name, role: 'merged', folder };
}

async function measure(demo: Demo, merged: readonly ScoredFolder[]): Promise<ScoreTable> {
  const single = DEMO_PLAN.contributors.map(
    ({ name }): ScoredFolder => ({ name, role: 'contribution', folder: join(demo.dir, 'models', name) }),
  );
  const folders: ScoredFolder[] = [{ name: 'base', role: 'base', folder: join(demo.dir, 'models', 'base') }, ...single, ...merged];
  const rows: ScoreRow[] = [];
  let split: ScoreTable['split'] = 'test';
  for (const { name, role, folder } of folders) {
    const evaluation = await demo.run<Omit<ScoreRow, 'name' | 'role'> & { split: ScoreTable['split'] }>('evaluate', [
      'train',
      'evaluate',
      '--model',
      folder,
    ]);
    split = evaluation.split;
    rows.push({ name, role, scores: evaluation.scores, average: evaluation.average, worst: evaluation.worst });
  }
  return { domains: DOMAINS, split, rows };
}

function verdict(table: ScoreTable): string {
  const best = (role: ScoreRow['role'], by: 'average' | 'worst'): ScoreRow =>
    table.rows.filter((row) => row.role === role).reduce((a, b) => (b[by] > a[by] ? b : a));
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  const line = (by: 'average' | 'worst', words: string): string => {
    const [merged, single] = [best('merged', by), best('contribution', by)];
    const compared = merged[by] > single[by] ? 'better' : 'NOT better';
    return `${words} the best merge (${merged.name}, ${percent(merged[by])}) is ${compared} than the best single contribution (${single.name}, ${percent(single[by])}).`;
  };
  return `${line('average', "On average over everyone's digits")}\n${line('worst', "On everyone's worst case")}`;
}

/** Two at a time: as many as the smallest machine has cores. */
async function inPairs<T>(items: readonly T[], body: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await body(item);
  };
  await Promise.all(Array.from({ length: DEMO_PLAN.parallelFineTunes }, worker));
}
