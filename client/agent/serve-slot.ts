/** One slot at work: takes leases, has them measured, asks again, and knows when nothing is left. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import { type EvaluationLease, type Study, StudyState } from '../../shared/generated/tributary/v1/evaluations.js';
import { RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import type { Connection } from '../api/connection.js';
import { type Patience, persevere } from '../api/retry.js';
import type { BackOff } from './back-off.js';
import { type Measuring, measureCandidate } from './measure-candidate.js';
import type { OpenedStudies } from './opened-studies.js';
import type { Slot } from './slot.js';

/** The coordinator answers as soon as there is something; a study that ends meanwhile is noticed after so long. */
const WAIT_SECONDS = 20;
const WAIT_ONCE_SECONDS = 2;
/** Between two questions that were answered with nothing at once. */
const PAUSE_MS = 500;

/** What an agent is there for. */
export interface Offer {
  readonly agent: string;
  /** Undefined: any that wants one of the tasks. */
  readonly rounds: readonly string[] | undefined;
  readonly tasks: readonly string[];
}

const isWanted = ({ rounds }: Offer, round: string): boolean => rounds === undefined || rounds.includes(round);

export function isOurs(offer: Offer, { round, tasks }: Study): boolean {
  return isWanted(offer, round) && tasks.some(({ name, owner }) => offer.tasks.includes(name) && (owner === '' || owner === offer.agent));
}

/** Those that an agent works on, and those that go on without it although it looks at their round. */
export function splitStudies(offer: Offer, studies: readonly Study[]): [ours: Study[], others: Study[]] {
  const ours = studies.filter((study) => isOurs(offer, study));
  const others = studies.filter((study) => isWanted(offer, study.round) && study.state === StudyState.EVALUATING && !isOurs(offer, study));
  return [ours, others];
}

export interface Serving {
  readonly connection: Connection;
  readonly offer: Offer;
  readonly once: boolean;
  readonly slot: Slot;
  readonly measuring: Measuring;
  readonly opened: OpenedStudies;
  readonly backOff: BackOff;
  /** Its signal ends the serving. */
  readonly patience: Patience;
  /** Number of the slot: which round it asks for first. */
  readonly first: number;
}

/** @throws when the agent has to end, or its signal fires */
export async function serveSlot(serving: Serving): Promise<void> {
  const { offer, once, slot, measuring, opened, backOff, patience, first } = serving;
  const { tasks: all, rounds = [''] } = offer;
  const { signal } = patience;
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
      takeLeases(serving, { round, tasks, waitSeconds: tasks.length < all.length ? Math.min(1, waitSeconds) : waitSeconds }),
    );
    for (const group of byCandidate(leases))
      await opened.use(group[0]?.round ?? '', (opening) => measureCandidate(measuring, slot, opening, group));
    if (leases.length > 0) {
      waits = !once;
      continue;
    }
    if (once && (await persevere(patience, () => nothingLeft(serving)))) return;
    if (waits && performance.now() - askedMs < PAUSE_MS) await sleep(PAUSE_MS, undefined, { signal });
    waits = true;
  }
}

interface Asking {
  /** Empty: any. */
  readonly round: string;
  readonly tasks: readonly string[];
  readonly waitSeconds: number;
}

/** Nothing also where the round has no study yet. @throws what the coordinator refuses */
async function takeLeases(serving: Serving, { round, tasks, waitSeconds }: Asking): Promise<readonly EvaluationLease[]> {
  const { connection, offer, patience } = serving;
  const { agent } = offer;
  const { signal } = patience;
  const ask = () => connection.evaluations.lease({ agent, round, tasks: [...tasks], most: tasks.length, waitSeconds }, { signal });
  try {
    return (await ask()).leases;
  } catch (error) {
    if (!(error instanceof TributaryError && error.code === 'STUDY_NOT_FOUND')) throw error;
    if (await mayGetStudy(connection, round, signal)) return [];
    // It may have been published between the two questions.
    return (await ask()).leases;
  }
}

/** Whether a round is on its way to a model, and a study with it. */
async function mayGetStudy(connection: Connection, round: string, signal: AbortSignal): Promise<boolean> {
  const { state } = await connection.rounds.getRound({ name: round }, { signal });
  return state === RoundState.OPEN || state === RoundState.MERGING;
}

async function nothingLeft({ connection, offer, patience }: Serving): Promise<boolean> {
  const { agent, rounds = [] } = offer;
  const { signal } = patience;
  // In this order: a round that is published between the two questions has a study when the second is asked.
  for (const round of rounds) if (await mayGetStudy(connection, round, signal)) return false;
  const { studies } = await connection.evaluations.listStudies({ agent }, { signal });
  return !studies.some((study) => isOurs(offer, study) && study.state === StudyState.EVALUATING);
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
