/**
 * The agent: takes (candidate, task) pairs from a coordinator, makes the candidates, measures them beside data that never leaves, and reports
 * numbers. Nothing it holds is precious: killed at any moment, its leases expire and the pairs go to whoever asks next.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type EvaluationLease, type Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import type { FoundEngine } from '../../shared/linalg/linear-algebra.js';
import { startPool } from '../../shared/workers/pool.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import type { Evaluator } from '../evaluate/evaluator.js';
import type { AgentEvents, AgentReport, AgentTally } from './agent-report.js';
import { type BackOff, createBackOff } from './back-off.js';
import { createLeaseKeeper } from './lease-keeper.js';
import { type Measuring, measureCandidate, type OpeningStudy } from './measure-candidate.js';
import type { ModelCacheOptions } from './model-cache.js';
import { openStudy } from './open-study.js';
import { createSlot, type Slot } from './slot.js';
import type { WorkFolder } from './work-folder.js';

export interface AgentOptions {
  readonly connection: Connection;
  readonly agent: string;
  /** Undefined: any that wants one of the tasks. */
  readonly rounds: readonly string[] | undefined;
  readonly evaluators: ReadonlyMap<string, Evaluator>;
  readonly work: WorkFolder;
  /** Candidates at a time. */
  readonly parallel: number;
  /** Return when no study wants anything any more; else only when `stop` fires. */
  readonly once: boolean;
  readonly threads: number;
  readonly findEngine: () => Promise<FoundEngine>;
  /** With a coordinator that does not answer at first, and always with `once`. Its signal is not used. */
  readonly patience: Pick<Patience, 'withoutProgressMs' | 'onRetry'>;
  readonly stop: AbortSignal;
  readonly events: AgentEvents;
}

/** The coordinator answers as soon as there is something; a study that ends meanwhile is noticed after so long. */
const WAIT_SECONDS = 20;
const WAIT_ONCE_SECONDS = 2;
/** Between two questions that were answered with nothing at once. */
const PAUSE_MS = 500;
/** A measurement that is finished when the agent is stopped has so long to be reported. */
const FAREWELL_MS = 3_000;
/** Studies that stay opened; what is dropped is opened again when it is wanted. */
const OPENED_STUDIES = 8;

export async function runAgent(options: AgentOptions): Promise<AgentReport> {
  const { connection, agent, evaluators, work, stop, events } = options;
  const failed = new AbortController();
  const signal = AbortSignal.any([stop, failed.signal]);
  const patience: Patience = { ...options.patience, signal };
  // Once it has answered, only an agent that is to end by itself loses its patience.
  const lasting: Patience = options.once ? patience : { ...patience, withoutProgressMs: Infinity };
  try {
    const { studies } = await persevere(patience, () => connection.evaluations.listStudies({ agent }, { signal }));
    events.onStudies(studies.filter((study) => isOurs(options, study)));
  } catch (error) {
    if (stop.aborted) return { agent, rounds: [] };
    throw error;
  }

  const pool = startPool(options.threads);
  const farewell = afterwards(signal, FAREWELL_MS);
  const tally = new Map<string, AgentTally>();
  const backOff = createBackOff(() => performance.now());
  const keeper = createLeaseKeeper({ connection, agent, signal, onLost: () => events.onLost() });
  const measuring: Measuring = {
    evaluators,
    keeper,
    work,
    stop: signal,
    reporting: { connection, agent, signal: farewell.signal, onRetry: (error) => patience.onRetry(error, 0) },
    onResult(lease, result) {
      const { measured = 0, failed: without = 0 } = tally.get(lease.round) ?? {};
      const counts = result.kind === 'measured' && result.reported.kind !== 'refused';
      tally.set(lease.round, { measured: measured + (counts ? 1 : 0), failed: without + (counts ? 0 : 1) });
      if (result.kind === 'failed') backOff.failed(lease.task, result.error);
      else if (result.reported.kind === 'refused') backOff.failed(lease.task, result.reported.error);
      else backOff.succeeded(lease.task);
      events.onResult(lease, result);
    },
  };
  const cache: ModelCacheOptions = {
    connection,
    folder: work.models,
    pool,
    patience: lasting,
    onFetch: (name, totalBytes) => events.onFetch(name, totalBytes),
    onProgress: (doneBytes, totalBytes) => events.onFetchProgress(doneBytes, totalBytes),
  };
  const opened = openedStudies(connection, cache, lasting);
  const slots = Array.from({ length: options.parallel }, (_, number) =>
    createSlot({ connection, folder: work.slot(number), pool, findEngine: options.findEngine, patience: lasting }),
  );
  try {
    const loops = slots.map((slot, number) =>
      serveSlot({ ...options, patience: lasting }, { slot, measuring, opened, backOff, signal, first: number }).catch((error: unknown) => {
        // The agent was asked to stop, or another slot failed: what this one was doing does not matter any more.
        if (signal.aborted) return;
        failed.abort(error);
        throw error;
      }),
    );
    const results = await Promise.allSettled(loops);
    const rejected = results.find((result) => result.status === 'rejected');
    if (rejected !== undefined) throw rejected.reason;
    return { agent, rounds: [...tally].map(([round, counts]) => ({ round, ...counts })) };
  } finally {
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

const isWanted = ({ rounds }: AgentOptions, round: string): boolean => rounds === undefined || rounds.includes(round);

function isOurs(options: AgentOptions, { round, tasks }: Study): boolean {
  const { agent, evaluators } = options;
  return isWanted(options, round) && tasks.some(({ name, owner }) => evaluators.has(name) && (owner === '' || owner === agent));
}

type OpenStudy = (round: string) => Promise<OpeningStudy>;

/** Opens each study once, whichever slot asks first. */
function openedStudies(connection: Connection, cache: ModelCacheOptions, patience: Patience): OpenStudy {
  const known = new Map<string, Promise<OpeningStudy>>();

  async function begin(round: string): Promise<OpeningStudy> {
    const study = await persevere(patience, () => connection.evaluations.getStudy({ round }, { signal: patience.signal }));
    const opened = openStudy(study, cache);
    opened.catch(() => known.delete(round));
    return { leaseSeconds: study.leaseSeconds, opened };
  }

  return (round) => {
    const opening = known.get(round) ?? begin(round);
    // Re-inserting keeps the map in order of use.
    known.delete(round);
    known.set(round, opening);
    opening.catch(() => known.delete(round));
    const [oldest] = known.keys();
    if (known.size > OPENED_STUDIES && oldest !== undefined) known.delete(oldest);
    return opening;
  };
}

interface Serving {
  readonly slot: Slot;
  readonly measuring: Measuring;
  readonly opened: OpenStudy;
  readonly backOff: BackOff;
  readonly signal: AbortSignal;
  /** Number of the slot: which round it asks for first. */
  readonly first: number;
}

async function serveSlot(options: AgentOptions & { readonly patience: Patience }, serving: Serving): Promise<void> {
  const { patience, rounds = [''], once } = options;
  const { slot, measuring, opened, backOff, signal, first } = serving;
  const all = [...options.evaluators.keys()];
  /** Whether the coordinator may keep the answer back until there is something: not when the first empty one may be the end. */
  let waits = !once;
  for (let turn = first; !signal.aborted; turn++) {
    const hopeless = once ? backOff.hopeless() : undefined;
    if (hopeless !== undefined) throw hopeless;
    const tasks = backOff.ready(all);
    if (tasks.length === 0) {
      await sleep(backOff.waitMs(all), undefined, { signal });
      continue;
    }
    const askedMs = performance.now();
    const waitSeconds = waits ? Math.max(1, Math.floor((once ? WAIT_ONCE_SECONDS : WAIT_SECONDS) / rounds.length)) : 0;
    const round = rounds[turn % rounds.length] ?? '';
    const leases = await persevere(patience, () =>
      takeLeases(options, { round, tasks, waitSeconds: tasks.length < all.length ? Math.min(1, waitSeconds) : waitSeconds, signal }),
    );
    for (const group of byCandidate(leases)) await measureCandidate(measuring, slot, await opened(group[0]?.round ?? ''), group);
    if (leases.length > 0) {
      waits = !once;
      continue;
    }
    if (once && (await persevere(patience, () => nothingLeft(options, signal)))) return;
    if (waits && performance.now() - askedMs < PAUSE_MS) await sleep(PAUSE_MS, undefined, { signal });
    waits = true;
  }
}

interface Asking {
  /** Empty: any. */
  readonly round: string;
  readonly tasks: readonly string[];
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
}

/** Nothing also where the round has no study yet. @throws what the coordinator refuses */
async function takeLeases(options: AgentOptions, { round, tasks, waitSeconds, signal }: Asking): Promise<readonly EvaluationLease[]> {
  const { connection, agent } = options;
  try {
    const { leases } = await connection.evaluations.lease({ agent, round, tasks: [...tasks], most: tasks.length, waitSeconds }, { signal });
    return leases;
  } catch (error) {
    if (error instanceof TributaryError && error.code === 'STUDY_NOT_FOUND' && (await mayGetStudy(connection, round, signal))) return [];
    throw error;
  }
}

/** Whether a round is on its way to a model, and a study with it. */
async function mayGetStudy(connection: Connection, round: string, signal: AbortSignal): Promise<boolean> {
  const { state } = await connection.rounds.getRound({ name: round }, { signal });
  return state === RoundState.OPEN || state === RoundState.MERGING;
}

async function nothingLeft(options: AgentOptions, signal: AbortSignal): Promise<boolean> {
  const { connection, agent, rounds = [] } = options;
  const { studies } = await connection.evaluations.listStudies({ agent }, { signal });
  if (studies.some((study) => isOurs(options, study) && study.state === StudyState.EVALUATING)) return false;
  for (const round of rounds)
    if (!studies.some((study) => study.round === round) && (await mayGetStudy(connection, round, signal))) return false;
  return true;
}

/** Leases in groups of one candidate each, in the order in which they were given. */
function byCandidate(leases: readonly EvaluationLease[]): EvaluationLease[][] {
  const groups = new Map<string, EvaluationLease[]>();
  for (const lease of leases) {
    const key = `${lease.candidate} ${lease.round}`;
    groups.set(key, [...(groups.get(key) ?? []), lease]);
  }
  return [...groups.values()];
}
