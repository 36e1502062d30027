/**
 * `tributary demo`: a whole federation on one machine. Every step is the real command in a process of its own: a coordinator, a base trained on
 * real digits, four teams that fine-tune on their own kind of digits and push, one round per rule, the merged models pulled back and measured
 * on everyone's digits; a fifth contributor who spoils its push; and a round whose trade-offs are measured by the teams' agents.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ChildOptions, runTributary, startTributary } from '../demo/child.js';
import { chooseLambda } from '../demo/choose-lambda.js';
import { startCoordinatorProcess } from '../demo/coordinator-child.js';
import { evaluateFolders } from '../demo/measure.js';
import { playPareto } from '../demo/pareto.js';
import { playPoison } from '../demo/poison.js';
import { paretoLines, poisonLines, poisonVerdict, scoreLines, sortRows, verdict } from '../demo/report.js';
import { playLateRound, playRounds, registerBase } from '../demo/rounds.js';
import { isolatedEnvironment, type Stage, type Trained } from '../demo/stage.js';
import { taskArithmeticRecipe } from '../train/demo-plan.js';
import { DOMAINS } from '../train/domains.js';
import type { ScoredFolder, ScoreRow, ScoreTable } from '../train/score-table.js';
import type { LocalContext } from './local-context.js';

export async function runDemo(context: LocalContext, out: string | undefined, keep: boolean): Promise<void> {
  const dir = out === undefined ? mkdtempSync(join(tmpdir(), 'tributary-demo-')) : resolve(out);
  for (const folder of ['logs', 'lambdas', 'poison', 'agents']) mkdirSync(join(dir, folder), { recursive: true });
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const environment = isolatedEnvironment(dir, process.env);
  const optionsOf = (who: string): ChildOptions => ({ environment, logFile: join(dir, 'logs', `${who}.log`), signal: context.signal });
  const stage: Stage = {
    dir,
    say: (who, what) => context.io.line(`${`${seconds().toFixed(1)} s`.padStart(7)}  ${who.padEnd(16)} ${what}`),
    run: (who, args) => runTributary(args, optionsOf(who)),
    start: (who, args) => startTributary(args, optionsOf(who)),
  };
  const coordinator = await startCoordinatorProcess(join(dir, 'coordinator'), optionsOf('coordinator'));
  try {
    writeFileSync(join(dir, 'client.yaml'), `server: ${coordinator.grpc}\n`);
    stage.say('coordinator', `gRPC on ${coordinator.grpc}, metrics on ${coordinator.http}/metrics`);
    const base = await registerBase(stage);
    const { teams, merged } = await playRounds(stage);
    const mean = merged.find(({ name }) => name === 'linear')?.folder ?? '';
    const lambda = await chooseLambda(stage, base, mean);
    merged.push(await playLateRound(stage, taskArithmeticRecipe(lambda), teams));
    const pareto = await playPareto(stage, teams);
    merged.push(pareto.merged);
    const table = await measure(stage, base, teams, merged);
    const poison = await playPoison(stage, base, teams);
    const metricsFile = join(dir, 'metrics.txt');
    writeFileSync(metricsFile, await (await fetch(`${coordinator.http}/metrics`)).text());
    context.io.result(
      { dir, lambda, table, poison, pareto: pareto.report, seconds: seconds() },
      [
        '',
        `accuracy in % on held-out digits (${table.split} split)`,
        '',
        scoreLines(table),
        '',
        verdict(table),
        `The lambda of task_arithmetic, ${lambda}, was chosen on other images (validation split).`,
        '',
        'the same with a fifth contributor who spoils its push: average and worst accuracy in %',
        '',
        poisonLines(poison),
        '',
        poisonVerdict(poison),
        '',
        paretoLines(pareto.report),
        '',
        `models   ${join(dir, 'models')}  (each merged one with a README.md that says what went in)`,
        `logs     ${join(dir, 'logs')}`,
        keep
          ? `metrics  ${coordinator.http}/metrics, until Ctrl-C`
          : `metrics  ${metricsFile}  (live with: tributary demo --keep, or tributary coordinator --data ${join(dir, 'coordinator')})`,
        `took     ${seconds().toFixed(0)} s`,
      ].join('\n'),
    );
    if (keep) await new Promise<void>((done) => context.signal.addEventListener('abort', () => done()));
  } finally {
    await coordinator.stop();
  }
}

async function measure(stage: Stage, base: string, teams: readonly Trained[], merged: readonly ScoredFolder[]): Promise<ScoreTable> {
  const folders: ScoredFolder[] = [
    { name: 'base', role: 'base', folder: base },
    ...teams.map(({ name, folder }): ScoredFolder => ({ name, role: 'contribution', folder })),
    ...merged,
  ];
  const evaluations = await evaluateFolders(
    stage,
    folders.map(({ folder }) => folder),
  );
  stage.say('measure', `${folders.length} models on everyone's digits`);
  const rows = folders.flatMap(({ name, role }, index): ScoreRow[] => {
    const evaluation = evaluations[index];
    return evaluation === undefined
      ? []
      : [{ name, role, scores: evaluation.scores, average: evaluation.average, worst: evaluation.worst }];
  });
  return { domains: DOMAINS, split: 'test', rows: sortRows(rows) };
}
