/** A coordinator that is killed while agents measure ends with the front of one that was not. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Front } from '../../shared/generated/tributary/v1/pareto.js';
import { fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { CoordinatorProcess } from '../support/coordinator-process.js';
import { type Federation, joinFederation } from '../support/federation.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { connectStudy, lease, measureAll, report, runAgent, type StudyClients, twoTasks } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TEAMS = ['alice', 'bob'];
const RECIPE = `merge_method: task_arithmetic
map:
  tasks: {alpha: {metric: score, direction: maximize, bounds: [null, 1]}, beta: {metric: score, direction: maximize, bounds: [null, 1]}}
  budget: {candidates: 14}
`;
const KILLS = 2;
const agent = { agent: 'agent', metrics: twoTasks };
let coordinator: CoordinatorProcess;
let federation: Federation;
let clients: StudyClients;

function connectAll(): void {
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
}

async function killAndRestart(): Promise<void> {
  await coordinator.kill('SIGKILL');
  federation.disconnect();
  clients.close();
  await coordinator.start();
  connectAll();
}

async function publish(round: string): Promise<void> {
  await federation.createRound(round, { base: 'tiny', recipe: RECIPE, quorum: TEAMS.length });
  for (const team of TEAMS) await federation.push(round, team, { folder: path(team) });
  await federation.ended(round);
}

beforeAll(async () => {
  mkdirSync(path('home'));
  const base = makeBase(1, TINY);
  writeSingle(path('base'), base);
  TEAMS.forEach((team, index) => void writeSingle(path(team), fineTune(base, 2 + index)));
  coordinator = await CoordinatorProcess.start({ dataDir: path('data'), home: path('home') });
  connectAll();
  await federation.registerBase('tiny', path('base'));
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.kill('SIGKILL');
});

const measuredOf = ({ measured }: Front) =>
  measured.map((point) => [point.coefficients, point.measured.map(({ task, value }) => [task, value])]);

it('the front is the undisturbed one, also to the next process', async () => {
  await publish('calm');
  await measureAll(clients, { ...agent, round: 'calm' });
  await publish('rough');
  for (let turn = 0; turn < KILLS; turn++) {
    let left = 3;
    const held = await lease(clients, { ...agent, agent: 'patient', round: 'rough', most: 1, waitSeconds: 5 });
    await runAgent(clients, { ...agent, round: 'rough', most: 1, waitSeconds: 1, until: () => left-- === 0 });
    await killAndRestart();
    // The lease outlived the coordinator, and its report counts.
    const kept = await clients.evaluations.heartbeat({ agent: 'patient', leaseIds: held.map(({ leaseId }) => leaseId) });
    expect(kept.leaseIds).toHaveLength(1);
    for (const one of held) expect(await report(clients, { ...agent, agent: 'patient' }, one)).toBe(true);
  }
  const study = await measureAll(clients, { ...agent, round: 'rough' });
  expect(study).toMatchObject({ state: StudyState.COMPLETE, candidates: 14 });
  const calm = await clients.pareto.getFront({ round: 'calm' });
  const rough = await clients.pareto.getFront({ round: 'rough' });
  expect(rough.predicted).toEqual(calm.predicted);
  expect(rough.surrogates).toEqual(calm.surrogates);
  expect(measuredOf(rough)).toEqual(measuredOf(calm));
  await killAndRestart();
  expect(await clients.pareto.getFront({ round: 'rough' })).toEqual(rough);
});
