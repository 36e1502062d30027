/** The agent's cache of models: what stays, what goes and why, and what was broken off. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openedStudies } from '../../client/agent/opened-studies.js';
import { type CacheLimits, chooseUnneeded, createCachePruner } from '../../client/agent/prune-cache.js';
import { connect } from '../../client/api/connection.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { startPool } from '../../shared/workers/pool.js';
import { type StartAgent, startAgent, type TinyFederation, tinyFederation } from '../support/agent-fixture.js';
import { expectError } from '../support/expect-error.js';
import { type FakeStudy, type FakeStudyOptions, startFakeStudy } from '../support/fake-study.js';
import { tempDir } from '../support/temp-dir.js';

const root = tempDir();
const DAY_MS = 24 * 3600 * 1000;
const NO_LIMIT: CacheLimits = { sizeBytes: Infinity, unusedMs: Infinity };
const digest = (letter: string): string => letter.repeat(64);

const running: FakeStudy[] = [];
afterEach(async () => {
  for (const study of running.splice(0)) await study.stop();
});

describe('what goes', () => {
  const models = ['a', 'b', 'c', 'd'].map((name, index) => ({ digest: name, path: name, name, sizeBytes: 10, usedMs: index * DAY_MS }));
  const chosen = (limits: Partial<CacheLimits>, kept: readonly string[] = [], bytesToCome = 0): string =>
    chooseUnneeded(models, { limits: { ...NO_LIMIT, ...limits }, nowMs: 4 * DAY_MS, kept: new Set(kept), bytesToCome })
      .map(({ model, why }) => `${model.name} ${why}`)
      .join(', ');

  test.each([
    ['', chosen({})],
    ['a unused, b unused', chosen({ unusedMs: 2 * DAY_MS })],
    ['b unused', chosen({ unusedMs: 2 * DAY_MS }, ['a'])],
    ['a size, b size', chosen({ sizeBytes: 20 })],
    ['', chosen({ sizeBytes: 40 })],
    ['a size', chosen({ sizeBytes: 40 }, [], 1)],
    ['b size, d size', chosen({ sizeBytes: 0 }, ['a', 'c'])],
    ['a unused, b size', chosen({ sizeBytes: 20, unusedMs: 3.5 * DAY_MS })],
    ['a size, c size, d size', chosen({}, ['b'], Infinity)],
  ])('%s', (expected, got) => {
    expect(got).toBe(expected);
  });
});

describe('the folder', () => {
  function cache(limits: Partial<CacheLimits>, more: { inUse?: () => Set<string>; needed?: string[] | undefined } = {}) {
    const folder = mkdtempSync(join(root, 'cache-'));
    const removed: string[] = [];
    const pruner = createCachePruner({
      folder,
      limits: { ...NO_LIMIT, ...limits },
      inUse: more.inUse ?? (() => new Set()),
      needed: async () => ('needed' in more ? more.needed && new Set(more.needed) : new Set()),
      onRemove: (one) => void removed.push(one),
      nowMs: Date.now,
    });
    const put = (name: string, days = 0): void => {
      mkdirSync(join(folder, name, 'deep'), { recursive: true });
      writeFileSync(join(folder, name, 'deep', 'weights'), 'x'.repeat(100));
      const at = new Date(Date.now() - days * DAY_MS);
      utimesSync(join(folder, name), at, at);
    };
    return { folder, pruner, put, removed, names: () => readdirSync(folder).sort() };
  }

  test('loses what was broken off, unless an open study goes on with it; strangers stay', async () => {
    const { put, pruner, names } = cache({}, { needed: [digest('b'), digest('c')] });
    for (const name of [digest('c'), 'notes', `.${digest('d')}.removed`]) put(name);
    for (const letter of ['a', 'b', 'c']) put(`.${digest(letter)}.tributary-partial`);
    const { models, sizeBytes, removed } = await pruner.prune();
    expect(names()).toEqual([`.${digest('b')}.tributary-partial`, digest('c'), 'notes']);
    expect([models, sizeBytes, removed.map(({ why }) => why)]).toEqual([1, 100, ['partial', 'partial']]);
  });

  test('keeps what is used, however long ago it was fetched', async () => {
    const { put, pruner, names, removed } = cache({ unusedMs: DAY_MS });
    put(digest('a'), 3);
    put(digest('b'), 3);
    await pruner.touch([digest('b'), digest('f')]);
    expect((await pruner.prune()).removed).toMatchObject([{ name: digest('a').slice(0, 12), sizeBytes: 100, why: 'unused' }]);
    expect([names(), removed]).toEqual([[digest('b')], [digest('a')]]);
  });

  test('keeps what comes into use while it is looked at', async () => {
    const used = new Set<string>();
    let asked = 0;
    const { put, pruner, names } = cache({ sizeBytes: 0 }, { inUse: () => (asked++ > 0 ? used : new Set()) });
    put(digest('a'));
    put(digest('b'));
    used.add(digest('b'));
    expect(await pruner.prune()).toMatchObject({ models: 1, sizeBytes: 100, removed: [{ why: 'size' }] });
    expect(names()).toEqual([digest('b')]);
  });

  test('loses nothing while the coordinator does not say what is needed', async () => {
    const { put, pruner, names } = cache({ sizeBytes: 0 }, { needed: undefined });
    put(digest('a'), 100);
    put(`.${digest('b')}.tributary-partial`, 100);
    expect(await pruner.prune()).toEqual({ models: 1, sizeBytes: 100, removed: [] });
    expect(names()).toHaveLength(2);
  });

  test('that is not there yet is empty', async () => {
    const pruner = createCachePruner({
      folder: join(root, 'nowhere'),
      limits: NO_LIMIT,
      inUse: () => new Set(),
      needed: async () => new Set(),
      onRemove: () => {},
      nowMs: Date.now,
    });
    expect(await pruner.prune()).toEqual({ models: 0, sizeBytes: 0, removed: [] });
  });
});

describe('an agent', () => {
  interface Scene extends TinyFederation {
    readonly cached: () => string[];
    serve(options?: Partial<FakeStudyOptions>): Promise<FakeStudy>;
    start(study: FakeStudy, options?: Partial<StartAgent>): ReturnType<typeof startAgent>;
    age(days: number): void;
  }

  function scene(work: string, round: string): Scene {
    const federation = tinyFederation(mkdtempSync(join(root, 'scene-')), { recipe: 'merge_method: task_arithmetic', round });
    const folder = join(work, 'models');
    const cached = (): string[] =>
      readdirSync(folder)
        .map((name) => (JSON.parse(readFileSync(join(folder, name, 'tributary.json'), 'utf8')) as { model: string }).model)
        .sort();
    return {
      ...federation,
      cached,
      async serve(options = {}) {
        const study = await startFakeStudy({ study: federation.study, models: federation.models, candidates: [[1, 0, 0]], ...options });
        running.push(study);
        return study;
      },
      start: (study, options = {}) => startAgent({ server: study.address, work, ...options }),
      age(days) {
        const at = new Date(Date.now() - days * DAY_MS);
        for (const name of readdirSync(folder)) utimesSync(join(folder, name), at, at);
      },
    };
  }

  const OF_SPRING = ['base', 'rounds/spring/alice', 'rounds/spring/bob', 'rounds/spring/carol'];

  test('removes what no open study needs any more after some days, and says it', async () => {
    const one = scene(mkdtempSync(join(root, 'work-')), 'spring');
    const study = await one.serve();
    const limits = { cacheLimits: { ...NO_LIMIT, unusedMs: 2 * DAY_MS } };
    const first = await one.start(study, limits);
    await first.done;
    expect(first.cache).toEqual([{ models: 0, sizeBytes: 0, removed: [] }]);
    const young = await one.start(study, limits);
    await young.done;
    expect([young.cache[0]?.models, one.cached()]).toEqual([4, OF_SPRING]);
    one.age(3);
    study.addCandidate([0, 1, 0]);
    // The study is open again, and uses them.
    const needing = await one.start(study, limits);
    await needing.done;
    expect([needing.fetched, needing.cache[0]?.removed]).toEqual([[], []]);
    one.age(3);
    const done = await one.start(study, limits);
    await done.done;
    expect(done.cache[0]).toMatchObject({ models: 0, sizeBytes: 0 });
    expect(done.cache[0]?.removed.map(({ name, why }) => `${name} ${why}`).sort()).toEqual(OF_SPRING.map((name) => `${name} unused`));
    expect(one.cached()).toEqual([]);
  });

  test('makes room for what it fetches, within the limit of size, and never takes what it works with', async () => {
    const work = mkdtempSync(join(root, 'work-'));
    const spring = scene(work, 'spring');
    await (await spring.start(await spring.serve())).done;
    const summer = scene(work, 'summer');
    const agent = await summer.start(await summer.serve(), { cacheLimits: { ...NO_LIMIT, sizeBytes: 1 } });
    expect((await agent.done).rounds).toEqual([{ round: 'summer', measured: 2, failed: 0 }]);
    // Both have the same files: by their digests those of the summer are there already.
    expect(agent.fetched).toEqual([]);
    const other = scene(work, 'autumn');
    const models = new Map(other.models);
    const bob = other.models.get('rounds/autumn/bob')?.folder ?? '';
    writeFileSync(join(bob, 'tokenizer.json'), '{"another": 1}');
    // As much as is there: nothing has to go before something comes.
    const sizeBytes = agent.cache[0]?.sizeBytes ?? 0;
    const third = await other.start(await other.serve({ models }), { cacheLimits: { ...NO_LIMIT, sizeBytes } });
    await third.done;
    expect(third.fetched).toEqual(['rounds/autumn/bob']);
    expect(third.cache[0]).toEqual({ models: 4, sizeBytes, removed: [] });
    expect(third.cache.flatMap(({ removed }) => removed.map(({ name, why }) => `${name} ${why}`))).toEqual(['rounds/spring/bob size']);
  });

  test('makes room when the disk is full, once', async () => {
    const work = mkdtempSync(join(root, 'work-'));
    const one = scene(work, 'spring');
    const old = join(work, 'models', digest('a'));
    mkdirSync(old, { recursive: true });
    let full = 2;
    const study = await one.serve({
      onDownload() {
        if (existsSync(old) || full-- > 0) throw new TributaryError('DISK_FULL', { what: 'write failed with ENOSPC' });
      },
    });
    // Room is made, and does not suffice.
    await expectError('DISK_FULL', async () => (await one.start(study)).done);
    expect(existsSync(old)).toBe(false);
    mkdirSync(old);
    full = 0;
    const agent = await one.start(study);
    expect((await agent.done).rounds).toEqual([{ round: 'spring', measured: 2, failed: 0 }]);
    expect(agent.cache.flatMap(({ removed }) => removed.map(({ why }) => why))).toEqual(['size']);
  });

  test('has in use what it opened while it works with it, and opens a study again when its models went', async () => {
    const work = mkdtempSync(join(root, 'work-'));
    const one = scene(work, 'spring');
    const study = await one.serve();
    const connection = connect({ server: study.address });
    const pool = startPool(1);
    const patience = { withoutProgressMs: 0, signal: new AbortController().signal, onRetry: () => {} };
    const fetched: string[] = [];
    const touched: number[] = [];
    const cache = {
      connection,
      folder: join(work, 'models'),
      pool,
      patience,
      onFetch: (name: string) => void fetched.push(name),
      onProgress: () => {},
      makeRoom: async () => false,
    };
    const studies = openedStudies({ connection, patience, cache, touch: async (models) => void touched.push(models.size) });
    const use = () =>
      studies.use('spring', async ({ opened }) => {
        await opened;
        expect(studies.inUse().size).toBe(4);
      });
    try {
      await use();
      await use();
      expect([fetched.length, studies.inUse().size, touched]).toEqual([4, 0, [4, 4]]);
      const [first = ''] = readdirSync(cache.folder);
      rmSync(join(cache.folder, first), { recursive: true });
      studies.forget(first);
      await use();
      expect(fetched).toHaveLength(5);
      await expectError('MODEL_NOT_FOUND', () =>
        studies.use('spring', () => Promise.reject(new TributaryError('MODEL_NOT_FOUND', { what: 'of a test' }))),
      );
      expect(studies.inUse().size).toBe(0);
    } finally {
      await pool.close();
      connection.close();
    }
  });
});
