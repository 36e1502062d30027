/** Studies over gRPC: candidates go out, measurements come in, the front is served, and nothing is lost in between. */
import { constants, connect as http2Connect } from 'node:http2';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { compressionAlgorithms } from '@grpc/grpc-js';
import { createChannel, createClient } from 'nice-grpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EvaluationLease, MetricReport, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import {
  FrontState,
  GetFrontRequest,
  ParetoServiceDefinition,
  QueryRequest,
  Scalarisation,
} from '../../shared/generated/tributary/v1/pareto.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import { frameOf } from '../../shared/transfer/grpc-frame.js';
import { eventually } from '../support/eventually.js';
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
  twoTasks,
} from '../support/study-coordinator.js';
import { tempDir } from '../support/temp-dir.js';
import { holdRound, TEAMS, writeTwoTeams } from '../support/two-teams.js';

const folder = tempDir();
const path = (name: string): string => join(folder, name);
const TASKS =
  '{alpha: {metric: score, direction: maximize, bounds: [null, 1]}, beta: {metric: score, direction: maximize, bounds: [null, 1]}}';
const recipe = (map = ''): string =>
  `merge_method: task_arithmetic\nmap: {tasks: ${TASKS}, budget: {candidates: 14}, surrogate: {link: identity}${map}}\n`;
let coordinator: RunningCoordinator;
let federation: Federation;
let clients: StudyClients;

async function publish(round: string, text: string): Promise<void> {
  const ended = await holdRound(federation, folder, round, text);
  expect([ended.state, ended.error]).toEqual([RoundState.PUBLISHED, undefined]);
}

beforeAll(async () => {
  writeTwoTeams(folder);
  coordinator = await startInProcess(path('data'), { leaseSeconds: 1 });
  federation = joinFederation(coordinator.address);
  clients = connectStudy(coordinator.address);
  await federation.registerBase('tiny', path('base'));
});

afterAll(async () => {
  federation.disconnect();
  clients.close();
  await coordinator.close(0);
});

const agent = (name = 'agent') => ({ agent: name, metrics: twoTasks });

describe('a study from its round to its front', () => {
  it('begins with the model and says what agents need', async () => {
    await publish('first', recipe());
    const study = await eventually('the first candidates', async () => {
      const one = await clients.evaluations.getStudy({ round: 'first' });
      return one.candidates > 0 ? one : undefined;
    });
    expect(study).toMatchObject({ round: 'first', state: StudyState.EVALUATING, method: 'map', plannedCandidates: 14, leaseSeconds: 1 });
    expect(study.dimensions.map(({ name, lower, upper }) => [name, lower, upper])).toEqual([
      ['alice', 0, 1],
      ['bob', 0, 1],
    ]);
    expect(study.contributions.map(({ model, kind }) => [model, kind])).toEqual(TEAMS.map((team) => [`rounds/first/${team}`, 'full']));
    expect(study.warnings).toEqual(['alpha is idle: no agent asks for it', 'beta is idle: no agent asks for it']);
    const { study: inRound, model } = await federation.show('first');
    expect([model, inRound?.state, inRound?.recipe]).toEqual(['first', StudyState.EVALUATING, '']);
  });

  it('is watched until its last measurement', async () => {
    const types: string[] = [];
    const watching = (async () => {
      for await (const event of clients.rounds.watchRound({ name: 'first' })) {
        types.push(event.type);
        if (event.type === 'study.complete')
          expect(event.round?.study?.progress.every(({ open, leased }) => open + leased === 0)).toBe(true);
      }
    })();
    const notReady = await expectError('FRONT_NOT_READY', () =>
      clients.pareto.query(QueryRequest.fromPartial({ round: 'first', by: { $case: 'knee', value: {} } })),
    );
    expect(notReady.details).toMatchObject({ expected: '4 measured candidates of every task', got: 'alpha 0, beta 0' });
    const study = await measureAll(clients, { ...agent(), round: 'first' });
    await watching;
    expect(study).toMatchObject({ state: StudyState.COMPLETE, candidates: 14, warnings: [] });
    expect(study.progress.map(({ done, open, leased, failed }) => [done, open, leased, failed])).toEqual([
      [14, 0, 0, 0],
      [14, 0, 0, 0],
    ]);
    expect(types[0]).toBe('snapshot');
    expect(types.at(-1)).toBe('study.complete');
    expect(types).toContain('evaluation.progress');
  });

  it('serves the front of the functions that were measured', async () => {
    const front = await clients.pareto.getFront({ round: 'first' });
    expect(front).toMatchObject({ state: FrontState.SERVING, evaluations: 28, study: StudyState.COMPLETE, warnings: [] });
    expect(front.measured).toHaveLength(14);
    expect(front.surrogates.every(({ r2, usable }) => r2 > 0.9999 && usable)).toBe(true);
    // The exact front is the segment between the two corners (algorithms of MAP, the oracle with hypervolume 10/3).
    for (const { coefficients } of front.predicted) expect((coefficients[0] ?? 0) + (coefficients[1] ?? 0)).toBeCloseTo(1, 3);
    const base = front.measured.find(({ coefficients }) => coefficients.every((value) => value === 0));
    expect(base?.dominated).toBe(true);
    const asked = await clients.pareto.query(
      QueryRequest.fromPartial({
        round: 'first',
        by: {
          $case: 'preference',
          value: {
            weights: [
              { task: 'alpha', weight: 3 },
              { task: 'beta', weight: 1 },
            ],
            scalarisation: Scalarisation.LINEAR,
          },
        },
      }),
    );
    expect(asked.point?.coefficients[0]).toBeCloseTo(0.75, 3);
    expect(asked.point?.predicted[0]).toBeCloseTo(0.875, 3);
    expect(asked.bestMeasured?.measured).toHaveLength(2);
    expect(asked.version).toBe(front.version);
    const wrong = await expectError('USAGE', () =>
      clients.pareto.query(
        QueryRequest.fromPartial({ round: 'first', by: { $case: 'nearest', value: { wishes: [{ task: 'alpa', value: 1 }] } } }),
      ),
    );
    expect(wrong.details.fix).toContain('alpha');
    await expectError('NO_SUCH_POINT', () =>
      clients.pareto.query(
        QueryRequest.fromPartial({
          round: 'first',
          by: { $case: 'constraints', value: { constraints: TEAMS.map((_, i) => ({ task: ['alpha', 'beta'][i] ?? '', atLeast: 0.99 })) } },
        }),
      ),
    );
  });

  it('answers callers that compress the same', async () => {
    const channel = createChannel(coordinator.address, undefined, {
      'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
    });
    try {
      const pareto = createClient(ParetoServiceDefinition, channel);
      const request = QueryRequest.fromPartial({
        round: 'first',
        by: { $case: 'preference', value: { weights: [{ task: 'alpha', weight: 3 }] } },
      });
      expect(await pareto.query(request)).toEqual(await clients.pareto.query(request));
      expect(await pareto.getFront({ round: 'first' })).toEqual(await clients.pareto.getFront({ round: 'first' }));
    } finally {
      channel.close();
    }
  });

  it('survives callers that hang up at any moment', async () => {
    const session = http2Connect(`http://${coordinator.address}`);
    const request = GetFrontRequest.encode({ round: 'first' }).finish();
    const path = `/${ParetoServiceDefinition.fullName}/${ParetoServiceDefinition.methods.getFront.name}`;
    const hangUps = Array.from({ length: 200 }, async (_, index) => {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
      stream.on('error', () => {}).resume();
      stream.end(frameOf(request));
      for (let turn = 0; turn < index % 8; turn++) await setImmediate();
      stream.close(index % 16 < 8 ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR);
    });
    await Promise.all(hangUps);
    session.close();
    expect((await clients.pareto.getFront({ round: 'first' })).state).toBe(FrontState.SERVING);
  });

  it('attributes what each contribution adds, and shows the front without one', async () => {
    const { attributions, coefficients } = await clients.pareto.attribute({ round: 'first', coefficients: [] });
    expect(coefficients).toEqual([0.5, 0.5]);
    const of = (task: string): number[] => attributions.filter((one) => one.task === task).map(({ shapley }) => shapley);
    expect(of('alpha')[0]).toBeCloseTo(0.75, 3);
    expect(of('alpha')[1]).toBeCloseTo(-0.25, 3);
    const without = await clients.pareto.whatIf({ round: 'first', without: ['bob'] });
    expect(without.without).toEqual(['bob']);
    expect(without.predicted.every((point) => point.coefficients[1] === 0)).toBe(true);
    await expectError('CONTRIBUTION_NOT_FOUND', () => clients.pareto.whatIf({ round: 'first', without: ['carol'] }));
    await expectError('USAGE', () => clients.pareto.whatIf({ round: 'first', without: [] }));
  });
});

describe('leases and reports', () => {
  let one: EvaluationLease;

  it('a candidate goes out with all of its tasks, the lowest number first', async () => {
    await publish('second', recipe());
    const waiting = lease(clients, { ...agent('a'), round: 'second', waitSeconds: 5 });
    const leases = await waiting;
    expect(leases.map(({ candidate, task, attempt }) => [candidate, task, attempt])).toEqual([
      [1, 'alpha', 0],
      [1, 'beta', 0],
    ]);
    one = leases[0] as EvaluationLease;
    const next = await lease(clients, { ...agent('b'), round: 'second', most: 1 });
    expect(next.map(({ candidate, task }) => [candidate, task])).toEqual([[2, 'alpha']]);
  });

  it('a lease that is kept stays, one that is not goes to another agent, and the first report counts', async () => {
    const keep = await clients.evaluations.heartbeat({ agent: 'a', leaseIds: [one.leaseId, 'nonsense'] });
    expect(keep.leaseIds).toEqual([one.leaseId]);
    expect((await clients.evaluations.heartbeat({ agent: 'b', leaseIds: [one.leaseId] })).leaseIds).toEqual([]);
    const again = await eventually('the lease is handed out again', async () => {
      const leases = await lease(clients, { agent: 'c', metrics: { alpha: twoTasks['alpha'] as () => number }, round: 'second', most: 1 });
      return leases.find(({ candidate }) => candidate === 1);
    });
    expect(again.attempt).toBe(1);
    expect((await clients.evaluations.heartbeat({ agent: 'a', leaseIds: [one.leaseId] })).leaseIds).toEqual([]);
    expect(await report(clients, agent('a'), one)).toBe(true);
    expect(await report(clients, agent('c'), again)).toBe(false);
    expect(await report(clients, agent('a'), one)).toBe(false);
  });

  it.each([
    ['NaN', { value: Number.NaN }],
    ['infinity', { value: -Infinity }],
    ['beyond its bound', { value: 1.001 }],
    ['a wrong gradient', { value: 0.5, gradient: [1] }],
    ['a negative standard error', { value: 0.5, standardError: -1 }],
  ])('%s is refused', async (_label, metric) => {
    const outcome = { $case: 'measured' as const, value: MetricReport.fromPartial(metric) };
    const error = await expectError('METRIC_REFUSED', () =>
      clients.evaluations.report({ agent: 'x', leaseId: 'none', round: 'second', candidate: 3, task: 'beta', outcome }),
    );
    expect(error.message).toContain('beta');
  });

  it('a refused metric is a failed attempt, and after three the pair is given up', async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const leases = await eventually('a lease', async () => {
        const some = await lease(clients, { agent: 'd', metrics: { beta: () => 0 }, round: 'second', most: 1 });
        return some.length > 0 && some[0]?.candidate === 1 ? some : undefined;
      });
      const { leaseId, candidate, task, round } = leases[0] as EvaluationLease;
      const outcome = { $case: 'measured' as const, value: MetricReport.fromPartial({ value: 2 }) };
      const said = { agent: 'd', leaseId, round, candidate, task, outcome };
      await expectError('METRIC_REFUSED', () => clients.evaluations.report(said));
      // Saying it again is no second attempt.
      await expectError('METRIC_REFUSED', () => clients.evaluations.report(said));
    }
    const study = await clients.evaluations.getStudy({ round: 'second' });
    expect(study.progress[1]).toMatchObject({ task: 'beta', failed: 1 });
    expect(study.warnings.join()).toContain('beta: 1 candidate given up; the last error: The metric of task beta (score) is not possible');
  });

  it('what nobody asked for is an error', async () => {
    const outcome = { $case: 'measured' as const, value: MetricReport.fromPartial({ value: 0.5 }) };
    const said = { agent: 'x', leaseId: '', round: 'second', candidate: 99, task: 'beta', outcome };
    await expectError('USAGE', () => clients.evaluations.report(said));
    const near = await expectError('USAGE', () => clients.evaluations.report({ ...said, candidate: 1, task: 'betta' }));
    expect(near.details.fix).toBe('Did you mean beta?');
    await expectError('STUDY_NOT_FOUND', async () => {
      await federation.createRound('plain', { base: 'tiny', recipe: 'merge_method: fedavg\n' });
      await clients.evaluations.getStudy({ round: 'plain' });
    });
    await expectError('ROUND_NOT_FOUND', () => clients.pareto.getFront({ round: 'nowhere' }));
  });

  it('a study that is stopped keeps what it has and hands out nothing more', async () => {
    const stopped = await clients.evaluations.stopStudy({ round: 'second' });
    expect(stopped.state).toBe(StudyState.STOPPED);
    expect(await lease(clients, { ...agent('e'), round: 'second' })).toEqual([]);
    const candidates = [];
    for await (const candidate of clients.evaluations.listCandidates({ round: 'second' })) candidates.push(candidate);
    expect(candidates[0]).toMatchObject({ id: 1, measurements: [{ task: 'alpha', agent: 'a', count: 100n }] });
    expect((await clients.evaluations.stopStudy({ round: 'second' })).state).toBe(StudyState.STOPPED);
  });
});

describe('metrics for Prometheus', () => {
  it('count reports, expired leases, fits and questions', async () => {
    const text = await (await fetch(`http://127.0.0.1:${coordinator.httpPort}/metrics`)).text();
    const value = (sample: string): number =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${sample} `))
          ?.slice(sample.length + 1),
      );
    expect(value('tributary_evaluations_total{result="measured"}')).toBe(29);
    expect(value('tributary_evaluations_total{result="repeated"}')).toBe(2);
    expect(value('tributary_evaluations_total{result="refused"}')).toBe(3);
    expect(value('tributary_lease_expirations_total')).toBeGreaterThan(0);
    expect(value('tributary_fit_seconds_count')).toBeGreaterThan(0);
    expect(value('tributary_query_seconds_count{kind="front"}')).toBeGreaterThan(0);
    expect(value('tributary_studies{state="stopped"}')).toBe(1);
  });
});

describe('what cannot be mapped is refused when the round is made', () => {
  it('an unknown base of the box, and weights a rule cannot take', async () => {
    const refused = (text: string) => expectError('RECIPE_INVALID', () => federation.createRound('', { base: 'tiny', recipe: text }));
    await refused(`merge_method: median\nmap: {tasks: ${TASKS}}\n`);
    await refused(`merge_method: task_arithmetic\nmap: {tasks: {}}\n`);
    const layered = `merge_method: task_arithmetic\nmap: {tasks: ${TASKS}, coefficients: {layer_groups: 3}}\n`;
    // The base has a.weight and b.weight: no layers that names tell.
    await refused(layered);
  });
});
