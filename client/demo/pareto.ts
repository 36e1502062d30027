/**
 * The last act of the demo: a round with a map block. Every team runs an agent next to its own digits, the coordinator samples merges, the agents
 * measure them, and someone asks for the best trade-off, has it measured and published, and draws the front.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_PLAN } from '../train/demo-plan.js';
import type { ScoredFolder } from '../train/score-table.js';
import { openRound, push } from './rounds.js';
import type { Stage, Trained } from './stage.js';

const { coefficients, candidates, model } = DEMO_PLAN.map;
const NAME = 'map';

/** What the demo reads of the front's JSON. */
interface FrontDocument {
  readonly state: string;
  readonly surrogates: readonly { readonly task: string; readonly r2: number; readonly heldOutR2: number }[];
  readonly predicted: readonly object[];
  readonly measured: readonly object[];
  readonly evaluations: number;
}

interface PointDocument {
  readonly coefficients: Readonly<Record<string, number>>;
  readonly predicted: Readonly<Record<string, number>>;
  readonly measured: Readonly<Record<string, { readonly value: number }>>;
}

export interface ParetoReport {
  readonly front: FrontDocument;
  /** The point for equal preferences, as it was published. */
  readonly chosen: PointDocument;
  readonly folder: string;
  readonly files: readonly string[];
}

/** Each task is one team's digits, measured by that team's agent on validation images. */
function recipeYaml(): string {
  const tasks = DEMO_PLAN.contributors.map(({ name, domain }) => `    ${domain}: {metric: accuracy, evaluator: ${name}}`);
  return [
    'merge_method: task_arithmetic',
    'map:',
    '  tasks:',
    ...tasks,
    `  coefficients: {bounds: [${coefficients.join(', ')}]}`,
    `  budget: {candidates: ${candidates}}`,
    '',
  ].join('\n');
}

/** Starts a team's agent; it runs until it is stopped. */
function startAgent(stage: Stage, team: string, domain: string): { stop(): Promise<void> } {
  const config = join(stage.dir, 'agents', `${team}.yaml`);
  writeFileSync(
    config,
    [
      `agent: ${team}`,
      `work: ${JSON.stringify(join(stage.dir, 'agents', team))}`,
      'tasks:',
      `  ${domain}: {tfjs: {digits: {domain: ${domain}, split: validation}}}`,
      '',
    ].join('\n'),
  );
  return stage.start(`agent-${team}`, ['agent', '--config', config]);
}

export async function playPareto(stage: Stage, teams: readonly Trained[]): Promise<{ report: ParetoReport; merged: ScoredFolder }> {
  const round = await openRound(stage, { name: NAME, yaml: recipeYaml() });
  for (const team of teams) await push(stage, team, [round]);
  const agents = DEMO_PLAN.contributors.map(({ name, domain }) => startAgent(stage, name, domain));
  stage.say(NAME, `${agents.length} agents measure ${candidates} merges, each on its own validation digits`);
  try {
    await stage.run(NAME, ['round', 'watch', NAME]);
    const front = await stage.run<FrontDocument>(NAME, ['pareto', 'front', NAME]);
    const prefer = ['--prefer', DEMO_PLAN.contributors.map(({ domain }) => `${domain}=1`).join(',')];
    const { point: chosen } = await stage.run<{ point: PointDocument }>(NAME, ['pareto', 'materialise', NAME, '--name', model, ...prefer]);
    stage.say(
      NAME,
      `front of ${front.predicted.length} points from ${front.evaluations} evaluations; equal preferences published as ${model}`,
    );
    const files = ['pareto.svg', 'pareto.html'].map((file) => join(stage.dir, file));
    for (const file of files) await stage.run(NAME, ['pareto', 'export', NAME, '--out', file, ...prefer]);
    const folder = join(stage.dir, 'models', `merged-${model}`);
    await stage.run(NAME, ['pull', model, '--out', folder]);
    return { report: { front, chosen, folder, files }, merged: { name: 'map, equal weights', role: 'merged', folder } };
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
  }
}
