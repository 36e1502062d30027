/** Two teams with a fine-tune each of one tiny base, rounds of theirs, and a coordinator of its own process that can be killed between. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Round } from '../../shared/generated/tributary/v1/rounds.js';
import { fineTune, makeBase, TINY, writeSingle } from './checkpoints.js';
import { CoordinatorProcess } from './coordinator-process.js';
import { type Federation, joinFederation } from './federation.js';
import { connectStudy, type StudyClients } from './study-coordinator.js';

export const TEAMS = ['alice', 'bob'];

/** Writes `base`, `alice` and `bob` into the folder. */
export function writeTwoTeams(folder: string): void {
  const base = makeBase(1, TINY);
  writeSingle(join(folder, 'base'), base);
  TEAMS.forEach((team, index) => void writeSingle(join(folder, team), fineTune(base, 2 + index)));
}

/** Opens a round over the base `tiny`, pushes both, and waits for its end. */
export async function holdRound(federation: Federation, folder: string, round: string, recipe: string): Promise<Round> {
  await federation.createRound(round, { base: 'tiny', recipe, quorum: TEAMS.length });
  for (const team of TEAMS) await federation.push(round, team, { folder: join(folder, team), samples: 10 });
  return federation.ended(round);
}

/** A coordinator that knows the base `tiny`, and who talks to it. Its clients are new ones after a restart. */
export class TwoTeams {
  readonly coordinator: CoordinatorProcess;
  federation: Federation;
  clients: StudyClients;

  private constructor(coordinator: CoordinatorProcess) {
    this.coordinator = coordinator;
    this.federation = joinFederation(coordinator.address);
    this.clients = connectStudy(coordinator.address);
  }

  static async start(folder: string): Promise<TwoTeams> {
    const home = join(folder, 'home');
    mkdirSync(home);
    writeTwoTeams(folder);
    const teams = new TwoTeams(await CoordinatorProcess.start({ dataDir: join(folder, 'data'), home }));
    await teams.federation.registerBase('tiny', join(folder, 'base'));
    return teams;
  }

  async killAndRestart(): Promise<void> {
    await this.end();
    await this.coordinator.start();
    this.federation = joinFederation(this.coordinator.address);
    this.clients = connectStudy(this.coordinator.address);
  }

  async end(): Promise<void> {
    await this.coordinator.kill('SIGKILL');
    this.federation.disconnect();
    this.clients.close();
  }
}
