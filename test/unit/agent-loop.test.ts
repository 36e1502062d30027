/** The agent against a coordinator's side that goes wrong on purpose: leases, heartbeats, reports, restarts, damaged caches. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Evaluator } from '../../client/evaluate/evaluator.js';
import { openEvaluator } from '../../client/evaluate/open-evaluator.js';
import { findSharing } from '../../client/evaluate/sharing.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { openAdapter } from '../../shared/formats/adapter.js';
import { openCheckpoint } from '../../shared/formats/checkpoint.js';
import { CandidateAccess } from '../../shared/generated/tributary/v1/evaluations.js';
import { roundInput } from '../../shared/merge/contributions.js';
import { planMerge } from '../../shared/merge/plan.js';
import { runMerge } from '../../shared/merge/run-merge.js';
import { candidateRecipe, studySpecOf } from '../../shared/recipe/map-block.js';
import { parseRecipe } from '../../shared/recipe/parse-recipe.js';
import {
  type Evaluation,
  type StartAgent,
  score,
  scoreOf,
  startAgent,
  type TinyFederation,
  tinyFederation,
} from '../support/agent-fixture.js';
import { evaluatorConfig } from '../support/evaluation-job.js';
import { eventually } from '../support/eventually.js';
import { expectError } from '../support/expect-error.js';
import { type FakeStudy, type FakeStudyOptions, startFakeStudy } from '../support/fake-study.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const CANDIDATES = [
  [0, 0, 0],
  [1, 0, 0],
  [1 / 3, 1 / 3, 1 / 3],
  [0.2, 0.7, 0.4],
  [0.9, 0.1, 0.6],
];

const running: FakeStudy[] = [];
afterEach(async () => {
  for (const study of running.splice(0)) await study.stop();
});

interface Scene extends TinyFederation {
  readonly folder: string;
  readonly work: string;
  serve(options?: Partial<FakeStudyOptions>): Promise<FakeStudy>;
  start(study: FakeStudy, options?: Partial<StartAgent>): ReturnType<typeof startAgent>;
}

function scene(recipe = 'merge_method: task_arithmetic'): Scene {
  const folder = mkdtempSync(join(root, 'scene-'));
  const federation = tinyFederation(folder, { recipe });
  const work = join(folder, 'work');
  return {
    ...federation,
    folder,
    work,
    async serve(options = {}) {
      const study = await startFakeStudy({ study: federation.study, models: federation.models, candidates: CANDIDATES, ...options });
      running.push(study);
      return study;
    },
    start: (study, options = {}) => startAgent({ server: study.address, work, ...options }),
  };
}

/** Folder of what the coordinator would merge of a candidate. */
async function mergedBy({ models, study, folder }: Scene, coefficients: readonly number[]): Promise<string> {
  const recipe = parseRecipe(study.recipe ?? '', { fileName: 'recipe' });
  const base = { name: 'base', tensors: (await openCheckpoint(models.get('base')?.folder ?? '')).tensors };
  const names = ['alice', 'bob', 'carol'];
  const inputs = [];
  for (const contributor of names) {
    const at = models.get(`rounds/${study.round}/${contributor}`)?.folder ?? '';
    const { tensors, configBytes } =
      contributor === 'carol' ? await openAdapter(at) : { ...(await openCheckpoint(at)), configBytes: new Uint8Array(0) };
    const kind = contributor === 'carol' ? ('lora' as const) : ('full' as const);
    inputs.push(
      roundInput(recipe, base, { contributor, kind, tensors, adapterConfig: configBytes, weightsDigest: contributor, samples: 10 }),
    );
  }
  const { dimensions } = studySpecOf(recipe, names);
  const plan = planMerge({ recipe: candidateRecipe(recipe, dimensions, coefficients), base, inputs, inRound: true, numHiddenLayers: 2 });
  const outputDir = mkdtempSync(join(folder, 'merged-'));
  await runMerge(plan, { outputDir, durable: false, threads: 1 });
  return outputDir;
}

async function expectedValues(one: Scene, tasks = ['legal', 'code']): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  for (const [candidate, coefficients] of CANDIDATES.entries()) {
    const value = await scoreOf(await mergedBy(one, coefficients));
    for (const task of tasks) values[`${candidate} ${task}`] = value;
  }
  return values;
}

describe('an agent', () => {
  test.each(['merge_method: task_arithmetic', 'merge_method: ties\nparameters: {density: 0.5}'])(
    '%s: measures every pair of what the coordinator would merge, fetches once, and ends',
    async (recipe) => {
      const one = scene(recipe);
      const study = await one.serve();
      const merges: string[] = [];
      const agent = await one.start(study, {
        evaluate: async (job) => {
          merges.push(`${job.candidate} ${job.task} ${job.metric} ${job.coefficients.join()}`);
          expect(readdirSync(job.folder).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
          return score(job);
        },
      });
      const report = await agent.done;
      expect(report).toEqual({ agent: 'tester', rounds: [{ round: 'spring', measured: 10, failed: 0 }] });
      expect(study.values()).toEqual(await expectedValues(one));
      // Both tasks of a candidate one after the other: it is made once.
      expect(merges.map((line) => line.split(' ')[0])).toEqual(CANDIDATES.flatMap((_, candidate) => [`${candidate}`, `${candidate}`]));
      expect(merges[8]).toBe('4 legal score 0.9,0.1,0.6');
      expect([...agent.fetched].sort()).toEqual(['base', 'rounds/spring/alice', 'rounds/spring/bob', 'rounds/spring/carol']);
      const outcome = study.reports[0]?.outcome;
      expect(outcome?.$case === 'measured' ? [outcome.value.count, outcome.value.standardError] : outcome).toEqual([7n, 0.5]);
      expect(existsSync(join(one.work, 'slots'))).toBe(false);
      expect(existsSync(join(one.work, 'lock'))).toBe(false);
    },
  );

  test('two slots share the work and measure the same', async () => {
    const one = scene();
    const study = await one.serve();
    const folders = new Set<string>();
    const agent = await one.start(study, {
      parallel: 2,
      evaluate: async (job) => {
        folders.add(job.folder);
        await sleep(30);
        return score(job);
      },
    });
    await agent.done;
    expect(study.values()).toEqual(await expectedValues(one));
    expect(folders.size).toBe(2);
    expect(agent.fetched).toHaveLength(4);
  });

  test('a second agent with the same folder is told so; after the first it takes over what was fetched', async () => {
    const one = scene();
    const study = await one.serve();
    const first = await one.start(study, { once: false });
    const error = await expectError('DATA_DIR_LOCKED', () => one.start(study));
    expect(error.details.got).toBe(`process ${process.pid}`);
    await eventually('all pairs', () => (Object.keys(study.values()).length === 10 ? true : undefined));
    study.addCandidate([0.5, 0.5, 0.5]);
    await eventually('the new pairs', () => (Object.keys(study.values()).length === 12 ? true : undefined));
    await first.stop();
    const downloads = study.downloads.length;
    study.addCandidate([0.1, 0.5, 0.5]);
    const second = await one.start(study);
    await second.done;
    expect(Object.keys(study.values())).toHaveLength(14);
    expect(second.fetched).toEqual([]);
    expect(study.downloads).toHaveLength(downloads);
  });

  test('a cached model that was damaged is fetched again; a slot of an earlier process is not believed', async () => {
    const one = scene();
    const study = await one.serve();
    await (await one.start(study)).done;
    const models = readdirSync(join(one.work, 'models')).sort();
    const damages = [
      (folder: string) => writeFileSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.safetensors')) ?? ''), 'short'),
      (folder: string) => truncateSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.safetensors')) ?? ''), 100),
      (folder: string) => rmSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.safetensors')) ?? '')),
    ];
    models.forEach((name, index) => damages[index % damages.length]?.(join(one.work, 'models', name)));
    const again = await one.serve();
    const agent = await one.start(again);
    await agent.done;
    expect(agent.fetched).toHaveLength(4);
    expect(again.values()).toEqual(await expectedValues(one));
  });

  test('reports what fails, with its reason, and goes on', async () => {
    const one = scene();
    const study = await one.serve();
    const agent = await one.start(study, {
      evaluate: (job) => {
        if (job.candidate === 2 && job.task === 'code')
          throw new TributaryError('EVALUATION_FAILED', { what: 'out of memory', where: job.logFile });
        return score(job);
      },
    });
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 9, failed: 1 }]);
    const failed = study.reports.find(({ outcome }) => outcome?.$case === 'failed');
    expect(failed?.outcome?.value).toMatchObject({ code: 'EVALUATION_FAILED', what: 'out of memory' });
    expect([failed?.candidate, failed?.task]).toEqual([2, 'code']);
  });

  test('a candidate that cannot be merged fails for all of its tasks; the next one is measured', async () => {
    const one = scene('merge_method: task_arithmetic\nparameters: {normalize: true}');
    const study = await one.serve({
      candidates: [
        [1, -1, 0],
        [0.5, 0.2, 0.1],
      ],
    });
    const agent = await one.start(study);
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 2, failed: 2 }]);
    expect(study.reports.flatMap(({ outcome }) => (outcome?.$case === 'failed' ? [outcome.value.code] : []))).toEqual([
      'RECIPE_INVALID',
      'RECIPE_INVALID',
    ]);
    expect(Object.keys(study.values())).toEqual(['1 legal', '1 code']);
  });

  test('a metric that is refused is not insisted on', async () => {
    const one = scene();
    let refusals = 0;
    const study = await one.serve({
      candidates: [[1, 1, 1]],
      onReport({ task }) {
        if (task === 'legal' && refusals++ === 0) throw new TributaryError('METRIC_REFUSED', { what: 'accuracy 17 is outside of [0, 1]' });
      },
    });
    const agent = await one.start(study, { once: false });
    await eventually('both results', () => (agent.results.length === 2 ? true : undefined));
    expect(study.reports).toHaveLength(2);
    expect((await agent.stop()).rounds).toEqual([{ round: 'spring', measured: 1, failed: 1 }]);
  });

  test('a task whose metrics are refused again and again is asked for less often', async () => {
    const one = scene();
    const asked: string[] = [];
    const study = await one.serve({
      onLease: ({ tasks }) => void asked.push(tasks.join()),
      onReport({ task }) {
        if (task === 'legal') throw new TributaryError('METRIC_REFUSED', { what: 'accuracy 91 is outside of [0, 1]' });
      },
    });
    const agent = await one.start(study, { once: false });
    await eventually('a request without it', () => (asked.includes('code') ? true : undefined));
    await agent.stop();
    expect(asked[0]).toBe('legal,code');
  });

  test('a finished measurement survives a coordinator that is away, however long', async () => {
    const one = scene();
    const first = await one.serve({ candidates: [[0.3, 0.3, 0.3]] });
    const stopped: Promise<void>[] = [];
    const agent = await one.start(first, {
      tasks: ['legal'],
      evaluate: async (job) => {
        stopped.push(first.stop());
        return score(job);
      },
    });
    await eventually('the end of the first', () => (stopped.length > 0 ? true : undefined));
    await sleep(1_500);
    expect(agent.results).toEqual([]);
    const second = await one.serve({ candidates: [[0.3, 0.3, 0.3]], port: first.port });
    await eventually('the report', () => second.reports[0]);
    await agent.stop();
    expect(second.values()).toEqual({ '0 legal': await scoreOf(await mergedBy(one, [0.3, 0.3, 0.3])) });
  });

  test('a coordinator that may take a report later gets it later', async () => {
    const one = scene();
    let refusals = 0;
    const study = await one.serve({
      onReport() {
        if (refusals++ < 3) throw new TributaryError('DISK_FULL', { what: 'no space left' });
      },
    });
    const agent = await one.start(study);
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 10, failed: 0 }]);
  });

  test('stops work whose lease is lost, reports nothing of it, and takes it again', async () => {
    const one = scene();
    const study = await one.serve({ candidates: [[1, 0.5, 0.25]], leaseMs: 1_000 });
    const aborted: string[] = [];
    const evaluate: Evaluation = async (job) => {
      if (aborted.length > 0) return score(job);
      study.loseLeases();
      await sleep(20_000, undefined, { signal: job.signal }).catch(() => aborted.push(`${job.signal.reason?.code}`));
      throw new Error('stopped');
    };
    const agent = await one.start(study, { evaluate });
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 2, failed: 0 }]);
    expect(aborted).toEqual(['LEASE_LOST']);
    expect(agent.lost()).toBeGreaterThan(0);
    expect(study.reports.every(({ outcome }) => outcome?.$case === 'measured')).toBe(true);
  });

  test('keeps the leases of long evaluations, also of the task that waits', async () => {
    const one = scene();
    let beats = 0;
    const study = await one.serve({
      candidates: [[1, 0.5, 0.25]],
      leaseMs: 1_000,
      onHeartbeat() {
        beats += 1;
        if (beats % 3 === 0) throw new TributaryError('COORDINATOR_UNAVAILABLE', { what: 'restarting' });
      },
    });
    const agent = await one.start(study, {
      evaluate: async (job) => {
        await sleep(1_600);
        return score(job);
      },
    });
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 2, failed: 0 }]);
    expect(study.leased).toHaveLength(2);
    expect(beats).toBeGreaterThan(5);
  });

  test.each(['measured', 'failed'])(
    'does not renew the lease of a pair that is %s while the next one is, nor call it lost',
    async (end) => {
      const one = scene();
      let renewed = 0;
      let reported = '';
      const study = await one.serve({
        candidates: [[1, 0.5, 0.25]],
        leaseMs: 300,
        onHeartbeat({ leaseIds }) {
          if (reported !== '' && leaseIds.length > 0) renewed += 1;
        },
        onReport({ leaseId }) {
          reported = leaseId;
        },
      });
      const agent = await one.start(study, {
        evaluate: async (job) => {
          if (job.task === study.leased[0]?.task && end === 'failed' && reported === '') throw new Error('broken');
          // Two renewals after a report: the answer to the first has arrived.
          if (reported !== '') await eventually('renewals', () => (renewed >= 2 ? true : undefined));
          return score(job);
        },
      });
      await agent.done;
      expect(agent.lost()).toBe(0);
    },
  );

  test('is stopped in the middle of an evaluation without a report, and leaves nothing behind', async () => {
    const one = scene();
    const study = await one.serve();
    let begun = false;
    const agent = await one.start(study, {
      once: false,
      evaluate: async ({ signal }) => {
        begun = true;
        await sleep(20_000, undefined, { signal });
        throw new Error('unreachable');
      },
    });
    await eventually('the evaluation', () => (begun ? true : undefined));
    await agent.stop();
    expect(study.reports).toEqual([]);
    expect(readdirSync(one.work).sort()).toEqual(['logs', 'models']);
  });

  test('measures served candidates in one folder, fetching what differs', async () => {
    const one = scene();
    const models = new Map(one.models);
    for (const [candidate, coefficients] of CANDIDATES.entries())
      models.set(`rounds/spring/candidates/${candidate}`, { folder: await mergedBy(one, coefficients), kind: 'full' });
    const served = { ...one.study, access: CandidateAccess.SERVED, contributions: [] };
    const study = await one.serve({ study: served, models, modelOf: (candidate) => `rounds/spring/candidates/${candidate}` });
    const folders = new Set<string>();
    const agent = await one.start(study, {
      evaluate: (job) => {
        folders.add(job.folder);
        return score(job);
      },
    });
    await agent.done;
    expect(study.values()).toEqual(await expectedValues(one));
    expect(folders.size).toBe(1);
    expect(study.downloads.every((line) => line.startsWith('rounds/spring/candidates/'))).toBe(true);
  });

  test('runs a command once for two tasks of a candidate, whichever slots have them', async () => {
    const one = scene();
    const study = await one.serve({ most: 1 });
    const runs = join(one.folder, 'runs');
    const script = join(one.folder, 'eval.cjs');
    const rows = '{ results: { legal: { score: 0.5 }, code: { score: 0.25 } } }';
    writeFileSync(
      script,
      `require('node:fs').appendFileSync(${JSON.stringify(runs)}, process.argv[2] + '\\n'); setTimeout(() => console.log(JSON.stringify(${rows})), 200)`,
    );
    const config = evaluatorConfig({ command: [process.execPath, script, '{candidate}'] });
    const tasks = ['legal', 'code'];
    const sharing = findSharing(new Map(tasks.map((task) => [task, config])));
    const evaluators = new Map<string, Evaluator>();
    for (const task of tasks) evaluators.set(task, await openEvaluator(task, config, { sharing: sharing.get(task) }));
    const agent = await one.start(study, { parallel: 2, evaluators });
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 10, failed: 0 }]);
    expect(readFileSync(runs, 'utf8').trim().split('\n').sort()).toEqual(CANDIDATES.map((_, candidate) => `${candidate}`));
    const shared = agent.results.filter((result) => result.kind === 'measured' && result.outcome.ranFor !== undefined);
    expect(shared).toHaveLength(CANDIDATES.length);
    expect(study.values()).toMatchObject({ '0 legal': 0.5, '0 code': 0.25, '4 legal': 0.5, '4 code': 0.25 });
  });

  test('says which studies go on without it', async () => {
    const one = scene();
    const study = await one.serve();
    const agent = await one.start(study, { tasks: ['legl'] });
    expect((await agent.done).rounds).toEqual([]);
    expect(agent.foreign).toEqual(['spring']);
  });

  test('ends with the error when a study cannot be opened', async () => {
    const one = scene();
    const models = new Map(one.models);
    models.delete('rounds/spring/bob');
    const study = await one.serve({ models });
    const agent = await one.start(study);
    await expectError('MODEL_NOT_FOUND', () => agent.done);
    expect(study.reports).toEqual([]);
  });

  test('keeps the newest logs', async () => {
    const one = scene();
    const study = await one.serve();
    const agent = await one.start(study, {
      keepLogs: 3,
      evaluate: (job) => {
        writeFileSync(job.logFile, 'hello');
        return score(job);
      },
    });
    await agent.done;
    expect(readdirSync(join(one.work, 'logs', 'spring')).sort()).toEqual(['3-code.log', '4-code.log', '4-legal.log']);
  });
});
