/** What agents download for a study: contributions to merge from, or candidates that the coordinator merged; and who may see which. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../client/api/connection.js';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { pull } from '../../client/pull/pull.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { type Federation, joinFederation } from '../support/federation.js';
import {
  connectStudy,
  lease,
  type RunningCoordinator,
  report,
  type StudyClients,
  startInProcess,
  twoTasks,
} from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { holdRound, TEAMS, writeTwoTeams } from '../support/two-teams.js';

const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TASKS = '{alpha: {metric: score, direction: maximize}, beta: {metric: score, direction: maximize}}';
const TIES = 'merge_method: ties\nparameters: {density: 0.5}\n';
let coordinator: RunningCoordinator;
let federation: Federation;
let clients: StudyClients;

async function publish(round: string, recipe: string): Promise<void> {
  expect((await holdRound(federation, folder, round, recipe)).state).toBe(RoundState.PUBLISHED);
}

/** Fetches what ModelService knows by this name; the bytes of its weight file. */
async function fetchModel(name: string, out: string): Promise<Buffer> {
  const connection = connect({ server: coordinator.address });
  try {
    const patience = { withoutProgressMs: 10_000, signal: AbortSignal.timeout(30_000), onRetry: () => {} };
    await pull(connection, { name, outDir: path(out), threads: 1, patience, onProgress: () => {} });
    return readFileSync(join(path(out), 'model.safetensors'));
  } finally {
    connection.close();
  }
}

async function offline(out: string, weights: readonly number[]): Promise<Buffer> {
  // No weight at all is the base, whatever the rule.
  const rule = weights.every((weight) => weight === 0) ? 'merge_method: task_arithmetic\n' : TIES;
  const models = TEAMS.map((team, index) => `  - {model: ${path(team)}, parameters: {weight: ${weights[index]}}}\n`).join('');
  const recipeText = `${rule}base_model: ${path('base')}\nmodels:\n${models}`;
  await mergeOffline({ recipeText, recipePath: 'recipe.yml', outDir: path(out), threads: 1, version: 'test' });
  return readFileSync(join(path(out), 'model.safetensors'));
}

beforeAll(async () => {
  writeTwoTeams(folder);
  coordinator = await startInProcess(path('data'));
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
  await federation.registerBase('tiny', path('base'));
  await publish('served', `${TIES}map: {tasks: ${TASKS}, candidates: served, budget: {candidates: 12}}\n`);
  await publish('local', `${TIES}map: {tasks: ${TASKS}, budget: {candidates: 12}}\n`);
  await publish('plain', TIES);
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.close(0);
});

describe('candidates that the coordinator merges', () => {
  it('are, byte for byte, the offline merge with their coefficients, and go when they are measured', async () => {
    const seen: (readonly number[])[] = [];
    for (let turn = 0; turn < 6; turn++) {
      const leases = await lease(clients, { agent: 'a', metrics: twoTasks, round: 'served', waitSeconds: 10 });
      const [first] = leases;
      if (first === undefined) throw new Error('no lease');
      expect(first.model).toBe(`rounds/served/candidates/${first.candidate}`);
      const bytes = await fetchModel(first.model, `served-${first.candidate}`);
      const expected = await offline(`offline-${turn}`, first.coefficients);
      expect(bytes.equals(expected), `candidate ${first.candidate}: ${first.coefficients.join(', ')}`).toBe(true);
      for (const one of leases) await report(clients, { agent: 'a', metrics: twoTasks }, one);
      seen.push(first.coefficients);
    }
    expect(seen.some((coefficients) => coefficients.every((weight) => weight > 0 && weight < 1))).toBe(true);
    await eventually('measured candidates are removed', () =>
      readdirSync(path('data/candidates/served')).length === 0 ? true : undefined,
    );
  });

  it('keep few on the disk, and merge again what is gone', async () => {
    const { manifestDigest } = await clients.models.getModel({ name: 'rounds/served/candidates/7' });
    for (const candidate of [8, 9, 10, 11]) await clients.models.getModel({ name: `rounds/served/candidates/${candidate}` });
    await eventually('the oldest are removed', () => (readdirSync(path('data/candidates/served')).length <= 4 ? true : undefined));
    expect((await clients.models.getModel({ name: 'rounds/served/candidates/7' })).manifestDigest).toBe(manifestDigest);
    await expectError('MODEL_NOT_FOUND', () => clients.models.getModel({ name: 'rounds/served/candidates/99' }));
  });

  it('nobody sees the contributions themselves', async () => {
    await expectError('PERMISSION_DENIED', () => clients.models.getModel({ name: 'rounds/served/alice' }));
    await expectError('PERMISSION_DENIED', () => fetchModel('rounds/served/alice', 'refused'));
    expect(existsSync(path('refused'))).toBe(false);
  });
});

describe('contributions that agents merge from', () => {
  it('are what was pushed', async () => {
    const model = await clients.models.getModel({ name: 'rounds/local/alice' });
    const { contributions } = await clients.evaluations.getStudy({ round: 'local' });
    expect(model).toMatchObject({ name: 'rounds/local/alice', round: 'local', weightsDigest: contributions[0]?.weightsDigest });
    const bytes = await fetchModel('rounds/local/alice', 'alice-back');
    expect(bytes.equals(readFileSync(join(path('alice'), 'model.safetensors')))).toBe(true);
  });

  it('only of studies that give them away', async () => {
    await expectError('PERMISSION_DENIED', () => clients.models.getModel({ name: 'rounds/plain/alice' }));
    await expectError('PERMISSION_DENIED', () => clients.models.getModel({ name: 'rounds/local/candidates/1' }));
    await expectError('CONTRIBUTION_NOT_FOUND', () => clients.models.getModel({ name: 'rounds/local/carol' }));
    await expectError('ROUND_NOT_FOUND', () => clients.models.getModel({ name: 'rounds/none/alice' }));
    await expectError('MODEL_NOT_FOUND', () => clients.models.getModel({ name: 'rounds/local' }));
  });
});
