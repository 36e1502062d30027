/**
 * The agent: takes (candidate, task) pairs from a coordinator, makes the candidates, measures them beside data that never leaves, and reports
 * numbers. Killed at any moment, its leases expire and the pairs go to whoever asks next; a measurement that was finished is on disk until the
 * coordinator has it.
 */
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { startPool } from '../../shared/workers/pool.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import type { Evaluator } from '../evaluate/evaluator.js';
import { type AgentEvents, type AgentReport, createTally, type Tally } from './agent-report.js';
import { createBackOff } from './back-off.js';
import { createLeaseKeeper } from './lease-keeper.js';
import type { Measuring } from './measure-candidate.js';
import { neededModels } from './needed-models.js';
import { openedStudies } from './opened-studies.js';
import { type CacheLimits, createCachePruner } from './prune-cache.js';
import type { Reporting } from './report.js';
import { reportLeft } from './report-left.js';
import { type Offer, serveSlot, splitStudies } from './serve-slot.js';
import { createSlot } from './slot.js';
import { openUnreported, type Unreported, withUnreported } from './unreported.js';
import type { WorkFolder } from './work-folder.js';

export interface AgentOptions {
  readonly connection: Connection;
  readonly agent: string;
  /** Undefined: any that wants one of the tasks. */
  readonly rounds: readonly string[] | undefined;
  readonly evaluators: ReadonlyMap<string, Evaluator>;
  readonly work: WorkFolder;
  /** Of what no open study needs. */
  readonly cacheLimits: CacheLimits;
  /** Candidates at a time. */
  readonly parallel: number;
  /** Return when no study wants anything any more; else only when `stop` fires. */
  readonly once: boolean;
  /** With `once`: how long to try without an answer, once there was one. In milliseconds. */
  readonly giveUpAfterMs: number;
  readonly threads: number;
  readonly findEngine: () => Promise<FoundEngine>;
  /** With a coordinator that does not answer at first. Its signal is not used. */
  readonly patience: Pick<Patience, 'withoutProgressMs' | 'onRetry'>;
  readonly stop: AbortSignal;
  readonly events: AgentEvents;
}

/** A measurement that is finished when the agent is stopped has so long to be reported. */
const FAREWELL_MS = 3_000;
/** Studies end, and days pass. */
const PRUNE_EVERY_MS = 3_600_000;

/**
 * @throws COORDINATOR_UNAVAILABLE when it does not answer at first, or (with `once`) any more; what was not reported then is on disk. And whatever else
 * keeps the agent from going on: a refused token, a study that cannot be opened, an evaluator that fails again and again (with `once`)
 */
export async function runAgent(options: AgentOptions): Promise<AgentReport> {
  const { agent, work, stop, events } = options;
  const unreported = openUnreported(work.unreported);
  const tally = createTally();
  let failure: unknown;
  try {
    await serve(options, unreported, tally);
  } catch (error) {
    failure = error;
  }
  const left = await unreported.list();
  if (left.length > 0) events.onUnreported(left, unreported.folder);
  // What was under way when the agent was asked to stop does not matter any more.
  if (failure === undefined || stop.aborted) return { agent, rounds: tally.rounds() };
  throw left.length > 0 ? withUnreported(failure, left, unreported.folder) : failure;
}

async function serve(options: AgentOptions, unreported: Unreported, tally: Tally): Promise<void> {
  const { connection, agent, evaluators, work, once, stop, events } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([stop, failed.signal]);
  const patience: Patience = { ...options.patience, signal };
  // Once it has answered, only an agent that is to end by itself loses its patience.
  const giveUpAfterMs = once ? options.giveUpAfterMs : Infinity;
  const lasting: Patience = { ...patience, withoutProgressMs: giveUpAfterMs };
  const offer: Offer = { agent, rounds: options.rounds, tasks: [...evaluators.keys()] };
  const { studies } = await persevere(patience, () => connection.evaluations.listStudies({ agent: '' }, { signal }));
  events.onStudies(...splitStudies(offer, studies));

  const farewell = afterwards(signal, FAREWELL_MS);
  const reporting: Reporting = {
    connection,
    agent,
    unreported,
    giveUpAfterMs,
    signal: farewell.signal,
    onRetry: (error) => patience.onRetry(error, 0),
    onNotKept: (error) => events.onNotKept(error),
  };
  const pool = startPool(options.threads);
  const backOff = createBackOff(() => performance.now());
  const keeper = createLeaseKeeper({ connection, agent, signal, onLost: (lease) => events.onLost(lease) });
  const measuring: Measuring = {
    evaluators,
    keeper,
    work,
    stop: signal,
    reporting,
    onResult(lease, result) {
      tally.add(lease.round, result.kind === 'measured' && result.reported.kind !== 'refused');
      if (result.kind === 'failed') backOff.failed(lease.task, result.error);
      else if (result.reported.kind === 'refused') backOff.failed(lease.task, result.reported.error);
      else backOff.succeeded(lease.task);
      events.onResult(lease, result);
    },
  };
  const pruner = createCachePruner({
    folder: work.models,
    limits: options.cacheLimits,
    inUse: () => opened.inUse(),
    needed: () => neededModels(connection, offer, signal),
    onRemove: (digest) => opened.forget(digest),
    nowMs: Date.now,
  });
  const prune = async (bytesToCome: number): Promise<boolean> => {
    const state = await pruner.prune(bytesToCome);
    if (state.removed.length > 0) events.onCache(state);
    return state.removed.length > 0;
  };
  const opened = openedStudies({
    connection,
    patience: lasting,
    cache: {
      connection,
      folder: work.models,
      pool,
      patience: lasting,
      onFetch: (name, totalBytes) => events.onFetch(name, totalBytes),
      onProgress: (doneBytes, totalBytes) => events.onFetchProgress(doneBytes, totalBytes),
      makeRoom: prune,
    },
    touch: (models) => pruner.touch(models),
  });
  const slots = Array.from({ length: options.parallel }, (_, number) =>
    createSlot({ connection, folder: work.slot(number), pool, findEngine: options.findEngine, patience: lasting }),
  );
  const pruning = setInterval(() => void prune(0).catch(() => undefined), PRUNE_EVERY_MS);
  try {
    await reportLeft(reporting, lasting, (measurement, result) => {
      if (result.kind === 'counted') tally.add(measurement.round, true);
      events.onLeft(measurement, result);
    });
    events.onCache(await pruner.prune(0));
    const loops = slots.map((slot, first) =>
      serveSlot({ connection, offer, once, slot, measuring, opened, backOff, patience: lasting, first }).catch((error: unknown) => {
        // The agent was asked to stop, or another slot failed: what this one was doing does not matter any more.
        if (signal.aborted) return;
        failed.abort(error);
        throw error;
      }),
    );
    const results = await Promise.allSettled(loops);
    const rejected = results.find((result) => result.status === 'rejected');
    if (rejected !== undefined) throw rejected.reason;
  } finally {
    clearInterval(pruning);
    await keeper.close();
    for (const slot of slots) await slot.close();
    await pool.close();
    farewell.cancel();
  }
}

/** A signal that fires some time after another. */
function afterwards(signal: AbortSignal, delayMs: number): { readonly signal: AbortSignal; cancel(): void } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', () => {
    timer = setTimeout(() => late.abort(signal.reason), delayMs);
  });
  return { signal: late.signal, cancel: () => clearTimeout(timer) };
}
