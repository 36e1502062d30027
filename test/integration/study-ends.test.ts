/** Studies that end otherwise than by their design: by the clock, with a task nobody can predict, or with a coordinator that has two at once. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { FrontState, QueryRequest } from '../../shared/generated/tributary/v1/pareto.js';
import { randomFrom } from '../support/checkpoints.js';
import { expectError } from '../support/expect-error.js';
import { type Federation, joinFederation } from '../support/federation.js';
import {
  connectStudy,
  lease,
  measureAll,
  type RunningCoordinator,
  report,
  type StudyClients,
  startInProcess,
  studyIs,
  twoTasks,
} from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { holdRound, writeTwoTeams } from '../support/two-teams.js';

const folder = tempDir();
const path = (name: string): string => join(folder, name);
let coordinator: RunningCoordinator;
let federation: Federation;
let clients: StudyClients;

async function publish(round: string, map: string): Promise<void> {
  const recipe = `merge_method: task_arithmetic\nmap: {tasks: {alpha: {metric: s, direction: maximize}, beta: {metric: s, direction: maximize}}, ${map}}\n`;
  await holdRound(federation, folder, round, recipe);
}

beforeAll(async () => {
  writeTwoTeams(folder);
  coordinator = await startInProcess(path('data'));
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
  await federation.registerBase('tiny', path('base'));
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.close(0);
});

it('minutes that are over end a study at the border of a batch', async () => {
  await publish('short', 'budget: {minutes: 0.001}');
  const leases = await lease(clients, { agent: 'a', metrics: twoTasks, round: 'short', waitSeconds: 10 });
  expect(leases).toHaveLength(2);
  const before = await clients.evaluations.getStudy({ round: 'short' });
  expect(before).toMatchObject({ state: StudyState.EVALUATING, plannedCandidates: 0 });
  for (const one of leases) await report(clients, { agent: 'a', metrics: twoTasks }, one);
  const study = await measureAll(clients, { agent: 'a', metrics: twoTasks, round: 'short' });
  expect(study.state).toBe(StudyState.COMPLETE);
  // The batch that had begun was finished.
  expect(study.progress.every(({ done, open, leased }) => done === study.candidates && open + leased === 0)).toBe(true);
  expect((await clients.pareto.getFront({ round: 'short' })).evaluations).toBe(2 * study.candidates);
});

it('a task that follows nothing shows measured points only, and says why', async () => {
  const random = randomFrom(3);
  const metrics = { ...twoTasks, beta: () => random() };
  await publish('noise', 'budget: {candidates: 20}, surrogate: {min_r2: 0.9}');
  const study = await measureAll(clients, { agent: 'a', metrics, round: 'noise' });
  expect(study.warnings.join()).toMatch(/the surrogate of beta is not used: ./);
  const front = await clients.pareto.getFront({ round: 'noise' });
  expect(front).toMatchObject({ state: FrontState.MEASURED_ONLY, predicted: [], evaluations: 40 });
  expect(front.surrogates.map(({ usable }) => usable)).toEqual([true, false]);
  const knee = await clients.pareto.query(QueryRequest.fromPartial({ round: 'noise', by: { $case: 'knee', value: {} } }));
  expect(knee.point?.candidate).toBe(knee.bestMeasured?.candidate);
  expect(front.measured.find(({ candidate }) => candidate === knee.point?.candidate)?.dominated).toBe(false);
  expect(knee.warnings.join()).toContain('beta');
  const refused = await expectError('FRONT_NOT_READY', () => clients.pareto.attribute({ round: 'noise', coefficients: [] }));
  expect(refused.details.got).toContain('beta');
});

it('an agent of any round works on several at once', async () => {
  await publish('one', 'budget: {candidates: 12}');
  await publish('two', 'budget: {candidates: 12}');
  const ended = async (): Promise<boolean> =>
    (await Promise.all(['one', 'two'].map((round) => clients.evaluations.getStudy({ round })))).every(
      ({ state }) => state === StudyState.COMPLETE,
    );
  while (!(await ended()))
    for (const leased of await lease(clients, { agent: 'a', metrics: twoTasks, waitSeconds: 1 }))
      await report(clients, { agent: 'a', metrics: twoTasks }, leased);
  for (const round of ['one', 'two']) expect((await studyIs(clients, round, StudyState.COMPLETE)).candidates).toBe(12);
});
