/** However leases, expiries, reports and restarts of the coordinator interleave, each pair is measured once and the same measurements remain. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Lease } from '../../coordinator/evaluation/study-rows.js';
import { StudyStore } from '../../coordinator/evaluation/study-store.js';
import { addStudy, type Clock, openWithBase, proposals } from '../support/study-store.js';
import { tempDir } from '../support/temp-dir.js';

const LEASE_MS = 100;
const CANDIDATES = 4;
const TASKS = 2;
const AGENTS = ['a', 'b', 'c'];
const db = openWithBase(tempDir());
let rounds = 0;

/** A measurement is a function of candidate and task, as evaluations of fixed data are. */
const valueOf = ({ candidate, task }: { candidate: number; task: number }): number => Math.sin(candidate * 10 + task);

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('lease' as const), agent: fc.constantFrom(...AGENTS), most: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('report' as const), which: fc.nat(99) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), which: fc.nat(99) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('heartbeat' as const), which: fc.nat(99) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 2 * LEASE_MS }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

it('ends with the measurements of an undisturbed study', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const clock: Clock = { nowMs: 1 };
      const round = `r${rounds++}`;
      let { store } = addStudy(db, round, clock);
      store.addBatch(round, 0, proposals(CANDIDATES), TASKS);
      /** Every lease that ever was: agents report late, twice, or what another has reported. */
      const leases: (Lease & { agent: string })[] = [];
      const counted = new Set<string>();
      const pick = (which: number) => leases[which % Math.max(1, leases.length)];
      const report = (one: Lease & { agent: string }): void => {
        const key = `${one.candidate}/${one.task}`;
        expect(store.record(one, one.agent, { value: valueOf(one) }), key).toBe(!counted.has(key));
        counted.add(key);
      };
      for (const one of steps) {
        if (one.kind === 'lease') {
          const { leases: taken } = store.lease(round, one.agent, [0, 1], one.most, LEASE_MS);
          for (const lease of taken) {
            expect(counted.has(`${lease.candidate}/${lease.task}`)).toBe(false);
            leases.push({ ...lease, agent: one.agent });
          }
        } else if (one.kind === 'pass') clock.nowMs += one.ms;
        // A store keeps nothing in memory: another one on the same file is what a new process has.
        else if (one.kind === 'restart')
          store = new StudyStore(
            db,
            () => clock.nowMs,
            () => {},
          );
        else {
          const lease = pick(one.which);
          if (lease === undefined) continue;
          if (one.kind === 'report') report(lease);
          else if (one.kind === 'fail') store.fail(lease, lease.lease, { code: 'EVALUATION_FAILED', details: { what: 'x' } });
          else store.heartbeat(lease.agent, [lease.lease], LEASE_MS);
        }
      }
      // An agent that stays measures the rest; what was given up comes in late.
      for (let turn = 0; turn < CANDIDATES * TASKS && !store.isSettled(round); turn++) {
        clock.nowMs += 2 * LEASE_MS;
        for (const lease of store.lease(round, 'last', [0, 1], 9, LEASE_MS).leases) report({ ...lease, agent: 'last' });
      }
      for (const { candidate, task } of store.givenUp(round)) report({ round, candidate, task, lease: '', attempt: 0, agent: 'last' });
      expect(store.isSettled(round)).toBe(true);
      expect(
        store
          .candidates(round, TASKS)
          .map(({ id, measured }) => measured.map((one, task) => one?.value === valueOf({ candidate: id, task }))),
      ).toEqual(Array.from({ length: CANDIDATES }, () => [true, true]));
    }),
    { numRuns: 60 },
  );
});
