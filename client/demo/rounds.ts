/** The federation of the demo: a base, teams that fine-tune and push, a round for every rule. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes } from '../cli/units.js';
import { DEMO_PLAN, type DemoContributor, type DemoRecipe } from '../train/demo-plan.js';
import type { ScoredFolder } from '../train/score-table.js';
import { BASE_NAME, inParallel, type Stage, type Trained, type TrainReport } from './stage.js';

export interface DemoRound {
  readonly name: string;
  readonly recipe: DemoRecipe;
}

interface Pushed {
  readonly sentBytes: number;
  readonly savedBytes: number;
}

/** @returns the base's folder */
export async function registerBase(stage: Stage): Promise<string> {
  const folder = join(stage.dir, 'models', 'base');
  const { samples } = await stage.run<TrainReport>('base', ['train', 'base', '--out', folder, '--seed', `${DEMO_PLAN.seed}`]);
  await stage.run('base', ['base', 'push', folder, '--name', BASE_NAME]);
  stage.say('base', `trained on ${samples} real digits and registered as ${BASE_NAME}`);
  return folder;
}

export async function openRound(stage: Stage, recipe: DemoRecipe): Promise<DemoRound> {
  const name = recipe.name.split(' ')[0] as string;
  const file = join(stage.dir, `${name}.yml`);
  writeFileSync(file, recipe.yaml);
  const quorum = `${DEMO_PLAN.contributors.length}`;
  await stage.run('rounds', ['round', 'create', name, '--base', BASE_NAME, '--recipe', file, '--quorum', quorum]);
  return { name, recipe };
}

export async function push(stage: Stage, { name, folder, samples, steps }: Trained, rounds: readonly DemoRound[]): Promise<Pushed> {
  let sentBytes = 0;
  let savedBytes = 0;
  for (const round of rounds) {
    const facts = ['--as', name, '--samples', `${samples}`, '--steps', `${steps}`];
    const pushed = await stage.run<Pushed>(name, ['push', folder, '--round', round.name, ...facts]);
    sentBytes += pushed.sentBytes;
    savedBytes += pushed.savedBytes;
  }
  return { sentBytes, savedBytes };
}

/** Pulls the base and fine-tunes it on the team's own digits. */
export async function train(stage: Stage, { name, domain, samples }: DemoContributor): Promise<Trained & { readonly base: string }> {
  const base = join(stage.dir, 'teams', name, 'base');
  const folder = join(stage.dir, 'models', name);
  await stage.run(name, ['pull', BASE_NAME, '--out', base]);
  const args = ['train', 'fine-tune', '--base', base, '--domain', domain, '--out', folder, '--samples', `${samples}`];
  const report = await stage.run<TrainReport>(name, args);
  return { name, folder, samples: report.samples, steps: report.steps, base };
}

/** What one team does: pull the base, fine-tune on its own digits, push to every round. */
async function contribute(stage: Stage, contributor: DemoContributor, rounds: readonly DemoRound[]): Promise<Trained> {
  const team = await train(stage, contributor);
  const { sentBytes, savedBytes } = await push(stage, team, rounds);
  stage.say(
    team.name,
    `fine-tuned on ${team.samples} ${contributor.domain} digits (${team.steps} steps); pushed to ${rounds.length} rounds: ${formatBytes(sentBytes)} sent, ${formatBytes(savedBytes)} saved`,
  );
  return team;
}

/** Waits for a round's model and pulls it. */
export async function collect(stage: Stage, { name, recipe }: DemoRound): Promise<ScoredFolder> {
  const folder = join(stage.dir, 'models', `merged-${name}`);
  await stage.run(name, ['round', 'watch', name]);
  const pulled = await stage.run<{ model: { weightsDigest: string } }>(name, ['pull', name, '--out', folder]);
  stage.say(name, `merged, published and pulled (weights ${pulled.model.weightsDigest.slice(0, 12)})`);
  return { name: recipe.name, role: 'merged', folder };
}

/** One round for every rule of the plan, and all teams in all of them. */
export async function playRounds(stage: Stage): Promise<{ teams: Trained[]; merged: ScoredFolder[] }> {
  const rounds = await inParallel(DEMO_PLAN.recipes, (recipe) => openRound(stage, recipe));
  const names = rounds.map(({ name }) => name).join(', ');
  stage.say('rounds', `${names}: each merges by itself when ${DEMO_PLAN.contributors.length} teams are in`);
  const teams = await inParallel(DEMO_PLAN.contributors, (contributor) => contribute(stage, contributor, rounds));
  const merged = await inParallel(rounds, (round) => collect(stage, round));
  return { teams, merged };
}

/** One more round, for teams that have trained: nothing is sent again. */
export async function playLateRound(stage: Stage, recipe: DemoRecipe, teams: readonly Trained[]): Promise<ScoredFolder> {
  const round = await openRound(stage, recipe);
  const pushed = await inParallel(teams, (team) => push(stage, team, [round]));
  const sentBytes = pushed.reduce((total, one) => total + one.sentBytes, 0);
  stage.say(round.name, `pushed by all ${teams.length} teams once more: ${formatBytes(sentBytes)} sent, the coordinator has it all`);
  return collect(stage, round);
}
