/** A coordinator that is killed while agents measure ends with the front of one that was not. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Front } from '../../shared/generated/tributary/v1/pareto.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { lease, measureAll, report, runAgent, twoTasks } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { holdRound, TwoTeams } from '../support/two-teams.js';

killLeftoversAfterAll();
const folder = tempDir();
const RECIPE = `merge_method: task_arithmetic
map:
  tasks: {alpha: {metric: score, direction: maximize, bounds: [null, 1]}, beta: {metric: score, direction: maximize, bounds: [null, 1]}}
  budget: {candidates: 14}
`;
const KILLS = 2;
const agent = { agent: 'agent', metrics: twoTasks };
let teams: TwoTeams;

beforeAll(async () => {
  teams = await TwoTeams.start(folder);
});

afterAll(() => teams.end());

const measuredOf = ({ measured }: Front) =>
  measured.map((point) => [point.coefficients, point.measured.map(({ task, value }) => [task, value])]);

it('the front is the undisturbed one, also to the next process', async () => {
  await holdRound(teams.federation, folder, 'calm', RECIPE);
  await measureAll(teams.clients, { ...agent, round: 'calm' });
  await holdRound(teams.federation, folder, 'rough', RECIPE);
  for (let turn = 0; turn < KILLS; turn++) {
    let left = 3;
    const held = await lease(teams.clients, { ...agent, agent: 'patient', round: 'rough', most: 1, waitSeconds: 5 });
    await runAgent(teams.clients, { ...agent, round: 'rough', most: 1, waitSeconds: 1, until: () => left-- === 0 });
    await teams.killAndRestart();
    // The lease outlived the teams.coordinator, and its report counts.
    const kept = await teams.clients.evaluations.heartbeat({ agent: 'patient', leaseIds: held.map(({ leaseId }) => leaseId) });
    expect(kept.leaseIds).toHaveLength(1);
    for (const one of held) expect(await report(teams.clients, { ...agent, agent: 'patient' }, one)).toBe(true);
  }
  const study = await measureAll(teams.clients, { ...agent, round: 'rough' });
  expect(study).toMatchObject({ state: StudyState.COMPLETE, candidates: 14 });
  const calm = await teams.clients.pareto.getFront({ round: 'calm' });
  const rough = await teams.clients.pareto.getFront({ round: 'rough' });
  expect(rough.predicted).toEqual(calm.predicted);
  expect(rough.surrogates).toEqual(calm.surrogates);
  expect(measuredOf(rough)).toEqual(measuredOf(calm));
  await teams.killAndRestart();
  expect(await teams.clients.pareto.getFront({ round: 'rough' })).toEqual(rough);
});
