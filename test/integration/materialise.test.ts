/** From a question to a published model: measured, merged, with its metrics on the card; over gRPC, over HTTP, and across a restart. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeOffline } from '../../client/merge/merge-offline.js';
import { CandidateKind, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { type Materialisation, MaterialisationState, MaterialiseRequest } from '../../shared/generated/tributary/v1/pareto.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { measureAll, runAgent, twoTasks } from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { holdRound, TEAMS, TwoTeams } from '../support/two-teams.js';

killLeftoversAfterAll();
const folder = tempDir();
const path = (name: string): string => join(folder, name);
const RECIPE = `merge_method: task_arithmetic
map:
  tasks: {alpha: {metric: score, direction: maximize, bounds: [null, 1]}, beta: {metric: score, direction: maximize, bounds: [null, 1]}}
  budget: {candidates: 14}
`;
const agent = { agent: 'agent', metrics: twoTasks };
let teams: TwoTeams;

const ask = (request: Partial<MaterialiseRequest>) =>
  teams.clients.pareto.materialise(MaterialiseRequest.fromPartial({ round: 'r', ...request }));

async function until(name: string, state: MaterialisationState): Promise<Materialisation> {
  return eventually(`${name} is ${state}`, async () => {
    const one = await ask({ name });
    expect(one.error).toBeUndefined();
    return one.state === state ? one : undefined;
  });
}

beforeAll(async () => {
  teams = await TwoTeams.start(folder);
  await holdRound(teams.federation, folder, 'r', RECIPE);
  expect((await measureAll(teams.clients, { ...agent, round: 'r' })).state).toBe(StudyState.COMPLETE);
});

afterAll(() => teams.end());

describe('a point becomes a model', () => {
  const query = {
    round: 'r',
    by: {
      $case: 'preference' as const,
      value: {
        weights: [
          { task: 'alpha', weight: 3 },
          { task: 'beta', weight: 1 },
        ],
        scalarisation: 0 as const,
      },
    },
  };

  it('is measured by the agents first, whatever happens to the teams.coordinator, then merged and published', async () => {
    const begun = await ask({ name: 'chosen', query });
    expect(begun).toMatchObject({ name: 'chosen', round: 'r', state: MaterialisationState.EVALUATING });
    expect(begun.point).toMatchObject({ kind: CandidateKind.MATERIALISED, measured: [] });
    expect(await ask({ name: 'chosen', query })).toEqual(begun);
    await teams.killAndRestart();
    expect(await runAgent(teams.clients, { ...agent, round: 'r' })).toBe(2);
    const { point } = await until('chosen', MaterialisationState.PUBLISHED);
    expect(point?.model).toBe('chosen');
    const [alpha = 0, beta = 0] = point?.coefficients ?? [];
    expect(point?.measured.map(({ task, value }) => [task, value])).toEqual([
      ['alpha', twoTasks['alpha']?.([alpha, beta])],
      ['beta', twoTasks['beta']?.([alpha, beta])],
    ]);
    const model = await teams.clients.models.getModel({ name: 'chosen' });
    expect(model).toMatchObject({ round: 'r', version: 1 });
    const bytes = await teams.federation.pull('chosen', path('chosen'));
    const models = TEAMS.map((team, i) => `  - {model: ${path(team)}, parameters: {weight: ${[alpha, beta][i]}}}\n`).join('');
    await mergeOffline({
      recipeText: `merge_method: task_arithmetic\nbase_model: ${path('base')}\nmodels:\n${models}`,
      recipePath: 'recipe.yml',
      outDir: path('offline'),
      threads: 1,
      version: 'test',
    });
    expect(bytes.equals(readFileSync(join(path('offline'), 'model.safetensors')))).toBe(true);
    const card = readFileSync(join(path('chosen'), 'README.md'), 'utf8');
    for (const words of [
      '# chosen',
      '## Metrics',
      '| alpha | score (maximize) |',
      '## Coefficients',
      `| alice | ${alpha} |`,
      'map, of round r',
    ])
      expect(card).toContain(words);
    const front = await teams.clients.pareto.getFront({ round: 'r' });
    expect(front.measured.find((one) => one.model === 'chosen')?.candidate).toBe(point?.candidate);
    expect((await teams.clients.evaluations.getStudy({ round: 'r' })).state).toBe(StudyState.COMPLETE);
  });

  it('at once, without agents, also when the coordinator is killed over it', async () => {
    await ask({ name: 'quick', coefficients: [0.2, 0.4], unmeasured: true });
    await teams.killAndRestart();
    const { point } = await until('quick', MaterialisationState.PUBLISHED);
    expect(point?.measured).toEqual([]);
    expect(point?.predicted[0]).toBeCloseTo(twoTasks['alpha']?.([0.2, 0.4]) ?? 0, 2);
    expect((await teams.federation.show('r')).model).toBe('r');
  });

  it('names are given once', async () => {
    const { details } = await expectError('NAME_TAKEN', () => ask({ name: 'quick', coefficients: [0.2, 0.5] }));
    // What someone needs who asks the same question again, after a fit has moved its answer.
    expect([details.expected, details.got]).toEqual(['0.2, 0.4', '0.2, 0.5']);
    expect(details.fix).toContain('--at alice=0.2,bob=0.4');
    await expectError('NAME_TAKEN', () => ask({ name: 'r', coefficients: [0.2, 0.5] }));
    await expectError('NAME_TAKEN', () => ask({ name: 'tiny', coefficients: [0.2, 0.5] }));
    await expectError('NAME_TAKEN', () => teams.federation.createRound('quick', { base: 'tiny', recipe: 'merge_method: fedavg\n' }));
    await expectError('MODEL_NOT_FOUND', () => ask({ name: 'unheard-of' }));
    await expectError('USAGE', () => ask({ name: 'outside', coefficients: [0.2, 1.5] }));
    await expectError('USAGE', () => ask({ name: 'short', coefficients: [0.2] }));
  });

  it('is a base of the next round like any model', async () => {
    await teams.federation.createRound('next', { base: 'chosen', recipe: 'merge_method: fedavg\n', quorum: 1 });
    await teams.federation.push('next', 'alice', { folder: path('alice'), samples: 1 });
    expect((await teams.federation.ended('next')).error).toBeUndefined();
    expect((await teams.clients.models.getModel({ name: 'next' })).version).toBe(2);
  });
});

describe('the same over HTTP', () => {
  const get = async (resource: string): Promise<{ status: number; body: Record<string, unknown> }> => {
    const { status, text } = await teams.coordinator.http(`/api/v1/rounds/${resource}`);
    return { status, body: JSON.parse(text) as Record<string, unknown> };
  };

  it('study, candidates, front, attributions', async () => {
    const study = await get('r/study');
    expect(study).toMatchObject({ status: 200, body: { round: 'r', state: 'STUDY_STATE_COMPLETE', access: 'CANDIDATE_ACCESS_LOCAL' } });
    const { candidates } = (await get('r/candidates')).body as {
      candidates: { id: number; kind: string; measurements: { count: string }[] }[];
    };
    expect(candidates[0]).toMatchObject({ id: 1, measurements: [{ task: 'alpha', count: '100' }, {}] });
    expect(candidates.map(({ kind }) => kind)).toContain('CANDIDATE_KIND_MATERIALISED');
    const front = (await get('r/front')).body;
    expect(front).toMatchObject({
      state: 'FRONT_STATE_SERVING',
      study: 'STUDY_STATE_COMPLETE',
      tasks: [{ direction: 'METRIC_DIRECTION_MAXIMIZE' }, {}],
    });
    const { attributions } = (await get('r/attribute?coefficients=1,0.5')).body as { attributions: { shapley: number }[] };
    expect(attributions[0]?.shapley).toBeCloseTo(1, 2);
  });

  it('every question', async () => {
    const point = async (query: string): Promise<number[]> => {
      const { status, body } = await get(`r/query?${query}`);
      expect([status, body['error']]).toEqual([200, undefined]);
      return (body['point'] as { coefficients: number[] }).coefficients;
    };
    expect((await point('weights=alpha:3,beta:1'))[0]).toBeCloseTo(0.75, 2);
    expect((await point('weights=alpha:1,beta:1&scalarisation=chebyshev'))[0]).toBeCloseTo(0.5, 2);
    expect((await point('constraints=alpha>=0.875'))[0]).toBeGreaterThan(0.7);
    expect((await point('nearest=alpha:0.5,beta:0.5'))[0]).toBeCloseTo(0.5, 2);
    expect((await point('knee'))[0]).toBeCloseTo(0.5, 1);
  });

  it.each([
    ['r/query', 400, 'USAGE'],
    ['r/query?weights=alpha', 400, 'USAGE'],
    ['r/query?weights=alpa:1', 400, 'USAGE'],
    ['r/query?wights=alpha:1', 400, 'USAGE'],
    ['r/query?weights=alpha:1&weights=beta:1', 400, 'USAGE'],
    ['r/query?constraints=alpha>=2', 400, 'NO_SUCH_POINT'],
    ['nowhere/front', 404, 'ROUND_NOT_FOUND'],
    ['next/front', 404, 'STUDY_NOT_FOUND'],
    ['r/front?pretty=1', 400, 'USAGE'],
  ])('%s is %i %s', async (resource, status, code) => {
    expect(await get(resource)).toMatchObject({ status, body: { error: { code } } });
  });

  it('metrics count what happened', async () => {
    expect(await teams.coordinator.metric('tributary_studies{state="complete"}')).toBe(1);
    expect(await teams.coordinator.metric('tributary_leases')).toBe(0);
    expect(await teams.coordinator.metric('tributary_query_seconds_count{kind="preference"}')).toBeGreaterThan(0);
  });
});
