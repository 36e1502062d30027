/** Measurements that the coordinator did not acknowledge: kept while it is away, said at the next start, dropped when nobody wants them. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openUnreported } from '../../client/agent/unreported.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type Evaluation, type StartAgent, score, startAgent, type TinyFederation, tinyFederation } from '../support/agent-fixture.js';
import { startCli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { type FakeStudy, type FakeStudyOptions, startFakeStudy } from '../support/fake-study.js';
import { killLeftoversAfterAll } from '../support/leftovers.js';
import { tempDir } from '../support/temp-dir.js';

killLeftoversAfterAll();
const root = tempDir();
const running: FakeStudy[] = [];
afterEach(async () => {
  for (const study of running.splice(0)) await study.stop();
});

interface Scene extends TinyFederation {
  readonly work: string;
  readonly unreported: string;
  serve(options?: Partial<FakeStudyOptions>): Promise<FakeStudy>;
  start(study: FakeStudy, options?: Partial<StartAgent>): ReturnType<typeof startAgent>;
  /** An agent that measures the one pair while the coordinator goes away, and ends. @returns that coordinator */
  leaveOne(): Promise<FakeStudy>;
}

function scene(): Scene {
  const folder = mkdtempSync(join(root, 'scene-'));
  const federation = tinyFederation(folder, { recipe: 'merge_method: task_arithmetic', tasks: ['legal'] });
  const work = join(folder, 'work');
  const one: Scene = {
    ...federation,
    work,
    unreported: join(work, 'unreported'),
    async serve(options = {}) {
      const study = await startFakeStudy({ study: federation.study, models: federation.models, candidates: [[0.3, 0.3, 0.3]], ...options });
      running.push(study);
      return study;
    },
    start: (study, options = {}) => startAgent({ server: study.address, work, tasks: ['legal'], ...options }),
    async leaveOne() {
      const study = await one.serve();
      const agent = await one.start(study, { once: true, giveUpAfterMs: 0, evaluate: leaving(study) });
      await expectError('COORDINATOR_UNAVAILABLE', () => agent.done);
      return study;
    },
  };
  return one;
}

/** The coordinator is gone before the measurement is finished. */
function leaving(study: FakeStudy): Evaluation {
  return async (job) => {
    const outcome = await score(job);
    await study.stop();
    return outcome;
  };
}

const never: Evaluation = () => Promise.reject(new Error('measured again'));

describe('a measurement that cannot be reported', () => {
  test('with once: the agent gives up, says what is not reported and where it is, and the next one reports it', async () => {
    const one = scene();
    const study = await one.serve();
    const agent = await one.start(study, { giveUpAfterMs: 1_000, evaluate: leaving(study) });
    const error = await expectError('COORDINATOR_UNAVAILABLE', () => agent.done);
    expect(error.details.what).toContain('not reported: spring candidate 0 legal');
    expect(error.details.where).toBe(one.unreported);
    expect(error.entry.exit).toBe(5);
    expect(agent.unreported.map(({ measurement }) => measurement)).toMatchObject([{ round: 'spring', candidate: 0, task: 'legal' }]);
    const [file = ''] = readdirSync(one.unreported);
    const { outcome } = JSON.parse(readFileSync(join(one.unreported, file), 'utf8')) as { outcome: { value: number } };

    const later = await one.serve();
    const next = await one.start(later, { evaluate: never });
    expect((await next.done).rounds).toEqual([{ round: 'spring', measured: 1, failed: 0 }]);
    expect(next.left).toEqual([['spring 0 legal', { kind: 'counted' }]]);
    expect(later.values()).toEqual({ '0 legal': outcome.value });
    expect(later.reports[0]?.outcome).toMatchObject({
      $case: 'measured',
      value: { count: 7n, standardError: 0.5, metrics: { score: outcome.value } },
    });
    expect(readdirSync(one.work).sort()).toEqual(['logs', 'models']);
  });

  test('without once: stays when the agent is stopped', async () => {
    const one = scene();
    const study = await one.serve();
    const agent = await one.start(study, { once: false, giveUpAfterMs: 0, evaluate: leaving(study) });
    await eventually('the file', () => (existsSync(one.unreported) && readdirSync(one.unreported).length === 1 ? true : undefined));
    expect(await agent.stop()).toEqual({ agent: 'tester', rounds: [] });
    expect(agent.unreported).toHaveLength(1);
    expect(readdirSync(one.unreported)).toHaveLength(1);
  });

  test('stays when the agent is killed', async () => {
    const one = scene();
    const study = await one.serve();
    const home = join(one.work, '..', 'home');
    const runs = join(home, 'runs');
    mkdirSync(home);
    writeFileSync(join(home, 'measure.cjs'), `require('node:fs').appendFileSync(process.argv[2], 'x'); console.log('{"score": 0.25}')`);
    const command = JSON.stringify([process.execPath, join(home, 'measure.cjs'), runs]);
    const config = join(home, 'agent.yaml');
    writeFileSync(config, `agent: tester\nwork: ${one.work}\ntasks: {legal: {command: ${command}}}\n`);
    let refused = 0;
    const away = await one.serve({
      onReport() {
        refused += 1;
        throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'shutting down' });
      },
    });
    const first = startCli(['agent', '--config', config], { home, server: away.address, format: 'table' });
    await eventually('a try to report', () => (refused > 0 ? true : undefined));
    first.child.kill('SIGKILL');
    await first.result;
    expect(readdirSync(one.unreported)).toHaveLength(1);

    const { code, stderr, stdout } = await startCli(['agent', '--once', '--config', config], {
      home,
      server: study.address,
      format: 'table',
    }).result;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('spring  candidate 0  legal  score 0.25  (measured earlier, reported now)');
    expect(stdout).toContain('spring: 1 measured');
    expect(study.values()).toEqual({ '0 legal': 0.25 });
    expect(readFileSync(runs, 'utf8')).toBe('x');
  }, 60_000);

  test('the command gives up with exit code 5', async () => {
    const one = scene();
    const home = join(one.work, '..', 'home');
    mkdirSync(home);
    const config = join(home, 'agent.yaml');
    writeFileSync(
      config,
      `work: ${one.work}\ntasks: {legal: {command: [${JSON.stringify(process.execPath)}, -p, '"{\\"score\\": 1}"']}}\n`,
    );
    const study = await one.serve({
      onReport() {
        throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'shutting down' });
      },
    });
    const { code, json, stderr } = await startCli(['agent', '--once', '--give-up-after', '0', '--config', config], {
      home,
      server: study.address,
    }).result;
    expect(code).toBe(5);
    expect(json).toMatchObject({ error: { code: 'COORDINATOR_UNAVAILABLE', details: { where: one.unreported } } });
    expect(stderr).toContain(`1 measurement not reported, kept in ${one.unreported}`);
  }, 60_000);

  test('that the disk does not take is reported all the same', async () => {
    const one = scene();
    const study = await one.serve();
    mkdirSync(one.work);
    writeFileSync(one.unreported, 'a file where the folder should be');
    const agent = await one.start(study);
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 1, failed: 0 }]);
    expect(agent.notKept.map(({ code }) => code)).toEqual(['IO_ERROR']);
  });

  test('that is no number is refused by the coordinator, not kept', async () => {
    const one = scene();
    const kept: boolean[] = [];
    const study = await one.serve({
      onReport() {
        kept.push(existsSync(one.unreported));
        if (kept.length === 1) throw new TributaryError('METRIC_REFUSED', { what: 'NaN' });
      },
    });
    const agent = await one.start(study, { once: false, evaluate: async () => ({ value: Number.NaN, metrics: {} }) });
    await eventually('the refusal', () => (agent.results.length > 0 ? true : undefined));
    await agent.stop();
    expect(kept).toEqual([false]);
  });

  test('stays when the coordinator does not take the token any more', async () => {
    const one = scene();
    const study = await one.serve({
      onReport() {
        throw new TributaryError('UNAUTHENTICATED', { what: 'unknown token' });
      },
    });
    const agent = await one.start(study, { once: false });
    await eventually('the refusal', () => (agent.results.length > 0 ? true : undefined));
    await agent.stop();
    expect(agent.unreported).toHaveLength(1);
  });
});

describe('what an earlier agent left', () => {
  test('is dropped when the pair was measured meanwhile', async () => {
    const one = scene();
    await one.leaveOne();
    const study = await one.serve();
    await (await startAgent({ server: study.address, work: join(one.work, '..', 'other'), tasks: ['legal'] })).done;
    const agent = await one.start(study, { evaluate: never });
    await agent.done;
    expect(agent.left).toEqual([['spring 0 legal', { kind: 'dropped', why: 'the pair was measured meanwhile' }]]);
    expect(existsSync(one.unreported)).toBe(false);
  });

  test('is never said of another study under the same name', async () => {
    const one = scene();
    const { port } = await one.leaveOne();
    const models = new Map(one.models);
    models.set('rounds/spring/alice', { folder: one.models.get('rounds/spring/bob')?.folder ?? '', kind: 'full' });
    const elsewhere = await one.serve({ models });
    const first = await one.start(elsewhere);
    await first.done;
    expect(first.left).toMatchObject([
      ['spring 0 legal', { kind: 'left', why: expect.stringMatching(/^it belongs to the coordinator 127/) }],
    ]);
    const sameAddress = await one.serve({ models, port });
    const second = await one.start(sameAddress);
    await second.done;
    expect(second.left).toEqual([['spring 0 legal', { kind: 'dropped', why: 'its study is gone' }]]);
    // Each study has what was measured of its own candidate, once.
    expect([elsewhere.reports.length, sameAddress.reports.length]).toEqual([1, 1]);
    expect(existsSync(one.unreported)).toBe(false);
  });

  test.each([
    ['METRIC_REFUSED', 'dropped'],
    ['PERMISSION_DENIED', 'left'],
  ] as const)('refused with %s it is %s', async (code, kind) => {
    const one = scene();
    await one.leaveOne();
    let refusals = 0;
    const study = await one.serve({
      onReport() {
        if (refusals++ === 0) throw new TributaryError(code, { what: 'no' });
      },
    });
    const agent = await one.start(study);
    await agent.done;
    expect(agent.left).toMatchObject([['spring 0 legal', { kind, why: 'no' }]]);
    // What is measured anew takes the place of the old file, and its report removes it.
    expect(existsSync(one.unreported)).toBe(false);
    expect(study.reports).toHaveLength(2);
  });

  test('half-written and foreign files are left alone', async () => {
    const folder = join(mkdtempSync(join(root, 'files-')), 'unreported');
    const store = openUnreported(folder);
    expect(await store.list()).toEqual([]);
    mkdirSync(folder);
    for (const name of ['spring-1-abc.json.partial', 'spring-1-abc.json', 'notes.txt'])
      writeFileSync(join(folder, name), '{"round": "spring"');
    expect(await store.list()).toEqual([]);
    const about = {
      server: 's',
      agent: 'a',
      study: 'x',
      candidate: 1,
      task: 't',
      metric: 'm',
      leaseId: 'l',
      outcome: { value: 1, metrics: {} },
    };
    await store.keep({ ...about, round: 'later', measuredAt: '2026-01-02T00:00:00.000Z' });
    const early = await store.keep({ ...about, round: 'x/y', measuredAt: '2026-01-01T00:00:00.000Z', task: 'other' });
    expect((await store.list()).map(({ measurement }) => measurement.round)).toEqual(['x/y', 'later']);
    await store.forget(early);
    expect((await store.list()).map(({ measurement }) => measurement.round)).toEqual(['later']);
  });
});
