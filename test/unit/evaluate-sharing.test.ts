/** Tasks that run the same program: which they are, what they take from one run, and when it is run again. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluationJob, Evaluator } from '../../client/evaluate/evaluator.js';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { SharedRuns } from '../../client/evaluate/shared-runs.js';
import { findSharing } from '../../client/evaluate/sharing.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { evaluationJob, evaluatorConfig } from '../support/evaluation-job.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { tempDir } from '../support/temp-dir.js';

const FOLDER = tempDir();
let scripts = 0;

interface Program {
  readonly command: string[];
  /** TRIBUTARY_TASK of each run. */
  readonly runs: () => string[];
}

/** A program that counts its runs, in `runs`, and then does this. */
function program(body: string, ...words: string[]): Program {
  scripts += 1;
  const path = join(FOLDER, `script-${scripts}.cjs`);
  const log = `${path}.runs`;
  writeFileSync(
    path,
    `const fs = require('node:fs'); fs.appendFileSync(${JSON.stringify(log)}, process.env.TRIBUTARY_TASK + '\\n');
     const runs = fs.readFileSync(${JSON.stringify(log)}, 'utf8').split('\\n').length - 1;\n${body}\n`,
  );
  const runs = (): string[] => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  return { command: [process.execPath, path, ...words], runs };
}

const prints = (document: object): string => `console.log(${JSON.stringify(JSON.stringify(document))})`;
const HARNESS = { results: { qa: { 'acc,none': 0.75 }, code: { 'acc,none': 0.5 }, maths: { 'acc,none': 0.25 } } };

/** Evaluators as an agent opens them. */
async function open(
  tasks: Readonly<Record<string, object>>,
): Promise<(task: string, changes?: Partial<EvaluationJob>) => ReturnType<Evaluator['evaluate']>> {
  const configs = new Map(Object.entries(tasks).map(([task, config]) => [task, evaluatorConfig({ retries: 0, ...config })]));
  const sharing = findSharing(configs);
  const evaluators = new Map<string, Evaluator>();
  for (const [task, config] of configs)
    evaluators.set(task, await openEvaluator(task, config, { folder: FOLDER, sharing: sharing.get(task) }));
  return (task, changes = {}) => (evaluators.get(task) as Evaluator).evaluate(evaluationJob(FOLDER, { task, metric: 'acc', ...changes }));
}

describe('tasks share a command', () => {
  const groups = (tasks: Readonly<Record<string, object>>): (readonly string[])[] => {
    const configs = new Map(Object.entries(tasks).map(([task, config]) => [task, evaluatorConfig(config)]));
    return [...new Set(findSharing(configs).values())].map((sharing) => sharing.tasks);
  };

  it('that is the same, with the same settings, whatever each takes of its output', () => {
    const same = { command: ['eval', '{model}'], env: { A: '1', B: '2' }, timeout_seconds: 60 };
    const mixed = { ...same, env: { B: '2', A: '1' } };
    expect(groups({ a: { ...same, metric: 'x' }, b: { command: 'other' }, c: { ...mixed, lm_task: 'y' }, d: same })).toEqual([
      ['a', 'c', 'd'],
    ]);
  });

  it.each([
    [{ command: ['eval', '{model}'] }, { command: ['eval', '{model}', '-v'] }],
    [{ command: 'eval' }, { command: ['eval'] }],
    [{ command: 'eval' }, { command: 'eval', env: { A: '1' } }],
    [{ command: 'eval' }, { command: 'eval', cwd: '/' }],
    [{ command: 'eval' }, { command: 'eval', output: 'results' }],
    [{ command: 'eval' }, { command: 'eval', timeout_seconds: 1 }],
    [{ command: 'eval {task}' }, { command: 'eval {task}' }],
    [{ command: ['eval', '--metric={metric}'] }, { command: ['eval', '--metric={metric}'] }],
    [{ command: 'eval $TRIBUTARY_TASK' }, { command: 'eval $TRIBUTARY_TASK' }],
    [{ tfjs: { digits: { domain: 'upright' } } }, { tfjs: { digits: { domain: 'upright' } } }],
  ])('but not %o and %o', (a, b) => {
    expect(groups({ a, b })).toEqual([]);
  });
});

describe('one run of a program', () => {
  it('answers every task whose results it names, and says so', async () => {
    const { command, runs } = program(prints(HARNESS));
    const evaluate = await open({ qa: { command }, code: { command }, sums: { command, lm_task: 'maths' } });
    expect([await evaluate('qa'), await evaluate('sums')]).toMatchObject([{ value: 0.75 }, { value: 0.25, ranFor: 'qa' }]);
    const job = evaluationJob(FOLDER, { task: 'code', metric: 'acc' });
    expect((await evaluate('code', job)).value).toBe(0.5);
    expect(readFileSync(job.logFile, 'utf8')).toMatch(/task code\ntaken from the run for task qa: .*evaluation\.log\n/);
    expect(runs()).toEqual(['qa']);
  });

  it('is for one candidate', async () => {
    const { command, runs } = program(prints(HARNESS));
    const evaluate = await open({ qa: { command }, code: { command } });
    await evaluate('qa');
    for (const other of [{ candidate: 8 }, { digest: 'of another study' }, { round: 'r2' }])
      expect((await evaluate('code', other)).ranFor).toBeUndefined();
    expect(runs()).toHaveLength(4);
  });

  it('answers tasks that agent.yaml tells apart by their metrics; the program is told all of them', async () => {
    const { command, runs } = program(prints({ metrics: { acc: 0.75 }, f1: 0.5 }));
    const evaluate = await open({ a: { command, metric: 'acc' }, b: { command, metric: 'f1' } });
    expect([(await evaluate('b')).value, await evaluate('a')]).toMatchObject([0.5, { value: 0.75, ranFor: 'b' }]);
    expect(runs()).toEqual(['a,b']);
  });

  it.each([
    ['that nothing tells apart', { acc: 1 }, {}, {}],
    ['that take the same metric', { acc: 1 }, { metric: 'acc' }, { metric: 'acc' }],
    ['of which only one says what it takes', { acc: 1 }, {}, { metric: 'acc' }],
    ['with a gradient, which is that of one metric', { acc: 1, f1: 1, gradient: [1, 2] }, { metric: 'f1' }, { metric: 'acc' }],
    ['that the results do not name', { results: { a: { acc: 1 } } }, {}, { metric: 'acc' }],
  ])('is not for tasks %s', async (_, document, a, b) => {
    const { command, runs } = program(prints(document));
    const evaluate = await open({ a: { command, ...a }, b: { command, ...b } });
    expect((await evaluate('a', { metric: 'acc' })).ranFor).toBeUndefined();
    expect((await evaluate('b', { metric: 'acc' })).ranFor).toBeUndefined();
    expect(runs()).toEqual(['a', 'b'].map((task) => ('gradient' in document ? 'a,b' : task)));
  });

  it('that lacks the metric is run anew for the task that misses it', async () => {
    const { command, runs } = program(`console.log(JSON.stringify(runs === 1 ? { acc: 1 } : { f1: 0.5 }))`);
    const evaluate = await open({ a: { command, metric: 'acc' }, b: { command, metric: 'f1' } });
    expect([(await evaluate('a')).value, (await evaluate('b')).value]).toEqual([1, 0.5]);
    expect(runs()).toHaveLength(2);
  });

  it('measures again what is measured again', async () => {
    const { command, runs } = program(`console.log(JSON.stringify({ results: { qa: { acc: runs / 8 }, code: { acc: runs / 16 } } }))`);
    const evaluate = await open({ qa: { command }, code: { command } });
    expect([(await evaluate('qa')).value, (await evaluate('qa')).value]).toEqual([1 / 8, 2 / 8]);
    expect([(await evaluate('code')).value, (await evaluate('code')).value]).toEqual([2 / 16, 3 / 16]);
    expect(runs()).toHaveLength(3);
  });

  it('is not tried again by who could not read it, but run again', async () => {
    const { command, runs } = program(
      `console.log(JSON.stringify({ results: { qa: { acc: 1 }, code: { acc: runs === 1 ? NaN : 0.5 } } }))`,
    );
    const evaluate = await open({ qa: { command, retries: 1 }, code: { command, retries: 1 } });
    expect((await evaluate('qa')).value).toBe(1);
    const job = evaluationJob(FOLDER, { task: 'code', metric: 'acc' });
    expect((await evaluate('code', job)).value).toBe(0.5);
    expect(readFileSync(job.logFile, 'utf8')).toContain('try 1 failed');
    expect(runs()).toHaveLength(2);
  });
});

describe('a run that is under way', () => {
  const waitFor = (file: string, then: string): string =>
    `const timer = setInterval(() => { if (fs.existsSync(${JSON.stringify(file)})) { clearInterval(timer); ${then} } }, 10);`;

  it('is waited for', async () => {
    const go = join(FOLDER, 'go-1');
    const { command, runs } = program(waitFor(go, prints(HARNESS)));
    const evaluate = await open({ qa: { command }, code: { command }, maths: { command } });
    const all = Promise.all(['qa', 'code', 'maths'].map((task) => evaluate(task)));
    await eventually('the run', () => runs()[0]);
    writeFileSync(go, '');
    expect(await all).toMatchObject([{ value: 0.75 }, { value: 0.5, ranFor: 'qa' }, { value: 0.25, ranFor: 'qa' }]);
    expect(runs()).toEqual(['qa']);
  });

  it('fails for all who waited, and only for them', async () => {
    const go = join(FOLDER, 'go-2');
    const { command, runs } = program(waitFor(go, `if (runs === 1) process.exit(3); ${prints(HARNESS)}`));
    const evaluate = await open({ qa: { command }, code: { command }, maths: { command } });
    const both = Promise.all(['qa', 'code'].map((task) => expectError('EVALUATION_FAILED', () => evaluate(task))));
    await eventually('the run', () => runs()[0]);
    writeFileSync(go, '');
    for (const { message } of await both) expect(message).toContain('the program of task qa ended with exit code 3');
    expect((await evaluate('maths')).value).toBe(0.25);
    expect(runs()).toEqual(['qa', 'maths']);
  });

  it('that runs out of time has failed for who waited', async () => {
    const { command, runs } = program(`setInterval(() => {}, 1000)`);
    const evaluate = await open({ qa: { command, timeout_seconds: 3 }, code: { command, timeout_seconds: 3 } });
    const first = expectError('EVALUATION_FAILED', () => evaluate('qa'));
    await eventually('the run', () => runs()[0]);
    const second = await expectError('EVALUATION_FAILED', () => evaluate('code'));
    await first;
    expect(second.message).toContain('the evaluation of task qa ran out of time');
    expect(runs()).toEqual(['qa']);
  });

  it('that is stopped is nobody’s failure: who waited runs it', async () => {
    const go = join(FOLDER, 'go-3');
    const { command, runs } = program(waitFor(go, prints(HARNESS)));
    const evaluate = await open({ qa: { command }, code: { command } });
    const lost = new AbortController();
    const first = expectError('LEASE_LOST', () => evaluate('qa', { signal: lost.signal }));
    await eventually('the run', () => runs()[0]);
    const second = evaluate('code');
    lost.abort(new TributaryError('LEASE_LOST', { what: 'lost' }));
    await first;
    await eventually('the second run', () => runs()[1]);
    writeFileSync(go, '');
    expect(await second).toMatchObject({ value: 0.5 });
    expect(runs()).toEqual(['qa', 'code']);
  });

  it('goes on when one who waits is stopped', async () => {
    const go = join(FOLDER, 'go-4');
    const { command, runs } = program(waitFor(go, prints(HARNESS)));
    const evaluate = await open({ qa: { command }, code: { command } });
    const first = evaluate('qa');
    await eventually('the run', () => runs()[0]);
    const stop = new AbortController();
    const second = expectError('INTERRUPTED', () => evaluate('code', { signal: stop.signal }));
    stop.abort();
    await second;
    writeFileSync(go, '');
    expect((await first).value).toBe(0.75);
  });
});

it('outputs that are kept are few', async () => {
  const shared = new SharedRuns<number>();
  let ran = 0;
  const take = (candidate: number, task: string) =>
    shared.take({ candidate: `${candidate}`, task, signal: new AbortController().signal, accepts: () => true, run: async () => ++ran });
  for (let candidate = 0; candidate < 9; candidate++) await take(candidate, 'a');
  expect([(await take(1, 'b')).ranFor, (await take(0, 'b')).ranFor]).toEqual(['a', 'b']);
  expect(ran).toBe(10);
});
