/** Pairs in the database: leases and their expiry, reports that count once, batches, and points that are chosen. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { StudyStore } from '../../coordinator/evaluation/study-store.js';
import type { MaterialisationStore } from '../../coordinator/pareto/materialisation-store.js';
import type { RoundNotice } from '../../coordinator/state/commit.js';
import { expectError } from '../support/expect-error.js';
import { addStudy, type Clock, openWithBase, proposals } from '../support/study-store.js';
import { tempDir } from '../support/temp-dir.js';

const LEASE_MS = 1000;
const TASKS = 2;
const BOTH = [0, 1];
const db = openWithBase(tempDir());
let clock: Clock;
let round: string;
let rounds = 0;
let store: StudyStore;
let points: MaterialisationStore;
let notices: RoundNotice[];

beforeEach(() => {
  clock = { nowMs: 1_000_000 };
  round = `r${rounds++}`;
  ({ store, points, notices } = addStudy(db, round, clock));
});

const take = (agent: string, tasks: readonly number[] = BOTH, most = 9) => store.lease(round, agent, tasks, most, LEASE_MS);
const pairs = (leases: readonly { candidate: number; task: number }[]) => leases.map(({ candidate, task }) => [candidate, task]);
const error = { code: 'EVALUATION_FAILED', details: { what: 'it broke' } };

/** Takes the next pair of a task and fails it. */
function failNext(task: number, code = 'EVALUATION_FAILED'): [number, string] {
  clock.nowMs += 1;
  const [lease] = take('a', [task], 1).leases;
  if (lease === undefined) throw new Error('nothing to take');
  expect(store.fail(lease, lease.lease, { ...error, code })).toBe(true);
  return [lease.candidate, store.pair(lease)?.status ?? ''];
}

describe('a task of which nothing succeeds', () => {
  it('is the fault of its evaluator: nothing is given up until one candidate is measured, or for very long', () => {
    store.addBatch(round, 0, proposals(4), TASKS);
    const seen = Array.from({ length: 12 }, () => failNext(0));
    // In turn, those that failed less first.
    expect(seen.map(([candidate]) => candidate)).toEqual([1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
    expect(new Set(seen.map(([, status]) => status))).toEqual(new Set(['open']));
    expect([store.isBroken(round, 0), store.isBroken(round, 1)]).toEqual([true, false]);
    expect(JSON.parse(store.lastError(round, 0) ?? '')).toMatchObject({ code: 'EVALUATION_FAILED' });
    clock.nowMs += 1;
    store.record({ round, candidate: 2, task: 0 }, 'a', { value: 0.5 });
    expect(store.isBroken(round, 0)).toBe(false);
    // It works again: whoever still fails is to blame.
    expect(failNext(0)).toEqual([1, 'failed']);
    expect(failNext(0)).toEqual([3, 'failed']);
  });

  it('is not a task that fails at some candidates only: these are given up, although nothing else is left to measure at the end', () => {
    store.addBatch(round, 0, proposals(6), TASKS);
    for (const candidate of [1, 2, 3]) {
      expect(failNext(0)).toEqual([candidate, 'open']);
      clock.nowMs += 1;
      store.record({ round, candidate: candidate + 3, task: 0 }, 'a', { value: 0.5 });
      clock.nowMs += 1;
    }
    const seen = Array.from({ length: 6 }, () => failNext(0));
    expect(store.isBroken(round, 0)).toBe(false);
    expect(seen.map(([, status]) => status)).toEqual(['open', 'open', 'open', 'failed', 'failed', 'failed']);
  });

  it('is given up in the end, after twenty failures of a candidate', () => {
    store.addBatch(round, 0, proposals(3), TASKS);
    for (let turn = 0; turn < 19; turn++) for (let candidate = 0; candidate < 3; candidate++) expect(failNext(0)[1]).toBe('open');
    expect(failNext(0)).toEqual([1, 'failed']);
    expect(store.counts(round)[0]).toMatchObject({ failed: 1, open: 2 });
  });

  it('waits when every metric is refused, as in a wrong unit, and gives them up after three once the task was measured', () => {
    store.addBatch(round, 0, proposals(5), TASKS);
    const refuse = (times: number): string[] => Array.from({ length: times }, () => failNext(0, 'METRIC_REFUSED')[1]);
    expect(new Set(refuse(15))).toEqual(new Set(['open']));
    store.record({ round, candidate: 1, task: 0 }, 'a', { value: 0.5 });
    clock.nowMs += 1;
    // Four in a row again, but something was measured.
    expect(refuse(4)).toEqual(['failed', 'failed', 'failed', 'failed']);
  });
});

describe('leases', () => {
  it('are of one candidate, that with the lowest number that has something for the agent', () => {
    expect(store.addBatch(round, 0, proposals(3), TASKS)).toBe(true);
    expect(pairs(take('a').leases)).toEqual([
      [1, 0],
      [1, 1],
    ]);
    expect(pairs(take('b', [1]).leases)).toEqual([[2, 1]]);
    expect(pairs(take('c', BOTH).leases)).toEqual([[2, 0]]);
    expect(pairs(take('d', BOTH, 1).leases)).toEqual([[3, 0]]);
    expect(pairs(take('e', [0]).leases)).toEqual([]);
    expect(pairs(take('e', [1]).leases)).toEqual([[3, 1]]);
  });

  it('expire, are handed out again and say so; a heartbeat keeps them', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    const [first, second] = take('a').leases;
    clock.nowMs += LEASE_MS - 1;
    expect(store.heartbeat('a', [first?.lease ?? ''], LEASE_MS).map(({ task }) => task)).toEqual([0]);
    expect(store.heartbeat('b', [second?.lease ?? ''], LEASE_MS)).toEqual([]);
    expect(take('b').leases).toEqual([]);
    clock.nowMs += 1;
    expect(store.counts(round).map(({ leased, open }) => [leased, open])).toEqual([
      [1, 0],
      [0, 1],
    ]);
    const again = take('b');
    expect([pairs(again.leases), again.expired, again.leases[0]?.attempt]).toEqual([[[1, 1]], 1, 1]);
    expect(store.heartbeat('a', [second?.lease ?? ''], LEASE_MS)).toEqual([]);
    expect(store.nextExpiryMs()).toBe(clock.nowMs + LEASE_MS - 1);
  });

  it('an expired lease can be kept again while nobody has taken it', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    const [first] = take('a', [0]).leases;
    clock.nowMs += 5 * LEASE_MS;
    expect(store.heartbeat('a', [first?.lease ?? ''], LEASE_MS)).toHaveLength(1);
    expect(take('b', [0]).leases).toEqual([]);
  });
});

describe('reports', () => {
  it('the first measurement counts, whoever brings it and however late', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    const pair = { round, candidate: 1, task: 0 };
    take('a', [0]);
    clock.nowMs += 2 * LEASE_MS;
    take('b', [0]);
    expect(store.record(pair, 'a', { value: 0.1 + 0.2, count: 7, gradient: [1e-300, -2], metrics: { other: 3 } })).toBe(true);
    expect(store.record(pair, 'b', { value: 0.5 })).toBe(false);
    expect(store.candidates(round, TASKS)[0]?.measured).toEqual([{ value: 0.1 + 0.2, count: 7, gradient: [1e-300, -2] }, undefined]);
    expect(store.pair(pair)).toMatchObject({ agent: 'a', metrics: '{"other":3}', reported_ms: clock.nowMs });
    expect(take('c', [0]).leases).toEqual([]);
  });

  it('three failures give a pair up; one that is said twice, or by a lease that is lost, is none', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    const pair = { round, candidate: 1, task: 1 };
    const lost = take('a', [1]).leases[0]?.lease ?? '';
    clock.nowMs += 2 * LEASE_MS;
    for (let attempt = 0; attempt < 3; attempt++) {
      const own = take('b', [1]).leases[0]?.lease ?? '';
      expect(store.fail(pair, lost, error)).toBe(false);
      expect(store.fail(pair, own, error)).toBe(true);
      expect(store.fail(pair, own, error)).toBe(false);
    }
    expect(store.pair(pair)).toMatchObject({ status: 'failed', attempts: 4, failures: 3 });
    expect(take('c', [1]).leases).toEqual([]);
    // Who measured it all the same is heard.
    expect(store.record(pair, 'a', { value: 1 })).toBe(true);
  });

  it('an agent that dies again and again gives nothing up', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    for (let death = 0; death < 20; death++) {
      expect(pairs(take('a', [0]).leases)).toEqual([[1, 0]]);
      clock.nowMs += LEASE_MS;
    }
    expect(store.counts(round)[0]).toMatchObject({ failed: 0, open: 1 });
  });
});

describe('batches', () => {
  it('are added once, and settled when every pair is measured or given up', () => {
    store.addBatch(round, 0, [...proposals(1), { kind: 'single', label: 'alice', coefficients: [1, 0], tasks: [1] }], TASKS);
    expect(store.addBatch(round, 0, proposals(2), TASKS)).toBe(false);
    expect(store.candidates(round, TASKS).map(({ id, batch, kind, label, tasks }) => [id, batch, kind, label, tasks])).toEqual([
      [1, 0, 'sample', undefined, undefined],
      [2, 0, 'single', 'alice', [1]],
    ]);
    for (const [candidate, task] of [
      [1, 0],
      [1, 1],
    ] as const) {
      expect(store.isSettled(round)).toBe(false);
      store.record({ round, candidate, task }, 'a', { value: 1 });
    }
    expect([store.isSettled(round, 1), store.isSettled(round)]).toEqual([true, false]);
    store.record({ round, candidate: 2, task: 1 }, 'a', { value: 1 });
    expect(store.isSettled(round)).toBe(true);
    expect(store.addBatch(round, 1, proposals(1), TASKS)).toBe(true);
    store.change(round, 'stop_requested');
    expect(store.addBatch(round, 2, proposals(1), TASKS)).toBe(false);
  });

  it('a study that ended changes no more and tells it once', async () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    expect(store.change(round, 'design_finished')).toMatchObject({ state: 'complete', ended_ms: clock.nowMs });
    expect(store.change(round, 'stop_requested').state).toBe('complete');
    await expectError('ROUND_STATE', () => store.change(round, 'budget_spent'));
    expect(take('a').leases).toEqual([]);
    expect(store.record({ round, candidate: 1, task: 0 }, 'late', { value: 1 })).toBe(true);
    expect(notices.map(({ type }) => type)).toEqual(['study.batch', 'study.complete']);
  });
});

describe('points that are chosen', () => {
  it('are measured although the study ended, and change no batch', () => {
    store.addBatch(round, 0, proposals(1), TASKS);
    store.change(round, 'stop_requested');
    const chosen = points.create({ name: `${round}-model`, round, coefficients: [0.5, 0.5], taskCount: TASKS, unmeasured: false });
    expect(pairs(take('a').leases)).toEqual([
      [chosen.candidate, 0],
      [chosen.candidate, 1],
    ]);
    expect(store.candidates(round, TASKS).at(-1)).toMatchObject({ id: 2, kind: 'materialised', batch: -1 });
    expect(store.active()).toContain(round);
    expect(points.change(`${round}-model`, 'evaluating', 'merging')).toBe(true);
    expect(points.change(`${round}-model`, 'evaluating', 'merging')).toBe(false);
    clock.nowMs += 2 * LEASE_MS;
    expect(take('b').leases).toEqual([]);
  });

  it('a candidate with the same coefficients is taken as it is', () => {
    store.addBatch(round, 0, proposals(2), TASKS);
    const coefficients = proposals(2)[1]?.coefficients ?? [];
    expect(points.create({ name: `${round}-same`, round, coefficients, taskCount: TASKS, unmeasured: true })).toMatchObject({
      candidate: 2,
      state: 'merging',
    });
    expect(store.countCandidates(round)).toBe(2);
  });
});
