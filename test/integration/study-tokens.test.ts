/** With tokens an agent is who its token says: it measures what is its own, and reports in its own name. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../client/api/connection.js';
import { describeFolder } from '../../client/push/describe.js';
import { push } from '../../client/push/push.js';
import { MetricReport } from '../../shared/generated/tributary/v1/evaluations.js';
import { MaterialiseRequest } from '../../shared/generated/tributary/v1/pareto.js';
import { CreateRoundRequest } from '../../shared/generated/tributary/v1/rounds.js';
import type { BeginHeader } from '../../shared/generated/tributary/v1/transfers.js';
import { fineTune, makeBase, TINY, writeSingle } from '../support/checkpoints.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
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

const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TOKENS = { operator: 'operator-token', alice: 'alice-token', bob: 'bob-token' };
const RECIPE = `merge_method: task_arithmetic
map:
  tasks:
    alpha: {metric: score, direction: maximize, evaluator: alice}
    beta: {metric: score, direction: maximize, evaluator: bob}
  budget: {candidates: 12}
`;
let coordinator: RunningCoordinator;
const clients = {} as Record<keyof typeof TOKENS | 'stranger', StudyClients>;

async function send(as: keyof typeof TOKENS, from: string, target: BeginHeader['target']): Promise<void> {
  const connection = connect({ server: coordinator.address, token: TOKENS[as] });
  try {
    const signal = AbortSignal.timeout(30_000);
    const described = await describeFolder(path(from), { kind: 'full', threads: 1, cache: undefined, signal, onProgress: () => {} });
    const patience = { withoutProgressMs: 10_000, signal, onRetry: () => {} };
    await push(connection, described, { target, patience, onProgress: () => {}, onVerifying: () => {} });
  } finally {
    connection.close();
  }
}

beforeAll(async () => {
  const base = makeBase(1, TINY);
  writeSingle(path('base'), base);
  coordinator = await startInProcess(path('data'), { tokens: TOKENS });
  for (const name of ['operator', 'alice', 'bob'] as const) clients[name] = connectStudy(coordinator.address, TOKENS[name]);
  clients.stranger = connectStudy(coordinator.address, 'nobody-knows-me');
  await send('operator', 'base', { $case: 'base', value: { name: 'tiny' } });
  await clients.operator.rounds.createRound(CreateRoundRequest.fromPartial({ name: 'r', base: 'tiny', recipe: RECIPE, quorum: 2 }));
  for (const [index, team] of (['alice', 'bob'] as const).entries()) {
    writeSingle(path(team), fineTune(base, 2 + index));
    await send(team, team, {
      $case: 'contribution',
      value: { round: 'r', contributor: team, baseDigest: '', samples: undefined, steps: undefined },
    });
  }
  await eventually('candidates', async () => {
    const study = await clients.alice.evaluations.getStudy({ round: 'r' }).catch(() => undefined);
    return (study?.candidates ?? 0) > 0 ? true : undefined;
  });
});

afterAll(async () => {
  for (const one of Object.values(clients)) one.close();
  await coordinator.close(0);
});

it('a task goes to its owner only', async () => {
  const own = await lease(clients.alice, { agent: 'alice', metrics: twoTasks });
  expect(own.map(({ task }) => task)).toEqual(['alpha']);
  await expectError('PERMISSION_DENIED', () => lease(clients.alice, { agent: 'bob', metrics: twoTasks }));
  await expectError('UNAUTHENTICATED', () => lease(clients.stranger, { agent: 'alice', metrics: twoTasks }));
  await expectError('UNAUTHENTICATED', () => clients.stranger.pareto.getFront({ round: 'r' }));
});

it('and is reported by its owner only', async () => {
  const [one] = await lease(clients.bob, { agent: 'bob', metrics: twoTasks });
  if (one === undefined) throw new Error('no lease');
  expect(one.task).toBe('beta');
  const outcome = { $case: 'measured' as const, value: MetricReport.fromPartial({ value: 0.5 }) };
  const said = { leaseId: one.leaseId, round: 'r', candidate: one.candidate, task: 'beta', outcome };
  await expectError('PERMISSION_DENIED', () => clients.alice.evaluations.report({ ...said, agent: 'alice' }));
  await expectError('PERMISSION_DENIED', () => clients.alice.evaluations.report({ ...said, agent: 'bob' }));
  await expectError('USAGE', () => clients.alice.evaluations.report({ ...said, agent: '' }));
  expect(await report(clients.bob, { agent: 'bob', metrics: twoTasks }, one)).toBe(true);
});

it('studies are listed for those who have something to measure, and ended by the operator', async () => {
  expect((await clients.bob.evaluations.listStudies({ agent: 'bob' })).studies.map(({ round }) => round)).toEqual(['r']);
  expect((await clients.bob.evaluations.listStudies({ agent: 'carol' })).studies).toEqual([]);
  await expectError('PERMISSION_DENIED', () => clients.bob.evaluations.stopStudy({ round: 'r' }));
  const point = MaterialiseRequest.fromPartial({ round: 'r', name: 'point', coefficients: [0.5, 0.5], unmeasured: true });
  await expectError('PERMISSION_DENIED', () => clients.bob.pareto.materialise(point));
  expect((await clients.operator.evaluations.stopStudy({ round: 'r' })).tasks.map(({ owner }) => owner)).toEqual(['alice', 'bob']);
});

it('over HTTP as over gRPC', async () => {
  const get = (token?: string) =>
    fetch(
      `http://127.0.0.1:${coordinator.httpPort}/api/v1/rounds/r/study`,
      token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
    );
  expect((await get()).status).toBe(401);
  expect((await get('wrong-token')).status).toBe(401);
  expect((await get(TOKENS.bob)).status).toBe(200);
});
