/**
 * Keeps the leases of everything that is being worked on: says again and again that they are held, and stops the work on those that the
 * coordinator no longer counts. A coordinator that cannot be reached is no reason to stop: its leases are rows and outlive a restart.
 */
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { EvaluationLease } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Connection } from '../api/connection.js';

export interface HeldLease {
  /** Fires when the lease is lost. */
  readonly lost: AbortSignal;
  /** To be called when the work is done, however it ended. */
  release(): void;
}

export interface LeaseKeeper {
  /** @param leaseSeconds after which the coordinator takes it for given up */
  hold(lease: EvaluationLease, leaseSeconds: number): HeldLease;
  close(): Promise<void>;
}

/** So often within its time a lease is renewed. */
const RENEWALS = 3;
const LEAST_MS = 100;

export interface LeaseKeeperOptions {
  readonly connection: Pick<Connection, 'evaluations'>;
  readonly agent: string;
  readonly signal: AbortSignal;
  readonly onLost: (lease: EvaluationLease) => void;
}

export function createLeaseKeeper({ connection, agent, signal, onLost }: LeaseKeeperOptions): LeaseKeeper {
  const held = new Map<string, { readonly lease: EvaluationLease; readonly abort: AbortController; readonly everyMs: number }>();
  const closing = new AbortController();
  const stop = AbortSignal.any([signal, closing.signal]);
  let timer: NodeJS.Timeout | undefined;
  let plannedMs = Infinity;
  let beating: Promise<void> | undefined;

  async function beat(): Promise<void> {
    const leaseIds = [...held.keys()];
    if (leaseIds.length === 0) return;
    // A line that is silent must not keep the next beat from being tried.
    const timeout = AbortSignal.timeout(plannedMs);
    const answer = await connection.evaluations.heartbeat({ agent, leaseIds }, { signal: AbortSignal.any([stop, timeout]) });
    const kept = new Set(answer.leaseIds);
    for (const leaseId of leaseIds) {
      const lost = held.get(leaseId);
      if (kept.has(leaseId) || lost === undefined) continue;
      held.delete(leaseId);
      onLost(lost.lease);
      lost.abort.abort(new TributaryError('LEASE_LOST', { what: 'the lease expired, and the work was handed to another agent' }));
    }
  }

  function plan(): void {
    clearTimeout(timer);
    timer = undefined;
    plannedMs = Math.min(...[...held.values()].map((lease) => lease.everyMs));
    if (held.size === 0 || stop.aborted) return;
    timer = setTimeout(() => {
      // What goes wrong on the line is tried again at the next beat.
      beating = beat()
        .catch(() => undefined)
        .then(() => {
          beating = undefined;
          plan();
        });
    }, plannedMs);
  }

  return {
    hold(lease, leaseSeconds) {
      const { leaseId } = lease;
      const abort = new AbortController();
      const everyMs = Math.max(LEAST_MS, Math.floor((leaseSeconds * 1000) / RENEWALS));
      held.set(leaseId, { lease, abort, everyMs });
      // A beat that is under way plans the next one.
      if (beating === undefined && everyMs < plannedMs) plan();
      return { lost: abort.signal, release: () => void held.delete(leaseId) };
    },
    async close() {
      closing.abort();
      clearTimeout(timer);
      await beating;
    },
  };
}
